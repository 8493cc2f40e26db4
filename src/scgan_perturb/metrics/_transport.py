"""Optimal transport between Gaussians, in closed form: strong baselines."""

from __future__ import annotations

import numpy as np

from ._baselines import move_by_class
from ._gaussian import NO_SPREAD, ShrunkCovariance, bures_map, has_spread, shrunk_bures_map
from ._inputs import as_samples


def diagonal_gaussian_transport(
    x: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray, target: object
) -> np.ndarray:
    """Transport each class, gene by gene, to the target's mean and variance.

    μ_t + (σ_t / σ_s)(x − μ_s), the optimal map between Gaussians of independent genes. Uses the
    label of each sample, which the generator does not know. Where σ_s is 0, or the class or the
    target has a single training sample, only the mean is shifted.

    Parameters
    ----------
    x, labels
        Samples × genes, scaled to [0, 1], and their labels.
    train, train_labels
        Training samples and their labels. They include each label of `x` and the target.
    target
        Label of the target.

    Returns
    -------
    Samples × genes, float64, clipped to [0, 1].

    Raises
    ------
    ValueError
        If a label has no training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import diagonal_gaussian_transport
    >>> train = np.array([[0.0], [0.5], [0.5], [0.75]])
    >>> labels = np.array(["a", "a", "b", "b"])
    >>> diagonal_gaussian_transport(train[:2], labels[:2], train, labels, "b")
    array([[0.5 ],
           [0.75]])
    """
    moved = move_by_class(_diagonal_map, x, labels, train, train_labels, target)
    return np.clip(moved, 0, 1)


def full_gaussian_transport(
    x: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray, target: object
) -> np.ndarray:
    """Transport each class to the target's mean and full covariance.

    The optimal (Bures-Wasserstein) map between N(μ_s, Σ_s) and N(μ_t, Σ_t). Uses the label of each
    sample. The covariances are shrunk after Ledoit and Wolf, by 0.001 at least, to
    (1 − α)·S + α·m·I. In the span of both classes' centred samples the map is a small matrix;
    outside it is the factor √(α_t m_t / α_s m_s). This is exact, and needs no genes × genes matrix.
    Classes with fewer than three training samples, or without spread, are shifted.

    Parameters
    ----------
    x, labels
        Samples × genes, scaled to [0, 1], and their labels.
    train, train_labels
        Training samples and their labels. They include each label of `x` and the target.
    target
        Label of the target.

    Returns
    -------
    Samples × genes, float64, clipped to [0, 1].

    Raises
    ------
    ValueError
        If a label has no training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import full_gaussian_transport
    >>> rng = np.random.default_rng(0)
    >>> train = np.vstack([rng.normal(m, 0.02, size=(50, 9)) for m in (0.3, 0.6)])
    >>> labels = np.repeat(["a", "b"], 50)
    >>> moved = full_gaussian_transport(train[:50], labels[:50], train, labels, "b")
    >>> bool(np.allclose(moved.mean(axis=0), train[50:].mean(axis=0)))
    True
    """
    return np.clip(move_by_class(_full_map, x, labels, train, train_labels, target), 0, 1)


def linear_gaussian_transport(
    x: np.ndarray, source: np.ndarray, target: np.ndarray, *, n_components: int = 100
) -> np.ndarray:
    """Transport all sources together to the target's mean and covariance.

    One affine map for every sample, which needs no label. In principal components of the training
    samples this is the Bures-Wasserstein map between the covariances, shrunk after Ledoit and
    Wolf. The residual outside the components is scaled gene by gene to the target's spread.

    Parameters
    ----------
    x
        Samples × genes, scaled to [0, 1].
    source, target
        Training samples × genes: of all classes but the target, and of the target.
    n_components
        Number of principal components, at most.

    Returns
    -------
    Samples × genes, float64, clipped to [0, 1].

    Raises
    ------
    ValueError
        If `source` or `target` has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import linear_gaussian_transport
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(0.4, 0.05, (40, 9)), rng.normal(0.6, 0.02, (30, 9))
    >>> moved = linear_gaussian_transport(source, source, target, n_components=3)
    >>> bool(np.allclose(moved.mean(axis=0), target.mean(axis=0)))
    True
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 (slow to import)

    x, source, target = as_samples(x=x, source=source, target=target)
    if min(len(source), len(target)) < 2:
        msg = f"Transport needs at least 2 samples a side, not {len(source)} and {len(target)}."
        raise ValueError(msg)
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    both = np.vstack([source, target])
    pca = PCA(min(n_components, len(both) - 1, both.shape[1]), random_state=0)
    with np.errstate(invalid="ignore"):  # shares of a variance of 0, where all samples are alike
        pca.fit(both)
    axes = pca.components_

    def project(samples: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centred = samples - centre
        inside = centred @ axes.T
        return inside, centred - inside @ axes

    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    (inside_s, rest_s), (inside_t, rest_t) = project(source, mean_s), project(target, mean_t)
    inside, rest = project(np.asarray(x, np.float64), mean_s)
    linear = shrunk_bures_map(inside_s, inside_t) if has_spread(inside_s) else np.eye(len(axes))
    moved = mean_t + inside @ linear @ axes + rest * _ratio(rest_s.std(axis=0), rest_t.std(axis=0))
    return np.clip(moved, 0, 1)


def _diagonal_map(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    ratio = np.ones(x.shape[1])
    if min(len(source), len(target)) > 1:
        ratio = _ratio(source.std(axis=0, ddof=1), target.std(axis=0, ddof=1))
    return target.mean(axis=0) + ratio * (x - source.mean(axis=0))


def _full_map(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    source, target, x = source - mean_s, target - mean_t, x - mean_s
    if min(len(source), len(target)) < 3 or not has_spread(source):
        return mean_t + x
    basis = np.linalg.qr(np.vstack([source, target]).T)[0]  # genes × directions
    shrunk_s, shrunk_t = ShrunkCovariance.of(source), ShrunkCovariance.of(target)
    linear = bures_map(shrunk_s.matrix(source @ basis), shrunk_t.matrix(target @ basis))
    inside = x @ basis
    outside = np.sqrt(shrunk_t.isotropic / shrunk_s.isotropic) * (x - inside @ basis.T)
    return mean_t + inside @ linear @ basis.T + outside


def _ratio(spread_s: np.ndarray, spread_t: np.ndarray) -> np.ndarray:
    """σ_t / σ_s; 1 where σ_s is 0."""
    return np.divide(spread_t, spread_s, out=np.ones_like(spread_t), where=spread_s > NO_SPREAD)
