from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgan_perturb.data._labels import find_label, read_labels, resolve_class


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


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.array([b"b", b"a"], dtype=object), ["a", "b"]),
        (np.array([0.5, 0.1], dtype=np.float32), ["0.1", "0.5"]),
        (pd.Categorical(np.array([0.5, 0.1], dtype=np.float32)), ["0.1", "0.5"]),
        (pd.array([2, 1], dtype="Int64"), ["1", "2"]),
        (np.array([2.0, 1.0]), ["1.0", "2.0"]),
    ],
    ids=["bytes", "float32", "categories of float32", "nullable numbers", "floats"],
)
def test_fits_and_figures_read_the_same_text(values, classes, sort):
    labels = read_labels(with_labels(values), "y", sort=sort)
    assert list(labels.cat.categories) == classes


def test_a_label_called_as_all_samples_together_is_refused_and_the_remedy_helps():
    adata = with_labels(pd.Categorical(["all", "b"]))
    with pytest.raises(ValueError, match=r"A label in adata\.obs\['y'\] is called 'all'") as raised:
        read_labels(adata, "y")
    exec(str(raised.value).partition("Rename it: ")[2].rstrip("."), {"adata": adata})
    assert list(read_labels(adata, "y")) == ["all_cells", "b"]


FOUND = {
    "text": ("b", ["a", "b"], 1),
    "text of NumPy": (np.str_("b"), ["a", "b"], 1),
    "an array without axes": (np.array("b"), ["a", "b"], 1),
    "bytes": (b"b", ["a", "b"], 1),
    "bytes of NumPy": (np.bytes_(b"b"), ["a", "b"], 1),
    "empty text": ("", ["a", ""], 1),
    "a number": (1, ["0", "1"], 1),
    "a number as text": ("1", ["0", "1"], 1),
    "a number of NumPy": (np.int8(1), ["0", "1"], 1),
    "a number without axes": (np.array(1), ["0", "1"], 1),
    "a float that is whole": (1.0, ["0", "1"], 1),
    "a whole number among floats": (1, ["0.0", "1.0"], 1),
    "a float of NumPy": (np.float32(0.1), ["0.1", "1.0"], 0),
    "a float32 that was widened": (float(np.float32(0.2)), ["0.1", "0.2"], 1),
    "NaN": (float("nan"), ["0", "x"], -1),
    "infinity": (float("inf"), ["0", "inf"], 1),
    "a truth": (True, ["False", "True"], 1),
    "a truth of NumPy": (np.True_, ["False", "True"], 1),
    "a truth without axes": (np.array(True), ["False", "True"], 1),
    "a truth among numbers": (True, ["0", "1"], -1),
    "a number among truths": (1, ["False", "True"], -1),
    "text that is another text": ("01", ["0", "1"], -1),
    "a number that two labels read like": (1, ["1.0", "01"], -1),
    "a large number": (2**53 + 1, [str(2**53), str(2**53 + 1)], 1),
    "None": (None, ["a"], -1),
    "an unknown one": (2, ["0", "1"], -1),
}


@pytest.mark.parametrize(("label", "known", "position"), FOUND.values(), ids=FOUND)
def test_a_label_is_found_however_it_is_written(label, known, position):
    assert find_label(label, known) == find_label(label, np.array(known, dtype=object)) == position


def test_values_that_read_alike_are_refused():
    with pytest.raises(ValueError, match="read alike: '1', '1'"):
        read_labels(with_labels(pd.Series([1, "1", 1], dtype=object).to_numpy()), "y")


def test_a_class_is_found_by_any_value_that_reads_like_it():
    classes = np.array(["1", "3"], dtype=object)
    assert resolve_class(3, classes) == resolve_class("3", classes) == 1
