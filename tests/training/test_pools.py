from __future__ import annotations

import numpy as np
import torch
from scipy.stats import chisquare

from scgan_perturb.training._fit import VALIDATION_SHARE, _choose_validation
from scgan_perturb.training._pools import Pool, make_pools

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
EVERYONE = torch.ones(8, dtype=torch.bool)


def pools(targets, is_source=EVERYONE, among=EVERYONE) -> tuple[list, ...]:
    """The members of the pools, as many draws show them."""
    found = make_pools(LABELS, torch.tensor(targets), is_source, among)
    places, rng = torch.arange(len(targets)), torch.Generator().manual_seed(0)
    drawn = (pool.draw(places, 200, rng) for pool in (found.sources, found.real))
    return tuple([sorted(set(row)) for row in pool.tolist()] for pool in drawn)


def test_each_member_is_drawn_equally_often():
    pool = Pool([torch.tensor([7]), torch.tensor([3, 5, 9, 11])])
    drawn = pool.draw(torch.tensor([1, 0]), 8000, torch.Generator().manual_seed(0))
    assert (drawn[1] == 7).all()
    counts = np.unique(drawn[0], return_counts=True)
    assert counts[0].tolist() == [3, 5, 9, 11]
    assert chisquare(counts[1]).pvalue > 0.01


def test_sources_are_the_samples_of_other_classes_and_real_ones_the_targets():
    assert pools([1, 0]) == (
        [[0, 1, 2, 6, 7], [3, 4, 5, 6, 7]],
        [[3, 4, 5], [0, 1, 2]],
    )


def test_only_samples_of_the_source_are_perturbed_but_all_of_the_target_are_real():
    assert pools([1], is_source=LABELS == 2) == ([[6, 7]], [[3, 4, 5]])


def test_a_part_holds_its_own_samples_only():
    among = torch.tensor([1, 0, 0, 1, 0, 0, 0, 1], dtype=torch.bool)
    assert pools([1], among=among) == ([[0, 7]], [[3]])


def test_where_a_part_has_no_samples_all_of_them_are_taken():
    assert pools([2], among=LABELS == 0) == ([[0, 1, 2]], [[6, 7]])
    assert pools([0], among=LABELS == 0) == ([[3, 4, 5, 6, 7]], [[0, 1, 2]])


def test_validation_takes_its_share_of_each_class_rounded_down():
    labels = np.repeat([0, 1, 2, 3], [100, 39, 10, 9])
    np.random.default_rng(0).shuffle(labels)
    chosen = _choose_validation(labels, seed=0)
    expected = [int(VALIDATION_SHARE * n) for n in (100, 39, 10, 9)]
    assert np.bincount(labels[chosen], minlength=4).tolist() == expected


def test_the_seed_decides_who_validates():
    labels = np.zeros(200, dtype=int)
    first, same, other = (_choose_validation(labels, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
