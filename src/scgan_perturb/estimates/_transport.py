"""All that transport knows of the classes, estimated from samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._latent_fit import estimate_latent
from ._marginals import Marginals, estimate_marginals

if TYPE_CHECKING:
    from ._latent import Latent
    from ._lattice import Lattice
    from ._samples import Samples


@dataclass(frozen=True)
class Transport:
    """Estimates from one set of samples.

    Distributions gene by gene, how genes vary together, and the counts behind logged values.
    """

    marginals: Marginals
    latent: Latent
    lattice: Lattice


def estimate_transport(
    samples: Samples, lattice: Lattice, n_classes: int, seed: int, n_contexts: int = 1
) -> Transport:
    """Estimate them.

    Parameters
    ----------
    samples
        Training samples and their groups; of each class and each context at least one. Where values
        are logged counts, the samples are counts without gaps.
    lattice
        The counts behind logged values.
    n_classes, n_contexts
        Number of classes, and of contexts.
    seed
        Seed of the draws of the factors.
    """
    marginals = estimate_marginals(samples.rows, samples.labels, n_classes, n_contexts)
    latent = estimate_latent(samples.rows, samples.labels, marginals, seed)
    return Transport(marginals, latent, lattice)
