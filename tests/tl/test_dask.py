"""Samples in a Dask array, computed by a cluster of two processes."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.data._blocks import dense
from tests.conftest import fit_tspg, make_adata
from tests.new_process import finish, start
from tests.tl.test_on_disk import FIT, assert_same_fit, few_held  # noqa: F401 (a fixture)

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

pytestmark = [
    # Sockets of a cluster that is shut down.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    finish(start(len, ""))  # the workers are forks as well: their parent has imported the package
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield


def lazy(adata: ad.AnnData, chunks: tuple[int, int] = (70, 5)) -> ad.AnnData:
    """The same samples with X as a Dask array, in blocks of other sizes than ours."""
    array = da.from_array(adata.X.toarray() if sparse.issparse(adata.X) else adata.X, chunks)
    if sparse.issparse(adata.X):
        array = array.rechunk({1: -1}).map_blocks(sparse.csr_matrix)
    return ad.AnnData(array, obs=adata.obs.copy(), var=adata.var.copy())


@pytest.fixture(params=["dense", "csr"])
def samples(request) -> ad.AnnData:
    return make_adata({"liver": 200, "lung": 150, "thyroid": 25}, kind=request.param)


def fit(adata: ad.AnnData) -> None:
    sp.tl.fit_classifier(adata, "tissue", **FIT)
    fit_tspg(adata, "tissue", "lung", **FIT)


def test_a_fit_and_its_evaluation_are_those_in_memory(samples):
    on_dask = lazy(samples)
    for adata in (samples, on_dask):
        fit(adata)
        sp.tl.evaluate(adata, n_bootstrap=0)
    assert_same_fit(on_dask, samples, "classifier", "tspg")
    digests = [adata.uns["classifier"]["expression_digest"] for adata in (samples, on_dask)]
    assert digests[0] == digests[1]
    assert isinstance(on_dask.layers["xadv"], da.Array)
    computed = on_dask.layers["xadv"].compute()
    for layer in (on_dask.layers["xadv"]._meta, computed):
        assert sparse.issparse(layer) == sparse.issparse(samples.X)
    np.testing.assert_allclose(dense(computed), dense(samples.layers["xadv"]), rtol=1e-5, atol=1e-5)
    pd.testing.assert_frame_equal(
        sp.get.evaluation_df(on_dask), sp.get.evaluation_df(samples), rtol=1e-3
    )
    assert (on_dask.obs["classifier_predicted"] == samples.obs["classifier_predicted"]).all()


def test_class_statistics_of_more_samples_than_are_held_are_computed_by_the_cluster(
    samples,
    few_held,  # noqa: F811
):
    on_dask = lazy(samples)
    for adata in (samples, on_dask):
        fit(adata)
    weights = [adata.uns["tspg"]["weights"] for adata in (samples, on_dask)]
    for name, array in weights[0].items():
        np.testing.assert_allclose(weights[1][name], array, rtol=1e-4, atol=1e-5)


def test_nothing_is_computed_before_it_is_asked_for(samples, fitted):
    array = da.from_array(samples.X if not sparse.issparse(samples.X) else samples.X.toarray())

    def never(block: np.ndarray) -> np.ndarray:
        raise AssertionError

    on_dask = ad.AnnData(
        array.map_blocks(never, dtype=np.float32, meta=array._meta),
        obs=samples.obs,
        var=samples.var,
    )
    sp.tl.perturb(on_dask, reference=fitted)
    assert "tspg_predicted" not in on_dask.obs
    with pytest.raises(AssertionError):
        on_dask.layers["xadv"][:3].compute()


def test_new_samples_and_other_genes(samples, fitted):
    more = ad.AnnData(
        np.hstack([np.full((len(samples), 2), 3, np.float32), samples.to_df().to_numpy()]),
        obs=samples.obs,
        var=pd.DataFrame(index=["other1", "other2", *samples.var_names]),
    )
    on_dask = lazy(more)
    for adata in (more, on_dask):
        sp.tl.perturb(adata, reference=fitted)
    np.testing.assert_allclose(on_dask.layers["xadv"].compute(), more.layers["xadv"], atol=1e-5)


def test_bad_values_are_named(samples):
    values = samples.to_df().to_numpy(copy=True)
    values[100, 4] = np.inf
    samples.X = values
    with pytest.raises(ValueError, match="first in sample 'sample100', gene 'gene4'"):
        sp.tl.fit_classifier(lazy(samples), "tissue")


def test_a_file_that_is_opened_lazily_works_once_its_tables_are_read(samples, tmp_path):
    pytest.importorskip("xarray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata tells how it will write and read in future
        samples.write_zarr(tmp_path / "samples.zarr")
        opened = ad.experimental.read_lazy(tmp_path / "samples.zarr")
    with pytest.raises(TypeError, match=r"adata\.obs = adata\.obs\.to_memory\(\)"):
        sp.tl.fit_classifier(opened, "tissue", **FIT)
    opened.obs, opened.var = opened.obs.to_memory(), opened.var.to_memory()
    for adata in (samples, opened):
        sp.tl.fit_classifier(adata, "tissue", **FIT)
    assert_same_fit(opened, samples, "classifier")
