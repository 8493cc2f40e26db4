"""Samples on disk: the same results as in memory, in the file where that may be written to."""

from __future__ import annotations

import os
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.data._blocks import dense
from scgan_perturb.data._on_disk import DiskMatrix
from scgan_perturb.models import _apply
from scgan_perturb.storage import _perturb_on_disk
from scgan_perturb.storage._file import check_writers
from tests.conftest import fit_tspg, make_adata
from tests.new_process import FORKS, start
from tests.small_parts import hold_few, write_few
from tests.stops import applied_rows

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("h5ad", "zarr")
FIT = {"held_out": 0.3, "max_epochs": 2}


def opened(path: Path, mode: str = "r+") -> ad.AnnData:
    """A file as anndata opens it without reading the matrix."""
    if path.suffix == ".h5ad":
        return ad.read_h5ad(path, backed=mode)
    group = zarr.open_group(path, mode=mode)
    return ad.AnnData(
        as_opened(group["X"]),
        **{part: ad.io.read_elem(group[part]) for part in ("obs", "var", "uns")},
        layers={name: as_opened(group["layers"][name]) for name in group["layers"]},
    )


def as_opened(element: object) -> object:
    """An element of a zarr store, as anndata offers it without reading it."""
    return element if isinstance(element, zarr.Array) else ad.io.sparse_dataset(element)


def xadv(adata: ad.AnnData) -> np.ndarray:
    """The perturbed layer as a dense array, wherever it is."""
    return dense(adata.layers["xadv"][:])


def written(adata: ad.AnnData, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata and zarr tell how they will write in future
        getattr(adata, f"write_{path.suffix[1:]}")(path)
    return path


def read(path: Path) -> ad.AnnData:
    """The whole file, in memory."""
    return ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)


@pytest.fixture(params=FORMATS)
def path(request, tmp_path) -> Path:
    """A place for a file, of each format."""
    return tmp_path / f"samples.{request.param}"


@pytest.fixture(params=["dense", "csr"])
def samples(request) -> ad.AnnData:
    """Samples in memory, of each kind of matrix that files hold."""
    return make_adata({"liver": 30, "lung": 25, "thyroid": 25}, kind=request.param)


# Where it is enough that each format and each kind of matrix is there once.
EACH_ONCE = pytest.mark.parametrize(
    ("samples", "path"), [("dense", "h5ad"), ("csr", "zarr")], indirect=True
)


def assert_same_fit(found: ad.AnnData, expected: ad.AnnData, *keys: str) -> None:
    for key in keys:
        weights = expected.uns[key]["weights"]
        assert weights.keys() == found.uns[key]["weights"].keys()
        for name, array in weights.items():
            np.testing.assert_array_equal(found.uns[key]["weights"][name], array)
        pd.testing.assert_frame_equal(found.uns[key]["history"], expected.uns[key]["history"])


def fit(adata: ad.AnnData, **options) -> None:
    sp.tl.fit_classifier(adata, "tissue", **FIT)
    fit_tspg(adata, "tissue", "lung", **FIT | options)


def test_a_fit_of_a_file_gives_the_bits_of_one_in_memory(samples, path):
    on_disk = opened(written(samples, path))
    fit(samples)
    fit(on_disk)
    assert_same_fit(on_disk, samples, "classifier", "tspg")
    np.testing.assert_array_equal(xadv(on_disk), xadv(samples))
    columns = [f"classifier_{name}" for name in ("split", "predicted")]
    columns += [f"tspg_{name}" for name in ("split", "predicted", "target_probability")]
    pd.testing.assert_frame_equal(on_disk.obs[columns], samples.obs[columns])


@EACH_ONCE
def test_results_of_a_fit_are_in_the_file(samples, path):
    on_disk = opened(written(samples, path))
    fit(on_disk)
    sp.tl.evaluate(on_disk, n_bootstrap=0)
    kept = read(path)
    np.testing.assert_array_equal(xadv(kept), xadv(on_disk))
    assert_same_fit(kept, on_disk, "classifier", "tspg")
    pd.testing.assert_frame_equal(kept.obs[list(on_disk.obs)], on_disk.obs, check_names=False)
    pd.testing.assert_frame_equal(
        sp.get.evaluation_df(kept), sp.get.evaluation_df(on_disk), check_categorical=False
    )


