from __future__ import annotations

import numpy as np
import ot
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scgan_perturb.metrics import (
    class_mean_shift,
    global_mean_shift,
    matched_target_sample,
    mean_context_shift,
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
        lambda: matched_target_sample(TRAIN, TRAIN[:0]),
        lambda: random_target_sample(TRAIN, TRAIN[:0]),
    ],
)
def test_no_target_sample_is_refused(move):
    with pytest.raises(ValueError, match="target has no sample; at least 1 is needed"):
        move()


def test_as_many_target_samples_are_matched_by_the_best_assignment():
    x, target = np.random.default_rng(1).random((2, 25, 4))
    order = linear_sum_assignment(cdist(x, target, "sqeuclidean"))[1]
    np.testing.assert_array_equal(matched_target_sample(x, target), target[order])


def test_target_samples_are_matched_as_often_as_each_other():
    x, target = RNG.random((30, 4)), RNG.random((10, 4))
    counts = pd.DataFrame(matched_target_sample(x, target)).value_counts()
    assert list(counts) == [3] * 10


def test_each_sample_gets_one_of_those_that_the_plan_gives_it():
    x, target = RNG.random((7, 4)), RNG.random((12, 4))
    plan = ot.emd([], [], cdist(x, target, "sqeuclidean"))
    for sample, share in zip(matched_target_sample(x, target), plan, strict=True):
        assert (sample == target[share == share.max()]).all(axis=1).any()


def test_matching_minds_neither_the_type_nor_far_values():
    x, target = RNG.random((8, 4)), RNG.random((8, 4)) + 1000
    expected = matched_target_sample(x, target - 1000) + 1000
    np.testing.assert_allclose(matched_target_sample(x, target), expected)
    whole = matched_target_sample(np.array([[0], [9]]), np.array([[8], [1]]))
    np.testing.assert_array_equal(whole, [[1], [8]])


def test_copies_of_one_target_sample_can_be_matched():
    found = matched_target_sample(TRAIN[:5], np.repeat(TRAIN[20:21], 3, axis=0))
    np.testing.assert_array_equal(found, np.repeat(TRAIN[20:21], 5, axis=0))


def test_the_context_shift_is_that_of_grouped_means():
    rng = np.random.default_rng(2)
    contexts, is_target = rng.choice(["b", "nk", "t"], 60), rng.random(60) < 0.4
    train = rng.random((60, 4))
    means = pd.DataFrame(train).groupby([contexts, is_target]).mean()
    expected = (means.xs(True, level=1) - means.xs(False, level=1)).mean()
    found = mean_context_shift(train, is_target, contexts)
    np.testing.assert_allclose(found, expected)


def test_contexts_without_sources_or_target_do_not_count():
    contexts = np.repeat(["both", "source", "target"], 10)
    is_target = np.r_[np.arange(10) % 2 == 0, np.zeros(10, bool), np.ones(10, bool)]
    expected = TRAIN[:10:2].mean(axis=0) - TRAIN[1:10:2].mean(axis=0)
    np.testing.assert_allclose(mean_context_shift(TRAIN, is_target, contexts), expected)


def test_a_shift_that_no_context_shows_is_refused():
    contexts, is_target = np.repeat(["source", "target"], 15), np.arange(30) >= 15
    with pytest.raises(ValueError, match="No context has training samples of both"):
        mean_context_shift(TRAIN, is_target, contexts)
