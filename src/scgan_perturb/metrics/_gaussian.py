"""Gaussians: covariances shrunk after Ledoit and Wolf, and the optimal map between two of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Ledoit and Wolf's estimate can be 0 where samples span few directions (always for two samples);
# a singular covariance has no map.
MIN_SHRINKAGE = 1e-3
NO_SPREAD = 1e-12  # in scaled units: rounding, where all samples are alike


class ShrunkCovariance(NamedTuple):
    """The covariance (1 − α)·S + α·m·I of centred samples, given by α and m; never 0 for α."""

    alpha: float
    mean_variance: float

    @classmethod
    def of(cls, centred: np.ndarray) -> ShrunkCovariance:
        """Estimate α and m from centred samples × genes."""
        mean_variance = float(np.square(centred).mean())
        return cls(max(ledoit_wolf(centred), MIN_SHRINKAGE), mean_variance)

    @property
    def isotropic(self) -> float:
        """Variance in each direction that the samples do not span."""
        return self.alpha * self.mean_variance

    def matrix(self, centred: np.ndarray) -> np.ndarray:
        """The covariance in the coordinates of centred samples × coordinates."""
        empirical = centred.T @ centred / len(centred)
        return (1 - self.alpha) * empirical + self.isotropic * np.eye(centred.shape[1])


def ledoit_wolf(centred: np.ndarray) -> float:
    """The shrinkage α of Ledoit and Wolf (2004), from centred samples × genes.

    scikit-learn computes the same α from products of genes. Products of samples take seconds a
    class where genes are thousands.
    """
    n_samples, n_genes = centred.shape
    products = centred @ centred.T
    squares = np.diag(products)
    size = np.square(products).sum() / n_samples**2  # ‖S‖², squared Frobenius norm
    noise = (np.square(squares).mean() - size) / n_samples
    excess = size - squares.mean() ** 2 / n_genes
    return float(min(noise / excess, 1.0)) if excess > 0 else 1.0


def bures_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The symmetric matrix that turns N(0, Σ_source) into N(0, Σ_target) at the least cost.

    POT's bures_wasserstein_mapping sums index by index, which takes a minute for classes of a
    thousand samples.
    """
    values, vectors = np.linalg.eigh(source)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    values, vectors = np.linalg.eigh(root @ target @ root)
    return inverse @ ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T) @ inverse


def shrunk_bures_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map between the shrunk covariances of two sets of centred samples × coordinates."""
    return bures_map(*(ShrunkCovariance.of(part).matrix(part) for part in (source, target)))


def has_spread(centred: np.ndarray) -> bool:
    """Whether samples differ from their mean."""
    return bool(np.abs(centred).max(initial=0) > NO_SPREAD)