@EACH_ONCE
def test_a_file_that_is_read_only_is_fitted_and_judged_without_a_layer(samples, path, caplog):
    fit(samples)
    sp.tl.evaluate(samples, n_bootstrap=0)
    bare = make_adata({"liver": 30, "lung": 25, "thyroid": 25})
    on_disk = opened(written(bare, path), "r")
    fit(on_disk)
    assert "open it with backed='r+' and call sp.tl.perturb" in caplog.text
    assert "xadv" not in on_disk.layers
    sp.tl.evaluate(on_disk, n_bootstrap=0)
    pd.testing.assert_frame_equal(sp.get.evaluation_df(on_disk), sp.get.evaluation_df(samples))
    with pytest.raises(ValueError, match="read-only. Open it for writing: ad.read_h5ad"):
        sp.tl.perturb(on_disk)


def test_a_layer_on_disk_chosen_genes_and_sources(path):
    samples = make_adata({"liver": 30, "lung": 25, "thyroid": 25}, kind="csr")
    samples.layers["log"] = samples.X.toarray()
    samples.var["few"] = np.arange(samples.n_vars) % 3 > 0
    written(samples, path)
    if path.suffix == ".h5ad":
        on_disk = ad.AnnData(
            **{part: ad.io.read_elem(h5py.File(path)[part]) for part in ("obs", "var")},
            layers={"log": h5py.File(path, "r")["layers/log"]},
        )
    else:
        on_disk = opened(path)
    options = {"layer": "log", "mask_var": "few", "source": "liver", **FIT}
    for adata in (samples, on_disk):
        fit_tspg(adata, "tissue", "lung", **options)
    assert_same_fit(on_disk, samples, "tspg")
    if path.suffix == ".zarr":
        kept = read(path)
        np.testing.assert_array_equal(xadv(kept), xadv(samples))
        assert (kept.obs["tspg_predicted"].isna() == (samples.obs["tissue"] != "liver")).all()


@EACH_ONCE
def test_new_samples_of_a_file_are_perturbed_as_in_memory(samples, path, fitted):
    on_disk = opened(written(samples, path))
    for adata in (samples, on_disk):
        sp.tl.perturb(adata, reference=fitted)
    kept = read(path)
    np.testing.assert_array_equal(xadv(kept), xadv(samples))
    assert kept.obs["tspg_predicted"].tolist() == samples.obs["tspg_predicted"].tolist()
    assert sp.get.model(kept).target == "lung"


@pytest.fixture
def eight_at_once(monkeypatch) -> None:
    """Eight samples are perturbed and written at a time."""
    write_few(monkeypatch, 8)


@EACH_ONCE
def test_what_is_stopped_is_valid_tells_how_far_it_came_and_goes_on(
    samples, path, fitted, eight_at_once, caplog
):
    on_disk = opened(written(samples, path))
    with applied_rows(interrupt_at=3) as rows, pytest.raises(KeyboardInterrupt):
        sp.tl.perturb(on_disk, reference=fitted)
    assert rows == [8, 8]
    assert "Stopped: 16 of 80 samples" in caplog.text
    assert "tspg" not in on_disk.uns
    half = read(path)
    done = half.obs["tspg_predicted"].notna().to_numpy()
    assert done.tolist() == [True] * 16 + [False] * 64
    assert np.isnan(xadv(half)[~done]).any(axis=1).all()
    sp.tl.perturb(samples, reference=fitted)
    np.testing.assert_array_equal(xadv(half)[done], xadv(samples)[done])

    with applied_rows() as rows:
        sp.tl.perturb(opened(path), reference=fitted)
    assert "Resuming: 64 of 80 samples remain" in caplog.text
    assert rows == [8] * 8
    kept = read(path)
    np.testing.assert_array_equal(xadv(kept), xadv(samples))
    columns = ["tspg_predicted", "tspg_target_probability"]
    pd.testing.assert_frame_equal(kept.obs[columns], samples.obs[columns])


@EACH_ONCE
def test_a_result_that_is_whole_is_not_made_again(samples, path, fitted):
    written(samples, path)
    for n_applied in (len(samples), 0):
        with applied_rows() as rows:
            sp.tl.perturb(opened(path), reference=fitted)
        assert sum(rows) == n_applied


@pytest.mark.parametrize(
    ("path", "other"), [("h5ad", "values"), ("zarr", "target")], indirect=["path"]
)
def test_a_result_of_another_model_or_of_other_values_is_begun_anew(
    path, fitted_many, eight_at_once, other
):
    samples = make_adata({"liver": 30, "lung": 25, "thyroid": 25})
    sp.tl.perturb(opened(written(samples, path)), reference=fitted_many)
    target = "liver" if other == "target" else "lung"
    if other == "values":
        samples.X[0, 0] += 0.25
        changed = opened(path)
        changed.X[0, 0] = samples.X[0, 0]
    with applied_rows() as rows:
        sp.tl.perturb(opened(path), target, reference=fitted_many)
    assert sum(rows) == len(samples)
    sp.tl.perturb(samples, target, reference=fitted_many)
    np.testing.assert_array_equal(xadv(read(path)), xadv(samples))


