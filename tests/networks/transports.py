"""Simulated classes with known distributions, and transports between them."""

from __future__ import annotations

import numpy as np
import torch

from scgan_perturb.estimates._latent import N_FACTORS, Latent, calibrated
from scgan_perturb.estimates._lattice import Lattice
from scgan_perturb.estimates._marginals import Marginals, knots
from scgan_perturb.estimates._samples import Samples
from scgan_perturb.estimates._transport import Transport, estimate_transport
from scgan_perturb.networks._transport_generator import TransportGenerator
from tests.estimates.rows import Rows

N_GENES, N_CLASSES = 24, 3
RNG = np.random.default_rng(0)
SHARE = RNG.uniform(0.15, 0.95, (N_CLASSES, N_GENES))
SHARE[:, -4:] = 1  # these genes have no zeros
LOCATION, SCALE = RNG.uniform(0.35, 0.6, (2, N_CLASSES, N_GENES)) * [[[1]], [[0.12]]]


def simulate(label: int, n: int, seed: int) -> torch.Tensor:
    """Samples of a class; one programme drives the values of even genes."""
    rng = np.random.default_rng([seed, label])
    programme = rng.normal(size=(n, 1)) * (np.arange(N_GENES) % 2 == 0)
    z = 0.7 * programme + np.where(programme != 0, np.sqrt(0.51), 1) * rng.normal(size=(n, N_GENES))
    is_present = rng.random(z.shape) < SHARE[label]
    x = np.where(is_present, LOCATION[label] + SCALE[label] * z, 0)
    return torch.tensor(x.clip(0, 1), dtype=torch.float32)


def simulated(n: int, seed: int = 0) -> Samples:
    """So many training samples of each class."""
    x = torch.cat([simulate(label, n, seed) for label in range(N_CLASSES)])
    return Samples(Rows(x), torch.arange(N_CLASSES).repeat_interleave(n))


def generator_of(transport: Transport, targets: tuple[int, ...]) -> TransportGenerator:
    """The generator of a transport."""
    n_classes, n_genes = transport.marginals.share.shape
    generator = TransportGenerator(n_genes, n_classes, len(targets), N_FACTORS)
    generator.set_up(transport, torch.tensor(targets))
    return generator.eval().requires_grad_(requires_grad=False)


def estimated(targets: tuple[int, ...], n: int = 1500) -> TransportGenerator:
    """The generator that simulated samples give."""
    with torch.no_grad():
        return generator_of(estimate_transport(simulated(n), no_counts(), N_CLASSES, 0), targets)


def no_counts(n_genes: int = N_GENES, n_groups: int = N_CLASSES) -> Lattice:
    """What stands for the counts of values that are no counts."""
    genes, one = torch.zeros(n_genes), torch.zeros(1)
    return Lattice(genes, genes, torch.zeros(n_groups), one)


def known() -> Transport:
    """The distributions themselves, normal and without correlations."""
    share, location, scale = (
        torch.tensor(part, dtype=torch.float32) for part in (SHARE, LOCATION, SCALE)
    )
    genes = torch.zeros(N_GENES)
    shape = knots().expand(N_CLASSES, N_GENES, -1)
    marginals = Marginals(share, location, scale, shape, genes, genes + 1, (share == 1).all(0))
    loadings = torch.zeros(N_GENES, N_FACTORS)
    covariance = torch.eye(N_FACTORS).repeat(N_CLASSES, 1, 1)
    centre = torch.zeros(N_CLASSES, N_FACTORS)
    latent = Latent(loadings, loadings, genes + 1, covariance, centre, share, share, share)
    return Transport(marginals, calibrated(latent, share), no_counts())
