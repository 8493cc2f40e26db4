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
    means = {}
    for label in {*labels, target}:
        members = train[train_labels == label]
        if len(members) == 0:
            msg = f"{str(label)!r} has no training sample to take a mean from."
            raise ValueError(msg)
        means[label] = members.mean(axis=0)
    own = np.stack([means[label] for label in labels])
    return np.clip(x + means[target] - own, 0, 1)