def test_a_layer_that_is_not_whole_is_not_judged(tmp_path):
    samples = make_adata({"liver": 30, "lung": 25, "thyroid": 25})
    on_disk = opened(written(samples, tmp_path / "samples.h5ad"))
    fit(on_disk)
    on_disk.layers["xadv"][60:] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite values in .*call sp.tl.perturb"):
        sp.tl.evaluate(on_disk, n_bootstrap=0)


def test_bad_values_on_disk_are_named_and_nothing_is_written(path, fitted):
    samples = make_adata()
    samples.X[3, 4] = np.nan
    on_disk = opened(written(samples, path))
    before = sorted(on_disk.obs)
    with pytest.raises(ValueError, match="1 values are NaN or infinite, first in sample 'sample3'"):
        sp.tl.perturb(on_disk, reference=fitted)
    assert sorted(read(path).obs) == before
    assert "xadv" not in read(path).layers


def test_a_matrix_stored_by_genes_is_refused_with_the_remedy(path):
    on_disk = opened(written(make_adata(kind="csc"), path))
    with pytest.raises(TypeError, match=r"by genes \(CSC\).*tocsr"):
        sp.tl.fit_classifier(on_disk, "tissue")


def test_a_copy_of_a_file_is_refused(path, fitted):
    on_disk = opened(written(make_adata(), path))
    with pytest.raises(ValueError, match="copy=True would read a matrix on disk"):
        sp.tl.perturb(on_disk, reference=fitted, copy=True)


def test_processes_do_not_write_to_one_h5ad_file(path):
    matrix = DiskMatrix(opened(written(make_adata(), path)).X)
    several = SimpleNamespace(world_size=2)
    if path.suffix == ".zarr":
        check_writers(matrix, several)
        return
    with pytest.raises(ValueError, match=r"2 processes cannot write to one h5ad.*backed='r'"):
        check_writers(matrix, several)
    check_writers(matrix, SimpleNamespace(world_size=1))


def test_a_view_of_a_file_is_refused_with_the_remedy(tmp_path):
    on_disk = opened(written(make_adata(), tmp_path / "samples.h5ad"))
    with pytest.raises(TypeError, match=r"adata\.to_memory\(\)"):
        sp.tl.fit_classifier(on_disk[:40], "tissue")


def test_what_needs_the_matrix_in_memory_says_so(tmp_path):
    on_disk = opened(written(make_adata(), tmp_path / "samples.h5ad"))
    fit(on_disk)
    with pytest.raises(TypeError, match=r"not in memory.*part = adata\[rows\]\.to_memory\(\)"):
        sp.tl.embed(on_disk)
    assert sp.get.perturbation(on_disk, ["sample3", "sample1"]).shape == (2, 12)


@EACH_ONCE
def test_genes_are_ranked_from_the_file_and_the_ranking_is_in_it(samples, path, few_held):
    on_disk = opened(written(samples, path))
    for adata in (samples, on_disk):
        fit(adata)
    for options in ({}, {"split": "test"}):
        for adata in (samples, on_disk):
            sp.tl.rank_genes(adata, **options)
        expected = sp.get.rank_genes_df(samples)
        for found in (on_disk, read(path)):
            pd.testing.assert_frame_equal(sp.get.rank_genes_df(found), expected)
    with pytest.raises(TypeError, match="not in memory"):
        sp.tl.rank_genes(on_disk, n_bootstrap=2)
    genes = [sp.get.transition_genes(adata, 2) for adata in (on_disk, samples)]
    pd.testing.assert_frame_equal(*genes)


def perturb_in_a_process(path, fitted, written) -> None:
    write_few(pytest.MonkeyPatch(), 16)
    write = _perturb_on_disk._Results.write

    def write_and_tell(self, part, done):
        write(self, part, done)
        written.release()

    _perturb_on_disk._Results.write = write_and_tell
    sp.tl.perturb(opened(path), reference=ad.read_h5ad(fitted))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_any_instant_it_goes_on_to_the_same_result(path, tmp_path, fitted):
    samples = make_adata({"liver": 400, "lung": 400}, kind="csr")
    written(samples, path)
    fitted.write_h5ad(tmp_path / "fitted.h5ad")
    n_written = FORKS.Semaphore(0)
    run = start(perturb_in_a_process, path, tmp_path / "fitted.h5ad", n_written)
    for _ in range(20):
        assert n_written.acquire(timeout=60)
    run.kill()
    run.join()
    assert 0 < read(path).obs["tspg_predicted"].notna().sum() < len(samples)
    sp.tl.perturb(opened(path), reference=fitted)
    sp.tl.perturb(samples, reference=fitted)
    np.testing.assert_array_equal(xadv(read(path)), xadv(samples))


