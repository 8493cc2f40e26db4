from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgan_perturb.data._labels import read_labels, resolve_class


def with_labels(values) -> ad.AnnData:
    obs = pd.DataFrame({"y": values}, index=[f"s{i}" for i in range(len(values))])
    return ad.AnnData(np.ones((len(values), 2), dtype=np.float32), obs=obs)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([3, 1, 10], ["1", "3", "10"]),
        ([True, False, True], ["False", "True"]),
        (["a/b", "", "ü"], ["", "a/b", "ü"]),
        (pd.Categorical(["x", "y", "x"], ["y", "x", "unused"]), ["y", "x"]),
    ],
    ids=["text", "numbers", "booleans", "odd text", "categories in their order"],
)
def test_labels_are_read_as_text(values, classes):
    labels = read_labels(with_labels(values), "y")
    assert list(labels.cat.categories) == classes
    assert list(labels) == [str(value) for value in values]


def test_values_that_read_alike_are_refused():
    with pytest.raises(ValueError, match="read alike: '1', '1'"):
        read_labels(with_labels(pd.Series([1, "1", 1], dtype=object).to_numpy()), "y")


def test_a_class_is_found_by_any_value_that_reads_like_it():
    classes = np.array(["1", "3"], dtype=object)
    assert resolve_class(3, classes) == resolve_class("3", classes) == 1
