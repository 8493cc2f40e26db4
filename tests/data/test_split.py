from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scgan_perturb.data._split import stratified_sample, stratified_split


def labels(**sizes: int) -> pd.Series:
    return pd.Series(pd.Categorical(np.repeat(list(sizes), list(sizes.values()))))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.5])
def test_each_class_holds_out_its_share(share):
    y = labels(a=100, b=50, c=10)
    held_out = ~stratified_split(y, share, seed=0) if share else np.zeros(160, bool)
    assert [held_out[y == name].sum() for name in "abc"] == [100 * share, 50 * share, 10 * share]


def test_the_split_follows_the_seed():
    first, same, other = (stratified_split(labels(a=50), 0.2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_classes_too_small_to_hold_out_train_with_a_warning():
    y = labels(a=20, b=2, c=1)
    with pytest.warns(UserWarning, match="Too few samples to hold any out: 'b', 'c'"):
        is_train = stratified_split(y, 0.2, seed=0)
    assert is_train[y != "a"].all()


def test_a_class_never_loses_all_its_samples():
    y = labels(a=20, b=2)
    assert stratified_split(y, 0.9, seed=0)[y == "b"].any()


def test_a_sample_is_of_each_class_by_its_share_and_of_rare_ones_more():
    codes = np.repeat([0, 1, 2], [8000, 1900, 100])
    chosen = stratified_sample(codes, 1000, seed=0)
    # By share 800, 190 and 10; half of an equal share is 166, and there are but 100.
    assert np.bincount(codes[chosen]).tolist() == [800, 190, 100]
    assert (np.diff(chosen) > 0).all()


def test_a_sample_of_no_more_than_there_are_is_all():
    codes = np.repeat([0, 1], [30, 20])
    np.testing.assert_array_equal(stratified_sample(codes, 50, seed=0), np.arange(50))


def test_a_sample_follows_the_seed():
    codes = np.zeros(100, dtype=int)
    first, same, other = (stratified_sample(codes, 10, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
