from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
import zarr
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from scgan_perturb.data._on_disk import MOST_ROWS, as_disk_matrix

N_ROWS, N_GENES = 2 * MOST_ROWS + 100, 7


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.7, (N_ROWS, N_GENES)).astype(np.float32)


@pytest.fixture(params=["h5 dense", "h5 csr", "zarr dense", "zarr csr"])
def matrix(request, x, tmp_path):
    """The same on disk, as anndata hands it out; more rows than are read at once."""
    kind, form = request.param.split()
    file = h5py.File(tmp_path / "x", "w") if kind == "h5" else zarr.open_group(tmp_path / "x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata tells how it will write in future
        write_elem(file, "X", sparse.csr_matrix(x) if form == "csr" else x)
    return as_disk_matrix(sparse_dataset(file["X"]) if form == "csr" else file["X"])


ROWS = {
    "slice": slice(20, MOST_ROWS + 190),
    "every third": slice(None, None, 3),
    "from the end": np.arange(N_ROWS)[::-1],
    "far apart and repeated": np.array([5000, 3, 4, 3, 120, 8291, 0]),
    "mask": np.arange(N_ROWS) % 7 == 0,
    "none": np.array([], dtype=int),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows_are_those_of_the_matrix(x, matrix, rows):
    found = matrix[rows]
    found = found.toarray() if sparse.issparse(found) else found
    np.testing.assert_array_equal(found, x[rows])
    assert found.dtype == np.float32
    assert matrix.shape == x.shape


def test_genes_are_chosen_from_the_chosen(x, matrix):
    found = matrix.select(np.array([5, 2, 6, 0])).select(np.array([3, 1]))
    assert found.shape == (N_ROWS, 2)
    values = found[np.array([4, 2])]
    values = values.toarray() if sparse.issparse(values) else values
    np.testing.assert_array_equal(values, x[np.ix_([4, 2], [0, 2])])


def test_near_rows_are_read_together_and_far_ones_apart(matrix):
    matrix._gap = 2
    runs = matrix._runs(np.array([10, 12, 13, 20, MOST_ROWS - 1, MOST_ROWS]))
    assert [run.tolist() for _, run in runs] == [[10, 12, 13], [20], [MOST_ROWS - 1], [MOST_ROWS]]


def test_what_is_in_memory_is_none(x):
    assert as_disk_matrix(x) is None
    assert as_disk_matrix(sparse.csr_matrix(x)) is None
