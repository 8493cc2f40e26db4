"""Loadings of genes, given factors of samples: of all samples, and without those of each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from ._latent import pairs_of

if TYPE_CHECKING:
    from ._latent import Latent

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
N_FOLDS = 3
LEAST_RIDGE, LARGEST_RIDGE = 4.0, 1e4  # prior precision of loadings
NOISE_PRIOR = 5  # worth of a noise of 1, in values


class Data(NamedTuple):
    """Samples, fold after fold: presences and normal scores (samples × genes), and groups.

    `tensor_split` into `N_FOLDS` gives the folds.
    """

    present: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


class Loadings(NamedTuple):
    """Loadings (1 + folds × genes × factors), and the noise of new samples.

    The first are of all samples, the next without those of the first fold, and so on.
    """

    presence: torch.Tensor
    value: torch.Tensor
    noise: torch.Tensor


def find_loadings(latent: Latent, data: Data, factors: torch.Tensor, n_steps: int) -> Loadings:
    """Ridge regression of scores on the factors, and steps of logistic regression of presences.

    Parameters
    ----------
    latent
        The model so far: where presences start, and what scales the scores.
    data
        Samples.
    factors
        Those of each sample, samples × factors.
    n_steps
        Number of Newton steps for presences.
    """
    first, second, pair = pairs_of(factors)
    parts = (*data, factors, factors[:, first] * factors[:, second])
    folds = [_Fold(*fold) for fold in zip(*(p.tensor_split(N_FOLDS) for p in parts), strict=True)]
    value, noise = _values(latent, folds, pair)
    presence = latent.presence[None]
    for _ in range(n_steps):
        presence = _presences(latent, presence[0], folds, pair)
    return Loadings(presence, value, noise)


class _Fold(NamedTuple):
    """Samples of a fold, their factors, and products of two factors, samples × pairs."""

    present: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor
    factors: torch.Tensor
    squares: torch.Tensor


def _values(
    latent: Latent, folds: list[_Fold], pair: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loadings of scores, and the variance that they leave of samples of other folds."""
    grams, products, rest = [], [], torch.zeros_like(latent.noise)
    for fold in folds:
        centred = fold.scores / latent.gain[fold.labels] - latent.offset[fold.labels]
        centred *= fold.present
        grams.append(fold.present.T @ fold.squares)
        products.append(centred.T @ fold.factors)
        rest += centred.square().sum(0)
    loadings = _ridge(grams, products, latent.noise, pair)
    for gram, product, value in zip(grams, products, loadings[1:], strict=True):
        rest += (value * (_times(gram, value, pair) - 2 * product)).sum(1)
    n_present = torch.stack([fold.present.sum(0) for fold in folds]).sum(0)
    return loadings, ((rest + NOISE_PRIOR) / (n_present + NOISE_PRIOR)).clamp(0.05, 2)


def _presences(
    latent: Latent, presence: torch.Tensor, folds: list[_Fold], pair: torch.Tensor
) -> torch.Tensor:
    """Loadings of presences after a Newton step from those of all samples."""
    grams, products = [], []
    for fold in folds:
        intercept = latent.intercept[fold.labels]
        chance = torch.addmm(intercept, fold.factors, presence.T).sigmoid_()
        gradient = (fold.present - chance).T @ fold.factors
        weight = chance.addcmul_(chance, chance, value=-1)
        grams.append(weight.T @ fold.squares)
        products.append(gradient + _times(grams[-1], presence, pair))
    loadings = _ridge(grams, products, torch.ones_like(latent.noise), pair)
    return presence + (loadings - presence).clamp(-1, 1)


def _ridge(
    grams: list[torch.Tensor],
    products: list[torch.Tensor],
    noise: torch.Tensor,
    pair: torch.Tensor,
) -> torch.Tensor:
    """Loadings of all samples, and those without each fold."""
    gram, product = torch.stack(grams).sum(0), torch.stack(products).sum(0)
    ridge = 1 / _variance(grams, products, pair).clamp(1 / LARGEST_RIDGE, 1 / LEAST_RIDGE)
    penalty = (noise[:, None] * ridge).diag_embed()
    without = [(gram - a, product - b) for a, b in zip(grams, products, strict=True)]
    return torch.stack(
        [
            torch.linalg.solve(a[:, pair] + penalty, b[..., None])[..., 0]
            for a, b in [(gram, product), *without]
        ]
    )


def _variance(
    grams: list[torch.Tensor], products: list[torch.Tensor], pair: torch.Tensor
) -> torch.Tensor:
    """Mean square over genes of the true loadings of each factor.

    Estimates of different folds have independent errors, so their products have none in the mean.
    """
    product = torch.stack(products)
    weight = torch.stack(grams)[..., pair.diagonal()]
    total = weight.sum(0)
    square = product.sum(0).square() - product.square().sum(0)
    norm = total.square() - weight.square().sum(0)
    return (square / (total + 1)).sum(0) / (norm / (total + 1)).sum(0).clamp_min(1e-9)


def _times(gram: torch.Tensor, loadings: torch.Tensor, pair: torch.Tensor) -> torch.Tensor:
    return (gram[:, pair] @ loadings[..., None])[..., 0]
