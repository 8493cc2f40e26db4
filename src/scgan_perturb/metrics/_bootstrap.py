"""Bootstrap of both sets: distances are computed once, each resampling weighs them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._distances import gaussian_kernel, kernel_width
from ._inputs import as_samples, check_pairs
from ._moments import pearson

METRICS = ("e_distance", "mmd", "mean_r2", "variance_r2")


def bootstrap(
    a: np.ndarray,
    b: np.ndarray,
    *,
    n_bootstrap: int = 200,
    width: float | None = None,
    rng: int | np.random.Generator = 0,
) -> dict[str, np.ndarray]:
    """E-distance, MMD² and the agreement of means and variances over resamplings of both sets.

    Samples are drawn with replacement. Distances are computed once; each resampling weighs them.
    Pairs of a sample with its own copy do not count, so the distances stay unbiased.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each.
    n_bootstrap
        Number of resamplings.
    width
        Width of the kernel of :func:`mmd`; None for the median distance among the samples of `b`.
    rng
        Seed or generator.

    Returns
    -------
    `e_distance`, `mmd`, `mean_r2` and `variance_r2`: arrays of n_bootstrap. Their quantiles are
    the interval. NaN where a resampling holds copies of a single sample.

    Raises
    ------
    ValueError
        If a set has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import bootstrap
    >>> a, b = np.random.default_rng(0).normal(size=(2, 30, 4))
    >>> low, high = np.quantile(bootstrap(a, b)["e_distance"], [0.025, 0.975])
    >>> bool(low < 0 < high)
    True
    """
    a, b = as_samples(a=a, b=b)
    check_pairs("A bootstrap", a, b)
    rng = np.random.default_rng(rng)
    reference = Reference(b, resample(len(b), n_bootstrap, rng), width=width)
    counts = resample(len(a), n_bootstrap, rng)
    values = Comparison(a, reference).measure(np.arange(len(a)), counts)
    return {name: replicates[1:] for name, replicates in values.items()}


class ResampledMoments(NamedTuple):
    """Gene means and variances of all samples (first row), then of each resampling."""

    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray, counts: np.ndarray) -> ResampledMoments:
        """Compute them from samples × genes, and from resamplings × samples."""
        centre = samples.mean(axis=0)
        centred = samples - centre
        weights = shares(counts)
        shift = weights @ centred
        return cls(shift + centre, weights @ np.square(centred) - np.square(shift))


class Reference:
    """The real samples, and the distances among them.

    `counts` says how often each sample counts: a row of ones, then one row per resampling. The kernel
    of the MMD is as wide as the median distance, unless `width` is given.
    """

    def __init__(
        self, samples: np.ndarray, counts: np.ndarray, *, width: float | None = None
    ) -> None:
        self.samples, self.counts = np.asarray(samples, dtype=np.float64), counts
        distances = _distances(self.samples)
        pairs = distances[np.triu_indices(len(samples), 1)]
        self.width = kernel_width(pairs) if width is None else width
        self.distance = mean_of_pairs(distances, counts)
        self.kernel = mean_of_pairs(gaussian_kernel(distances, self.width), counts)
        self.moments = ResampledMoments.of(self.samples, counts)


class Comparison:
    """Samples against the reference: distances are computed once, for all groups of the samples."""

    def __init__(self, samples: np.ndarray, reference: Reference) -> None:
        self.samples = np.asarray(samples, dtype=np.float64)
        self.reference = reference
        self._within = _distances(self.samples)
        self._across = _distances(self.samples, reference.samples)

    def measure(self, rows: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric of the samples at `rows`: the value, then one per resampling.

        A single sample has no pairs and no variance: all but `mean_r2` are NaN.
        """
        real = self.reference
        moments = ResampledMoments.of(self.samples[rows], counts)
        values = {"mean_r2": np.square(pearson(moments.mean, real.moments.mean))}
        if len(rows) < 2:
            return {name: values.get(name, np.full(len(counts), np.nan)) for name in METRICS}
        values["e_distance"] = self.energy(rows, counts)
        within, across = self._within[np.ix_(rows, rows)], self._across[rows]
        values["mmd"] = (
            mean_of_pairs(gaussian_kernel(within, real.width), counts)
            + real.kernel
            - 2 * mean_across(gaussian_kernel(across, real.width), counts, real.counts)
        )
        values["variance_r2"] = np.square(pearson(moments.variance, real.moments.variance))
        return values

    def energy(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """E-distance of the samples at `rows`: the value, then one per resampling."""
        return (
            2 * mean_across(self._across[rows], counts, self.reference.counts)
            - mean_of_pairs(self._within[np.ix_(rows, rows)], counts)
            - self.reference.distance
        )


def resample(n_samples: int, n_bootstrap: int, rng: np.random.Generator) -> np.ndarray:
    """How often each sample counts: a row of ones, then one row per resampling."""
    draws = rng.multinomial(n_samples, np.full(n_samples, 1 / n_samples), size=n_bootstrap)
    return np.vstack([np.ones(n_samples), draws])


def resample_groups(groups: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """How often each sample counts where groups (donors) are drawn, resamplings × groups."""
    return np.vstack([np.ones(len(groups)), draws[:, groups]])


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares of their row; NaN for a resampling without samples."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


def mean_across(values: np.ndarray, counts_a: np.ndarray, counts_b: np.ndarray) -> np.ndarray:
    """Mean over pairs of a sample of each set, one number for each row of the counts."""
    return ((shares(counts_a) @ values) * shares(counts_b)).sum(axis=1)


def mean_of_pairs(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over pairs of different samples for each row of the counts; NaN without pairs."""
    among_others = values - np.diag(np.diag(values))
    total = ((counts @ among_others) * counts).sum(axis=1)
    n_pairs = counts.sum(axis=1) ** 2 - np.square(counts).sum(axis=1)
    return np.divide(total, n_pairs, out=np.full(len(counts), np.nan), where=n_pairs > 0)


def _distances(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Euclidean distances, by matrix products: a hundred times faster than pair by pair."""
    from sklearn.metrics.pairwise import euclidean_distances  # noqa: PLC0415 (slow to import)

    return euclidean_distances(a, b)
