"""All that transport knows of the classes, estimated from samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._latent_fit import estimate_latent
from ._lattice import Lattice, estimate_lattice
from ._marginals import Marginals, estimate_marginals

if TYPE_CHECKING:
    import torch

    from ._latent import Latent
    from ._samples import Samples


@dataclass(frozen=True)
class Transport:
    """Estimates from one set of samples.

    Distributions gene by gene, how genes vary together, and the lattice of logged counts.
    """

    marginals: Marginals
    latent: Latent
    lattice: Lattice


def estimate_transport(
    samples: Samples,
    n_classes: int,
    seed: int,
    n_contexts: int = 1,
    log_range: torch.Tensor | None = None,
) -> Transport:
    """Estimate them.

    Parameters
    ----------
    samples
        Training samples and their groups; of each class and each context at least one.
    n_classes, n_contexts
        Number of classes, and of contexts.
    seed
        Seed of the draws of the factors.
    log_range
        Least and largest value of each gene in input units, 2 × genes, if they are logged counts.
    """
    marginals = estimate_marginals(samples.rows, samples.labels, n_classes, n_contexts)
    return Transport(
        marginals,
        estimate_latent(samples.rows, samples.labels, marginals, seed),
        estimate_lattice(samples, n_classes * n_contexts, n_contexts, log_range),
    )
