"""All that transport knows of the classes, estimated from samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._latent_fit import estimate_latent
from ._marginals import Marginals, estimate_marginals

if TYPE_CHECKING:
    from ._latent import Latent
    from ._samples import Samples


@dataclass(frozen=True)
class Transport:
    """Estimates from one set of samples: distributions gene by gene, and how genes vary together."""

    marginals: Marginals
    latent: Latent


def estimate_transport(
    samples: Samples, n_classes: int, seed: int, n_contexts: int = 1
) -> Transport:
    """Estimate both.

    Parameters
    ----------
    samples
        Training samples and their groups; of each class and each context at least one.
    n_classes, n_contexts
        Number of classes, and of contexts.
    seed
        Seed of the draws of the factors.
    """
    marginals = estimate_marginals(samples.rows, samples.labels, n_classes, n_contexts)
    return Transport(marginals, estimate_latent(samples.rows, samples.labels, marginals, seed))
