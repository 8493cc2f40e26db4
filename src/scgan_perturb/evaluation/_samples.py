"""The samples that an evaluation compares, scaled, in data units and in principal components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..metrics._distinct import distinct_share
from ..metrics._zeros import n_detected, zero_share

N_COMPONENTS = 50  # as Peidli et al. (2024) and most published E-distances


@dataclass(frozen=True)
class Samples:
    """Samples × genes, scaled to the range of the training samples."""

    target: str
    train: np.ndarray  # of the sources and of the target
    train_labels: np.ndarray
    x: np.ndarray  # held-out samples of the sources
    labels: np.ndarray  # of x
    perturbed: np.ndarray  # x, perturbed
    real: np.ndarray  # held-out samples of the target
    real_perturbed: np.ndarray  # real, perturbed; no rows if these were not perturbed
    context_shift: np.ndarray | None = None  # mean over contexts of the shift to the target
    # Index of each sample's donor; None if samples are the replicates.
    x_donors: np.ndarray | None = None
    real_donors: np.ndarray | None = None
    train_donors: np.ndarray | None = None
    is_unseen: bool = False  # whether no sample of the target trains in the context

    def training(self, *, of_target: bool) -> np.ndarray:
        """Training samples of the target, or of the sources."""
        return self.train[(self.train_labels == self.target) == of_target]

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """Positions of the held-out samples of each source class."""
        return {
            str(label): np.flatnonzero(self.labels == label) for label in np.unique(self.labels)
        }


@dataclass(frozen=True)
class Space:
    """Converts scaled values to the units of the data and to principal components of these."""

    minimum: np.ndarray  # of each gene over the training samples
    width: np.ndarray  # range of each gene over the training samples
    mean: np.ndarray  # of the training samples
    axes: np.ndarray  # principal axes × genes

    @classmethod
    def of(cls, train: np.ndarray, minimum: np.ndarray, width: np.ndarray) -> Space:
        """Compute the axes of scaled training samples."""
        from sklearn.decomposition import PCA  # noqa: PLC0415 (slow to import)

        n_components = min(N_COMPONENTS, *train.shape)
        pca = PCA(n_components, svd_solver="randomized", random_state=0)
        with np.errstate(invalid="ignore"):  # shares of a variance of 0
            pca.fit(train * width)
        return cls(minimum, width, pca.mean_, pca.components_)

    @property
    def zero(self) -> np.ndarray:
        """The scaled value of each gene that is 0 in the units of the data."""
        return -self.minimum / self.width

    def view(self, scaled: np.ndarray) -> View:
        """Samples, with their components, zeros, detected genes and distinct values."""
        zero, values = self.zero, scaled * self.width
        return View(
            scaled,
            (values - self.mean) @ self.axes.T,
            zero_share(scaled, zero),
            n_detected(scaled, zero),
            distinct_share(values + self.minimum),
        )


@dataclass(frozen=True)
class View:
    """A set of samples with the values that tests need."""

    scaled: np.ndarray  # samples × genes
    components: np.ndarray  # samples × principal components, in the units of the data
    zeros: np.ndarray  # share of the genes that are 0, for each sample
    detected: np.ndarray  # number of genes above 0, for each sample
    distinct: np.ndarray  # share of distinct values among those above 0, for each sample
