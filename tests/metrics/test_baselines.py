from __future__ import annotations

import numpy as np
import pytest

from scgan_perturb.metrics import (
    class_mean_shift,
    global_mean_shift,
    nearest_target_sample,
    random_target_sample,
)

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


def test_shifts_of_class_means_end_at_one():
    shifted = class_mean_shift(TRAIN[:1] + 9, np.array(["a"]), TRAIN, TRAIN_LABELS, "c")
    assert (shifted == 1).all()


def test_samples_of_the_target_stay_where_they_are():
    shifted = class_mean_shift(TRAIN[20:], TRAIN_LABELS[20:], TRAIN, TRAIN_LABELS, "c")
    np.testing.assert_allclose(shifted, TRAIN[20:])


def test_a_label_never_seen_is_refused():
    with pytest.raises(ValueError, match="'new' has no training sample"):
        class_mean_shift(TRAIN[:1], np.array(["new"]), TRAIN, TRAIN_LABELS, "c")


def test_the_global_shift_is_one_for_all():
    source, target = TRAIN[:20] * 0.1 + 0.4, TRAIN[20:] * 0.1 + 0.5
    shifted = global_mean_shift(source, source, target)
    np.testing.assert_allclose(shifted.mean(axis=0), target.mean(axis=0))
    np.testing.assert_allclose(np.ptp(shifted - source, axis=0), 0, atol=1e-12)
    assert (global_mean_shift(source + 9, source, target) == 1).all()


def test_the_nearest_target_sample_is_the_nearest():
    found = nearest_target_sample(TRAIN[:20], TRAIN[20:])
    for sample, nearest in zip(TRAIN[:20], found, strict=True):
        expected = min(TRAIN[20:], key=lambda other: np.linalg.norm(other - sample))
        np.testing.assert_array_equal(nearest, expected)


def test_random_target_samples_are_all_as_likely():
    target = TRAIN[20:]
    found = random_target_sample(np.zeros((5000, 4)), target, rng=1)
    counts = [(found == sample).all(axis=1).sum() for sample in target]
    assert sum(counts) == 5000
    assert min(counts) > 400
    np.testing.assert_array_equal(found, random_target_sample(np.zeros((5000, 4)), target, rng=1))


@pytest.mark.parametrize(
    "move",
    [
        lambda: global_mean_shift(TRAIN, TRAIN, TRAIN[:0]),
        lambda: nearest_target_sample(TRAIN, TRAIN[:0]),
        lambda: random_target_sample(TRAIN, TRAIN[:0]),
    ],
)
def test_no_target_sample_is_refused(move):
    with pytest.raises(ValueError, match="target has no sample; at least 1 is needed"):
        move()
