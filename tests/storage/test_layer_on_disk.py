"""A CSR layer that is written part by part to an h5ad file or a zarr store."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pytest
import zarr
from scipy import sparse

from scgan_perturb.data._on_disk import DiskMatrix
from scgan_perturb.storage._file import commit
from scgan_perturb.storage._layer_on_disk import IDENTITY_ATTRIBUTE, CsrLayer

if TYPE_CHECKING:
    from pathlib import Path

N_SAMPLES, N_GENES, STRIDE = 700, 300, 80
PARTS = [slice(i, min(i + STRIDE, N_SAMPLES)) for i in range(0, N_SAMPLES, STRIDE)]


def samples(*, densities: tuple[float, float], seed: int = 0) -> sparse.csr_matrix:
    """Samples × genes whose share of values rises or falls from the first sample to the last."""
    rng = np.random.default_rng(seed)
    density = np.linspace(*densities, N_SAMPLES)[:, None]
    values = rng.random((N_SAMPLES, N_GENES), dtype=np.float32)
    return sparse.csr_matrix(np.where(rng.random(values.shape) < density, values, 0))


DENSITIES = pytest.mark.parametrize(
    "densities", [(0.1, 0.1), (0, 0.9), (0.9, 0), (0, 0)], ids=["even", "rises", "falls", "none"]
)


@pytest.fixture(params=["h5ad", "zarr"])
def path(request, tmp_path) -> Path:
    """A file with other samples of the same shape."""
    path = tmp_path / f"samples.{request.param}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata and zarr tell how they will write in future
        x = samples(densities=(0.1, 0.1), seed=1)
        getattr(ad.AnnData(x, layers={"other": x}), f"write_{request.param}")(path)
    return path


def opened(path: Path) -> tuple[object, CsrLayer]:
    """The file and its layer, opened as after another process was killed."""
    is_h5 = path.suffix == ".h5ad"
    file = h5py.File(path, "r+") if is_h5 else zarr.open_group(path, use_consolidated=False)
    return file, CsrLayer(file, "xadv", (N_SAMPLES, N_GENES), STRIDE)


def closed(file: object) -> None:
    if isinstance(file, h5py.File):
        file.close()


def begin(path: Path) -> None:
    """Create the layer, or begin it anew."""
    file, layer = opened(path)
    layer.create()
    layer.element.attrs.update({**layer.encoding, IDENTITY_ATTRIBUTE: "this result"})
    commit(file)
    closed(file)


def write(path: Path, x: sparse.csr_matrix, parts: list[slice] = PARTS) -> None:
    """Write consecutive parts, and free the spare space after the last."""
    file, layer = opened(path)
    layer.resume(parts[0].start)
    for part in parts:
        layer.write(part, x[part])
    if parts[-1] == PARTS[-1]:
        layer.finish()
    closed(file)


def read(path: Path) -> sparse.csr_matrix:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)
    layer = adata.layers["xadv"]
    layer.check_format(full_check=True)
    return layer


@DENSITIES
def test_the_layer_is_stored_as_anndata_stores_the_same_matrix(path, densities):
    x = samples(densities=densities)
    begin(path)
    write(path, x)
    found = read(path)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, name), getattr(x, name))
    assert found.dtype == np.float32
    file, layer = opened(path)
    np.testing.assert_array_equal(
        DiskMatrix(layer.element)[100:300].toarray(), x[100:300].toarray()
    )
    layer.matrix.append(x[:5])
    closed(file)
    np.testing.assert_array_equal(layer_of_more(path)[-5:].toarray(), x[:5].toarray())


def layer_of_more(path: Path) -> sparse.csr_matrix:
    """The layer alone, which has more samples than the file."""
    file, layer = opened(path)
    found = layer.matrix.to_memory()
    closed(file)
    return found


@DENSITIES
def test_samples_that_are_not_written_are_nan_and_the_others_right(path, densities):
    x = samples(densities=densities)
    begin(path)
    for part in PARTS[:-1]:
        write(path, x, [part])
        found = read(path).toarray()
        np.testing.assert_array_equal(found[: part.stop], x[: part.stop].toarray())
        assert np.isnan(found[part.stop :]).any(axis=1).all()


def test_parts_are_written_again_from_any_sample_on(path):
    x, other = samples(densities=(0.1, 0.6)), samples(densities=(0.6, 0.1), seed=2)
    begin(path)
    write(path, other)
    for first in (5, 8, 0):
        write(path, x, PARTS[first:])
        if first:
            np.testing.assert_array_equal(read(path)[:80].toarray(), other[:80].toarray())
    assert (read(path) != x).nnz == 0


def test_a_layer_that_is_begun_anew_uses_the_space_of_the_earlier_one(tmp_path, path):
    sizes = []
    for seed in range(3):
        begin(path)
        assert np.isnan(read(path).toarray()).any(axis=1).all()
        x = samples(densities=(0.1, 0.1), seed=seed)
        write(path, x)
        assert (read(path) != x).nnz == 0
        sizes.append(sum(file.stat().st_size for file in [path, *tmp_path.rglob("c/*")]))
    assert sizes[-1] < 1.05 * sizes[0]


def test_writing_a_part_of_an_h5ad_file_changes_values_only(tmp_path):
    """HDF5's index stays as it is, so that a kill cannot damage the file."""
    x = samples(densities=(0.1, 0.1))
    path = tmp_path / "samples.h5ad"
    ad.AnnData(x, layers={"other": x}).write_h5ad(path)
    begin(path)
    write(path, x, PARTS[:1])  # the first part makes room for all
    before = np.fromfile(path, dtype=np.uint8)
    write(path, x, PARTS[1:-1])
    after = np.fromfile(path, dtype=np.uint8)
    assert before.shape == after.shape
    changed = np.flatnonzero(before != after)
    file, layer = opened(path)
    is_value = np.zeros(len(after), dtype=bool)
    for name in ("data", "indices", "indptr"):
        stored = layer.element[name].id
        for i in range(stored.get_num_chunks()):
            chunk = stored.get_chunk_info(i)
            is_value[chunk.byte_offset : chunk.byte_offset + chunk.size] = True
    closed(file)
    assert len(changed)
    assert is_value[changed].all()
