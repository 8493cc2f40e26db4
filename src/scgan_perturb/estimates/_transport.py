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


def estimate_transport(samples: Samples, n_classes: int, seed: int) -> Transport:
    """Estimate both.

    Parameters
    ----------
    samples
        Training samples, of each class at least one.
    n_classes
        Number of classes.
    seed
        Seed of the draws of the factors.
    """
    marginals = estimate_marginals(samples.rows, samples.labels, n_classes)
    return Transport(marginals, estimate_latent(samples.rows, samples.labels, marginals, seed))