@pytest.fixture
def few_held(monkeypatch) -> None:
    """As if few samples fitted in memory."""
    hold_few(monkeypatch, 100, run=8)


@pytest.mark.parametrize(
    ("path", "recipe"), [("h5ad", "paper"), ("zarr", "transport")], indirect=["path"]
)
def test_more_samples_than_are_held_give_the_bits_of_a_fit_in_memory(path, recipe, few_held):
    samples = make_adata({"liver": 300, "lung": 200, "thyroid": 20}, kind="csr")
    on_disk = opened(written(samples, path))
    fit(samples, recipe=recipe)
    fit(on_disk, recipe=recipe)
    assert_same_fit(on_disk, samples, "classifier", "tspg")
    np.testing.assert_array_equal(xadv(on_disk), xadv(samples))


def test_no_more_samples_than_are_held_are_read_at_once(path, few_held, monkeypatch):
    n_read, read_rows = [], DiskMatrix.__getitem__

    def counted(self, rows):
        found = read_rows(self, rows)
        n_read.append(found.shape[0])
        return found

    monkeypatch.setattr(DiskMatrix, "__getitem__", counted)
    monkeypatch.setattr(_apply, "MOST_ROWS", _apply.LEAST_ROWS)
    on_disk = opened(written(make_adata({"liver": 600, "lung": 500}, kind="csr"), path), "r")
    fit(on_disk)
    # Samples to train on may be half as many again, and raw counts are looked for in 200.
    assert max(n_read) <= 220


def test_an_h5ad_file_that_is_opened_part_by_part_is_written_to(tmp_path, fitted):
    path = written(make_adata(kind="csr"), tmp_path / "samples.h5ad")
    with h5py.File(path, "r+") as file:
        parts = {part: ad.io.read_elem(file[part]) for part in ("obs", "var", "uns")}
        on_disk = ad.AnnData(ad.io.sparse_dataset(file["X"]), **parts)
        sp.tl.perturb(on_disk, reference=fitted)
        assert isinstance(on_disk.layers["xadv"], ad.abc.CSRDataset)
    assert np.isfinite(xadv(read(path))).all()


def assert_sparse(on_disk: ad.AnnData, in_memory: ad.AnnData, *, is_sparse: bool) -> None:
    """Whether a layer is sparse: as the file holds it, and in memory."""
    array = zarr.Array if isinstance(on_disk.layers["xadv"], zarr.Array) else h5py.Dataset
    assert isinstance(on_disk.layers["xadv"], ad.abc.CSRDataset if is_sparse else array)
    assert sparse.issparse(in_memory.layers["xadv"]) == is_sparse


def test_a_layer_is_sparse_where_its_input_and_its_recipe_are(path):
    """A dense layer takes the place of a sparse one, and back."""
    samples = make_adata(kind="csr")
    on_disk = opened(written(samples, path))
    for recipe in ("transport", "paper", "transport"):
        for adata in (samples, on_disk):
            fit_tspg(adata, "tissue", "lung", recipe=recipe, **FIT)
        kept = read(path)
        np.testing.assert_array_equal(xadv(kept), xadv(samples))
        for in_memory in (samples, kept):
            assert_sparse(on_disk, in_memory, is_sparse=recipe == "transport")


def test_a_layer_is_dense_where_its_input_is(path):
    samples = make_adata()
    on_disk = opened(written(samples, path))
    fit_tspg(on_disk, "tissue", "lung", **FIT)
    assert_sparse(on_disk, read(path), is_sparse=False)


def test_samples_that_are_not_perturbed_are_kept_when_a_fit_is_repeated(path, eight_at_once):
    samples = make_adata({"liver": 30, "lung": 25, "thyroid": 25}, kind="csr")
    on_disk = opened(written(samples, path))
    fit(samples, source="liver")
    for _ in range(2):
        fit(on_disk, source="liver")
        np.testing.assert_array_equal(xadv(read(path)), xadv(samples))


@EACH_ONCE
def test_a_sample_alone_has_the_bits_that_it_has_in_a_file(samples, path, fitted, eight_at_once):
    on_disk = opened(written(samples, path))
    sp.tl.perturb(on_disk, reference=fitted)
    kept = xadv(read(path))
    for row in (0, 33, 79):
        alone = samples[[row]].copy()
        sp.tl.perturb(alone, reference=fitted)
        np.testing.assert_array_equal(kept[row], xadv(alone)[0])
