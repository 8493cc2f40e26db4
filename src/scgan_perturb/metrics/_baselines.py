"""What a plain method would have done: the opponents of the generator."""

from __future__ import annotations

import numpy as np


def class_mean_shift(
    x: np.ndarray, labels: np.ndarray, train: np.ndarray, train_labels: np.ndarray, target: object
) -> np.ndarray:
    """Samples moved by the difference between the target's mean and their own class's mean.

    Told the label of each sample, which the generator is not.

    Parameters
    ----------
    x, labels
        Samples × genes, scaled to [0, 1], and their labels.
    train, train_labels
        Samples that the means are taken from, and their labels. Each label of `x` has to be
        among them, and the target.
    target
        Label to move towards.

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
    means = {
        label: members_of(label, train, train_labels).mean(axis=0) for label in {*labels, target}
    }
    own = np.stack([means[label] for label in labels])
    return np.clip(x + means[target] - own, 0, 1)


def global_mean_shift(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Samples moved by the difference between the target's mean and that of all sources together.

    The same shift for every sample: it needs no label.

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
    check_samples(source=source, target=target)
    return np.clip(x + target.mean(axis=0) - source.mean(axis=0), 0, 1)


def nearest_target_sample(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The target sample nearest to each sample (Euclidean): another individual's, not its own.

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

    check_samples(target=target)
    return target[pairwise_distances_argmin(x, target)]


def random_target_sample(
    x: np.ndarray, target: np.ndarray, *, rng: int | np.random.Generator = 0
) -> np.ndarray:
    """A target sample at random for each sample: real, but with nothing of the sample in it.

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
    check_samples(target=target)
    return target[np.random.default_rng(rng).integers(len(target), size=len(x))]


def members_of(label: object, train: np.ndarray, train_labels: np.ndarray) -> np.ndarray:
    """The training samples of a class; ValueError if there are none."""
    members = train[train_labels == label]
    if len(members) == 0:
        msg = f"{str(label)!r} has no training sample to take a mean from."
        raise ValueError(msg)
    return members


def check_samples(**sets: np.ndarray) -> None:
    """Raise ValueError if one of the named sets is empty."""
    for name, samples in sets.items():
        if len(samples) == 0:
            msg = f"{name} has no sample; at least 1 is needed."
            raise ValueError(msg)
