"""Baselines: plain methods that the generator has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._inputs import as_samples, check_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    # Samples, the training samples of their class and those of the target, to samples.
    Move = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def class_mean_shift(
    x: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray, target: object
) -> np.ndarray:
    """Shift samples by the difference between the target's mean and the mean of their class.

    Uses the label of each sample, which the generator does not know.

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
    Samples × genes, clipped to [0, 1].

    Raises
    ------
    ValueError
        If a label has no training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import class_mean_shift
    >>> train, train_labels = np.array([[0.2], [0.7]]), np.array(["a", "b"])
    >>> class_mean_shift(np.array([[0.3]]), np.array(["a"]), train, train_labels, "b")
    array([[0.8]])
    """
    return np.clip(move_by_class(_shift, x, labels, train, train_labels, target), 0, 1)


def global_mean_shift(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Shift samples by the difference between the target's mean and the mean of all sources.

    The shift is the same for every sample and needs no label.

    Parameters
    ----------
    x
        Samples × genes, scaled to [0, 1].
    source, target
        Training samples × genes: of all classes but the target, and of the target.

    Returns
    -------
    Samples × genes, clipped to [0, 1].

    Raises
    ------
    ValueError
        If `source` or `target` has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import global_mean_shift
    >>> global_mean_shift(np.array([[0.25]]), np.array([[0.0], [0.5]]), np.array([[0.5]]))
    array([[0.5]])
    """
    x, source, target = as_samples(x=x, source=source, target=target)
    check_samples(source=source, target=target)
    return np.clip(_shift(x, source, target), 0, 1)


def mean_context_shift(
    train: np.ndarray, is_target: np.ndarray, contexts: np.ndarray
) -> np.ndarray:
    """Mean over contexts of the shift from the sources to the target.

    A prediction for contexts (cell types, donors) without target samples.

    Parameters
    ----------
    train, is_target, contexts
        Training samples × genes of the sources and the target, which of these are of the target,
        and the context of each.

    Returns
    -------
    The shift of each gene.

    Raises
    ------
    ValueError
        If no context has samples of both the sources and the target.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import mean_context_shift
    >>> train, is_target = np.array([[0.0], [0.5], [0.5], [0.75]]), np.array([0, 1, 0, 1], bool)
    >>> mean_context_shift(train, is_target, np.array(["b", "b", "t", "t"]))
    array([0.375])
    """
    train, contexts = as_samples(train=train)[0], np.asarray(contexts)
    is_target = np.asarray(is_target, dtype=bool)
    shifts = []
    for context in np.unique(contexts):
        here = contexts == context
        source, target = train[here & ~is_target], train[here & is_target]
        if len(source) and len(target):
            shifts.append(target.mean(axis=0) - source.mean(axis=0))
    if not shifts:
        msg = "No context has training samples of both the sources and the target."
        raise ValueError(msg)
    return np.asarray(np.mean(shifts, axis=0))


def nearest_target_sample(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """For each sample the nearest target sample (Euclidean), which is another individual's.

    Parameters
    ----------
    x
        Samples × genes.
    target
        Training samples of the target × genes.

    Returns
    -------
    Samples × genes, rows of `target`.

    Raises
    ------
    ValueError
        If `target` has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import nearest_target_sample
    >>> nearest_target_sample(np.array([[0.4]]), np.array([[0.5], [0.9]]))
    array([[0.5]])
    """
    from sklearn.metrics import pairwise_distances_argmin  # noqa: PLC0415 (slow to import)

    x, target = as_samples(x=x, target=target)
    check_samples(target=target)
    return target[pairwise_distances_argmin(x, target)]


def matched_target_sample(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """For each sample a target sample, assigned by optimal transport.

    POT computes the plan of least total squared distance that uses all target samples equally
    often. The assigned sample is another individual's.

    Parameters
    ----------
    x
        Samples × genes.
    target
        Training samples of the target × genes.

    Returns
    -------
    Samples × genes, rows of `target`: for each sample the one with the largest weight in the plan.

    Raises
    ------
    ValueError
        If `target` has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import matched_target_sample
    >>> matched_target_sample(np.array([[0.4], [0.5]]), np.array([[0.5], [0.9]]))
    array([[0.5],
           [0.9]])
    """
    import ot  # noqa: PLC0415 (slow to import)
    from sklearn.metrics.pairwise import euclidean_distances  # noqa: PLC0415 (slow to import)

    x, target = as_samples(x=x, target=target)
    check_samples(target=target)
    cost = euclidean_distances(x.astype(float), target.astype(float), squared=True)
    plan = ot.emd([], [], cost, numItermax=1_000_000)
    return target[plan.argmax(axis=1)]


def random_target_sample(
    x: np.ndarray, target: np.ndarray, *, rng: int | np.random.Generator = 0
) -> np.ndarray:
    """For each sample a random target sample: real, but unrelated to the sample.

    Parameters
    ----------
    x
        Samples × genes.
    target
        Training samples of the target × genes.
    rng
        Seed or generator.

    Returns
    -------
    Samples × genes, rows of `target`.

    Raises
    ------
    ValueError
        If `target` has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import random_target_sample
    >>> random_target_sample(np.array([[0.1], [0.2]]), np.array([[0.7]]))
    array([[0.7],
           [0.7]])
    """
    x, target = as_samples(x=x, target=target)
    check_samples(target=target)
    return target[np.random.default_rng(rng).integers(len(target), size=len(x))]


def move_by_class(
    move: Move,
    x: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    train_labels: np.ndarray,
    target: object,
) -> np.ndarray:
    """Move the samples of each class with its training samples and those of the target."""
    x, train = as_samples(x=x, train=train)
    labels, train_labels = np.asarray(labels), np.asarray(train_labels)
    to = _members(target, train, train_labels)
    moved = np.empty(x.shape)
    for label in np.unique(labels):
        rows = labels == label
        moved[rows] = move(x[rows].astype(np.float64), _members(label, train, train_labels), to)
    return moved


def _shift(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return x + target.mean(axis=0) - source.mean(axis=0)


def _members(label: object, train: np.ndarray, train_labels: np.ndarray) -> np.ndarray:
    """The training samples of a class; ValueError without any."""
    members = train[train_labels == label].astype(np.float64)
    if len(members) == 0:
        msg = f"{str(label)!r} has no training sample to take a mean from."
        raise ValueError(msg)
    return members
