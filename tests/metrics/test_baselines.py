from __future__ import annotations

import numpy as np
import pytest

from scgan_perturb.metrics import class_mean_shift

RNG = np.random.default_rng(0)
TRAIN, TRAIN_LABELS = RNG.random((30, 4)), np.repeat(["a", "b", "c"], 10)


def test_class_means_become_the_target_mean():
    shifted = class_mean_shift(TRAIN * 0.1, TRAIN_LABELS, TRAIN * 0.1, TRAIN_LABELS, "c")
    target = (TRAIN * 0.1)[20:].mean(axis=0)
    # Clipping at 0 can only raise a value.
    assert (shifted[:10].mean(axis=0) >= target - 1e-12).all()
    inside = TRAIN * 0.1 + 0.4
    shifted = class_mean_shift(inside, TRAIN_LABELS, inside, TRAIN_LABELS, "c")
    np.testing.assert_allclose(shifted[:10].mean(axis=0), inside[20:].mean(axis=0))


def test_samples_of_the_target_stay_where_they_are():
    shifted = class_mean_shift(TRAIN[20:], TRAIN_LABELS[20:], TRAIN, TRAIN_LABELS, "c")
    np.testing.assert_allclose(shifted, TRAIN[20:])


def test_a_label_never_seen_is_refused():
    with pytest.raises(ValueError, match="'new' has no training sample"):
        class_mean_shift(TRAIN[:1], np.array(["new"]), TRAIN, TRAIN_LABELS, "c")
