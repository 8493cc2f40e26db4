"""The samples that an evaluation compares, and the forms in which its tests ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..metrics._zeros import n_detected, zero_share

N_COMPONENTS = 50  # as Peidli et al. (2024), and most who publish E-distances


@dataclass(frozen=True)
class Samples:
    """What is compared: samples × genes, scaled to the range of the training samples.

    Parameters
    ----------
    target
        The label.
    train, train_labels
        Training samples of the sources and of the target, and their labels.
    x, labels
        Held-out samples of the sources, and their labels.
    perturbed
        The same, perturbed.
    real
        Held-out samples of the target.
    real_perturbed
        The same, perturbed; no rows where they were left alone.
    context_shift
        Mean over contexts of the shift of each gene to the target; None without contexts.
    x_donors, real_donors, train_donors
        The donor of each sample as a position; None where samples are the replicates.
    """

    target: str
    train: np.ndarray
    train_labels: np.ndarray
    x: np.ndarray
    labels: np.ndarray
    perturbed: np.ndarray
    real: np.ndarray
    real_perturbed: np.ndarray
    context_shift: np.ndarray | None = None
    x_donors: np.ndarray | None = None
    real_donors: np.ndarray | None = None
    train_donors: np.ndarray | None = None

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
    """The way from scaled values to the units of the data, and to principal components.

    Parameters
    ----------
    minimum, width
        Least value of each gene and its range over the training samples, in the units of the data.
    mean, axes
        Mean of the training samples and their principal axes, in the units of the data;
        axes × genes.
    """

    minimum: np.ndarray
    width: np.ndarray
    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, train: np.ndarray, minimum: np.ndarray, width: np.ndarray) -> Space:
        """Find the axes of scaled training samples."""
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
        """The samples in all forms."""
        zero = self.zero
        return View(
            scaled,
            (scaled * self.width - self.mean) @ self.axes.T,
            zero_share(scaled, zero),
            n_detected(scaled, zero),
        )


@dataclass(frozen=True)
class View:
    """A set of samples in the forms that tests ask for.

    Parameters
    ----------
    scaled
        Samples × genes.
    components
        Samples × principal components, in the units of the data.
    zeros, detected
        Share of the genes that are 0, and number of genes above 0, of each sample.
    """

    scaled: np.ndarray
    components: np.ndarray
    zeros: np.ndarray
    detected: np.ndarray
