"""h5ad files that anndata opens with backed=: closed by anndata, of older formats, with layers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pytest
import scanpy as sc

import scgan_perturb as sp
from scgan_perturb.data._blocks import dense
from tests.conftest import make_adata

if TYPE_CHECKING:
    from collections.abc import Callable

OF_SCANPY = Path(sc.__file__).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"  # anndata 0.6
# What anndata says of old files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Moving element from .uns|This is where adjacency|.*very old version of AnnData)",
    "ignore:.*written without encoding metadata",
    "ignore:.*lie beyond the range of the training samples",  # a file of z-scores
)


def fit(adata: ad.AnnData, **options) -> ad.AnnData:
    sp.tl.fit_tspg(adata, "tissue", "lung", **options)
    return adata


@pytest.fixture
def path(tmp_path) -> Path:
    """A file with X and a layer in other units."""
    adata = make_adata()
    adata.layers["log"] = adata.X * np.float32(2)
    adata.write_h5ad(tmp_path / "samples.h5ad")
    return tmp_path / "samples.h5ad"


@pytest.fixture(scope="module")
def _fitted_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "samples.h5ad"
    make_adata(kind="csr").write_h5ad(path)
    fit(ad.read_h5ad(path, backed="r+")).file.close()
    return path


@pytest.fixture
def fitted_file(_fitted_file, tmp_path) -> ad.AnnData:
    """A file whose layer was written by the last call."""
    adata = ad.read_h5ad(shutil.copy(_fitted_file, tmp_path), backed="r+")
    sp.tl.perturb(adata)
    return adata


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda a: a[["sample7", "sample3"]].to_memory(), id="named samples"),
        pytest.param(lambda a: a[(a.obs["tissue"] == "lung").to_numpy()].to_memory(), id="mask"),
        pytest.param(lambda a: a[:, :4].to_memory(), id="some genes"),
        pytest.param(lambda a: a.to_memory(), id="all"),
        pytest.param(lambda a: a.file.close(), id="closed"),
    ],
)
def test_reading_into_memory_leaves_a_fitted_file_usable(fitted_file, read):
    expected = fitted_file.layers["xadv"].to_memory().toarray()
    read(fitted_file)
    assert "xadv" in repr(fitted_file)
    np.testing.assert_array_equal(fitted_file.layers["xadv"].to_memory().toarray(), expected)
    sp.tl.perturb(fitted_file)
    sp.tl.evaluate(fitted_file, n_bootstrap=0)


def test_samples_of_a_file_that_are_read_into_memory_hold_their_results(fitted_file):
    part = fitted_file[["sample7", "sample3"]].to_memory()
    expected = fitted_file.layers["xadv"].to_memory().toarray()[[7, 3]]
    np.testing.assert_array_equal(part.layers["xadv"].toarray(), expected)
    assert sp.get.perturbation(part).shape == (2, 12)


def test_the_file_of_a_deleted_adata_is_closed(fitted_file):
    path = fitted_file.filename
    fitted_file.file.close()
    del fitted_file.layers["xadv"]
    h5py.File(path, "w").close()  # HDF5 refuses this for an open file


def as_of_0_7(file: h5py.File) -> None:
    """Categories in a group of their own, and no type of the whole file."""
    file.attrs.clear()
    for name in ("obs", "var"):
        file[name].attrs["encoding-version"] = "0.1.0"
    obs = file["obs"]
    codes, categories = obs["tissue/codes"][:], obs["tissue/categories"][:]
    del obs["tissue"]
    stored = obs.create_group("__categories").create_dataset("tissue", data=categories)
    stored.attrs["ordered"] = False
    obs["tissue"] = codes
    obs["tissue"].attrs["categories"] = stored.ref


def as_of_r(file: h5py.File) -> None:
    """As SeuratDisk converts: no type of the whole file, and no empty groups."""
    file.attrs.clear()
    for name in ("layers", "uns", "obsm", "varm", "obsp", "varp"):
        del file[name]


@pytest.mark.parametrize(("kind", "change"), [("dense", as_of_0_7), ("csr", as_of_r)])
def test_files_of_other_writers_are_written_to(tmp_path, kind, change):
    path = tmp_path / "old.h5ad"
    make_adata(kind=kind).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        change(file)
    on_disk = fit(ad.read_h5ad(path, backed="r+"))
    sp.tl.evaluate(on_disk, n_bootstrap=0)
    kept, expected = ad.read_h5ad(path), fit(make_adata())
    np.testing.assert_array_equal(dense(kept.layers["xadv"]), dense(expected.layers["xadv"]))
    assert kept.obs["tspg_split"].tolist() == expected.obs["tspg_split"].tolist()
    assert kept.obs["tissue"].tolist() == expected.obs["tissue"].tolist()
    assert "evaluation" in kept.uns["tspg"]


def test_a_csr_matrix_of_anndata_0_6_is_read(tmp_path):
    make_adata(kind="csr").write_h5ad(tmp_path / "old.h5ad")
    with h5py.File(tmp_path / "old.h5ad", "r+") as file:
        names = {"h5sparse_format": "csr", "h5sparse_shape": file["X"].attrs["shape"]}
        file["X"].attrs.clear()
        file["X"].attrs.update(names)
    on_disk, expected = fit(ad.read_h5ad(tmp_path / "old.h5ad", backed="r")), fit(make_adata())
    for name, weights in expected.uns["tspg"]["weights"].items():
        np.testing.assert_array_equal(on_disk.uns["tspg"]["weights"][name], weights)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda a, _: sp.tl.fit_classifier(a, "bulk_labels"), id="classifier"),
        pytest.param(lambda a, _: sp.tl.fit_tspg(a, "bulk_labels", "CD34+"), id="generator"),
        pytest.param(lambda a, fitted: sp.tl.perturb(a, reference=fitted), id="perturb"),
    ],
)
def test_a_file_of_anndata_0_6_open_for_writing_is_refused_with_the_remedy(tmp_path, call):
    with h5py.File(OF_SCANPY) as file:
        if "encoding-type" in file.attrs:
            pytest.skip("this scanpy comes with a newer file")
    path = shutil.copy(OF_SCANPY, tmp_path)
    old = ad.read_h5ad(path, backed="r+")
    fitted = make_adata()
    fitted.var_names = old.var_names[: fitted.n_vars]
    fit(fitted)
    with pytest.raises(ValueError, match=r"anndata 0.6.*read_h5ad\(path\).write_h5ad\(path\)"):
        call(old, fitted)
    old.file.close()
    ad.read_h5ad(path).write_h5ad(path)  # the remedy
    sp.tl.perturb(ad.read_h5ad(path, backed="r+"), reference=fitted)
    assert "xadv" in ad.read_h5ad(path).layers


def test_a_fit_of_a_layer_of_a_file_is_written_to_the_file(path):
    in_memory = fit(ad.read_h5ad(path), layer="log")
    fit(ad.read_h5ad(path, backed="r+"), layer="log").file.close()
    kept = ad.read_h5ad(path)
    np.testing.assert_array_equal(kept.layers["xadv"], dense(in_memory.layers["xadv"]))
    assert kept.uns["tspg"]["params"]["layer"] == "log"
    assert kept.obs["tspg_predicted"].tolist() == in_memory.obs["tspg_predicted"].tolist()


def test_a_layer_of_a_file_that_has_changed_is_perturbed_anew(path):
    fitted = fit(ad.read_h5ad(path), layer="log")
    on_disk = ad.read_h5ad(path, backed="r+")
    for _ in range(2):
        sp.tl.perturb(on_disk, reference=fitted, layer="log")
        expected = on_disk[:].to_memory()
        sp.tl.perturb(expected, reference=fitted, layer="log")
        np.testing.assert_array_equal(on_disk.layers["xadv"], dense(expected.layers["xadv"]))
        on_disk.layers["log"] = on_disk.layers["log"] * np.float32(0.5)


def new_layer(adata: ad.AnnData) -> None:
    adata.layers["mine"] = dense(adata.layers["log"])


@pytest.mark.parametrize(
    ("mode", "prepare", "layer"),
    [("r", None, "log"), ("r+", new_layer, "mine"), ("r+", lambda a: a.file.close(), "log")],
    ids=["read-only", "a layer that is not in the file", "closed"],
)
def test_a_fit_of_a_layer_in_memory_has_a_result(path, mode, prepare: Callable | None, layer):
    on_disk = ad.read_h5ad(path, backed=mode)
    if prepare is not None:
        prepare(on_disk)
    fit(on_disk, layer=layer)
    assert np.isfinite(dense(on_disk.layers["xadv"][:])).all()
    on_disk.file.close()
    assert ("xadv" in ad.read_h5ad(path).layers) == (mode == "r+")
