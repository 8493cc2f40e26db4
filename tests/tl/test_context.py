from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp

if TYPE_CHECKING:
    from pathlib import Path

TYPES, N_GENES, N_CELLS = ("B", "NK", "T"), 60, 60
RESPONDING, MARKERS = slice(0, 15), slice(40, 60)
UNSEEN = "NK"


def cells(seed: int = 0) -> ad.AnnData:
    """Untreated and treated cells of three types: 15 genes respond, 20 genes mark the type."""
    rng = np.random.default_rng(seed)
    base = np.tile(rng.uniform(-1, 1, N_GENES), (3, 1))
    base[:, MARKERS] += rng.normal(0, 1.5, (3, 20))
    response = np.zeros(N_GENES)
    response[RESPONDING] = 1.5
    condition = np.tile(np.repeat(["ctrl", "stim"], N_CELLS), 3)
    cell_type = np.repeat(TYPES, 2 * N_CELLS)
    level = base[np.repeat(np.arange(3), 2 * N_CELLS)] + (condition == "stim")[:, None] * response
    z = level + rng.normal(size=level.shape)
    x = np.where(z > 0, 1 + 0.5 * z, 0).astype(np.float32)
    obs = pd.DataFrame(
        {
            "condition": condition,
            "cell_type": cell_type,
            "donor": np.where(rng.random(len(x)) < 0.5, "d1", "d2"),
            "split": np.where(rng.random(len(x)) < 0.4, "test", "train"),
            "one": "all of them",
        },
        index=[f"cell{i}" for i in range(len(x))],
    )
    obs.loc[(condition == "stim") & (cell_type == UNSEEN), "split"] = "test"
    genes = pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)])
    return ad.AnnData(sparse.csr_matrix(x), obs, genes)


def fit(adata: ad.AnnData, context: str | list[str] | None = "cell_type", **options) -> None:
    given = {"source": "ctrl", "held_out": "split"} | options
    sp.tl.fit_tspg(adata, "condition", "stim", context=context, **given)


@pytest.fixture(scope="module")
def original() -> ad.AnnData:
    return cells()


@pytest.fixture(scope="module")
def fitted(original) -> ad.AnnData:
    adata = original.copy()
    fit(adata)
    sp.tl.evaluate(adata, n_bootstrap=0)
    return adata


def mean(adata: ad.AnnData, cell_type: str, condition: str, layer: str | None = None) -> np.ndarray:
    chosen = (adata.obs["cell_type"] == cell_type) & (adata.obs["condition"] == condition)
    values = adata.X if layer is None else adata.layers[layer]
    return values[(chosen & (adata.obs["split"] == "test")).to_numpy()].toarray().mean(0)


@pytest.mark.parametrize("cell_type", TYPES)
def test_cells_get_the_response_and_keep_the_markers_of_their_type(fitted, cell_type):
    found = mean(fitted, cell_type, "ctrl", "xadv")
    before, real = mean(fitted, cell_type, "ctrl"), mean(fitted, cell_type, "stim")
    assert np.abs(found - real)[RESPONDING].mean() < 0.3 * np.abs(before - real)[RESPONDING].mean()
    assert np.abs(found - real)[MARKERS].mean() < 0.2
    others = [mean(fitted, other, "stim") for other in TYPES if other != cell_type]
    distances = [np.abs(found - one)[MARKERS].mean() for one in (real, *others)]
    assert np.argmin(distances) == 0


def test_the_evaluation_is_by_context_and_marks_those_without_target_samples(fitted):
    table = sp.get.evaluation_df(fitted, context=None)
    assert set(table["context"]) == {"all", *TYPES}
    assert set(table.loc[table["is_unseen"], "context"]) == {UNSEEN}
    assert "mean of the contexts' shifts" in set(table["method"])
    model = table[table["method"] == "this model"].set_index("context")["e_distance"]
    untouched = table[table["method"] == "untouched source"].set_index("context")["e_distance"]
    assert (model < 0.3 * untouched).all()


def test_the_floor_of_an_unseen_context_is_of_its_own_held_out_samples(fitted):
    table = sp.get.evaluation_df(fitted, context=UNSEEN).set_index("method")
    n_real = ((fitted.obs["condition"] == "stim") & (fitted.obs["cell_type"] == UNSEEN)).sum()
    assert table.loc["real target", "n_samples"] == n_real // 2
    assert abs(table.loc["real target", "e_distance"]) < 0.05


def test_one_context_gives_the_same_result_as_none(original):
    without, single = original.copy(), original.copy()
    fit(without, None)
    fit(single, "one")
    assert (without.layers["xadv"] != single.layers["xadv"]).nnz == 0


def test_a_context_that_does_not_matter_gives_nearly_the_same_result(original):
    adata = original.copy()
    fit(adata, "donor")
    without = original.copy()
    fit(without, None)
    ctrl = (adata.obs["condition"] == "ctrl").to_numpy()
    found, expected = (one.layers["xadv"][ctrl].toarray().mean(0) for one in (adata, without))
    np.testing.assert_allclose(found, expected, atol=0.2)


def test_two_columns_are_one_context(original):
    adata = original.copy()
    fit(adata, ["cell_type", "donor"])
    names = [f"{cell_type} / {donor}" for cell_type in TYPES for donor in ("d1", "d2")]
    assert list(sp.get.model(adata).contexts) == names


def test_perturb_reads_the_contexts_of_new_samples(original, fitted):
    new = original[::-1].copy()
    sp.tl.perturb(new, reference=fitted)
    ctrl = (original.obs["condition"] == "ctrl").to_numpy()
    assert (new.layers["xadv"][::-1][ctrl] != fitted.layers["xadv"][ctrl]).nnz == 0


def test_samples_that_surely_are_of_the_target_stay(original, fitted):
    # Values of held-out samples may be clipped to the training range.
    new = original[(original.obs["split"] == "train").to_numpy()].copy()
    sp.tl.perturb(new, reference=fitted)
    unchanged = (new.layers["xadv"] != new.X).sum(axis=1).A1 == 0
    probability = sp.get.model(fitted).classifier.predict_proba(new.X)[:, 1]
    is_sure = probability > 0.95
    assert is_sure.sum() > 20
    np.testing.assert_array_equal(unchanged, is_sure)


def test_a_context_that_never_trained_gets_the_effect_of_one_like_it(original, fitted):
    new = original[(original.obs["condition"] == "ctrl").to_numpy()].copy()
    new.obs["cell_type"] = new.obs["cell_type"].astype(str).replace({"B": "plasma"})
    with pytest.warns(UserWarning, match="without training samples: 'plasma'. Each of their 60"):
        sp.tl.perturb(new, reference=fitted)
    same = new.obs["cell_type"].to_numpy() != "plasma"
    known = fitted[new.obs_names].layers["xadv"]
    assert (new.layers["xadv"][same] != known[same]).nnz == 0
    # These cells look like B cells, so nearly all of them are perturbed like these.
    alike = (new.layers["xadv"][~same] != known[~same]).sum(axis=1).A1 == 0
    assert alike.mean() > 0.8


def test_a_saved_model_knows_its_contexts(fitted, tmp_path: Path):
    model = sp.get.model(fitted)
    model.save(tmp_path)
    loaded = type(model).load(tmp_path)
    assert loaded.context == ("cell_type",)
    context = fitted.obs["cell_type"].to_numpy()[:60]
    found = loaded.perturb(fitted.X[:60], context=context)
    np.testing.assert_array_equal(found, fitted.layers["xadv"][:60].toarray())


def test_a_stored_fit_knows_its_contexts(fitted, original, tmp_path: Path):
    fitted.write_h5ad(tmp_path / "fitted.h5ad")
    stored = ad.read_h5ad(tmp_path / "fitted.h5ad")
    new = original.copy()
    sp.tl.perturb(new, reference=stored)
    ctrl = (original.obs["condition"] == "ctrl").to_numpy()
    assert (new.layers["xadv"][ctrl] != fitted.layers["xadv"][ctrl]).nnz == 0


def test_on_disk_and_lazy_samples_get_the_same_result(original, fitted, tmp_path: Path):
    da = pytest.importorskip("dask.array")
    original.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    fit(backed)
    on_disk = ad.io.read_elem(backed.file._file["layers/xadv"])
    lazy = original.copy()
    lazy.X = da.from_array(original.X.toarray(), chunks=(50, N_GENES))
    fit(lazy)
    for found in (on_disk.toarray(), np.asarray(lazy.layers["xadv"].compute())):
        np.testing.assert_array_equal(found, fitted.layers["xadv"].toarray())


def test_tables_take_the_contexts_into_account(fitted):
    rows = fitted.obs_names[:3]
    model = sp.get.model(fitted)
    context = fitted.obs["cell_type"].to_numpy()[:3]
    expected = model.expected(fitted.X[:3], context=context) - fitted.X[:3]
    found = sp.get.perturbation(fitted, list(rows), expected=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    table = sp.get.transition(fitted, rows[0], n_bootstrap=10)
    assert (table["low"] <= table["high"]).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"context": "condition"}, ValueError, "is the column with the labels"),
        ({"context": "cell_typ"}, KeyError, "cell_type"),
        ({"context": "name"}, ValueError, "Name columns with few values"),
        ({"context": "holes"}, ValueError, "missing for 2 of 360 samples"),
        ({"recipe": "paper"}, ValueError, "knows no context"),
    ],
    ids=["labels", "unknown", "a value a sample", "missing values", "recipe paper"],
)
def test_bad_contexts_are_named_before_training(original, options, error, match):
    adata = original.copy()
    adata.obs["name"] = adata.obs_names
    adata.obs["holes"] = adata.obs["donor"].where(np.arange(adata.n_obs) > 1)
    with pytest.raises(error, match=match):
        fit(adata, **({"context": "cell_type"} | options))
    assert not adata.uns


def test_a_model_asks_for_contexts(fitted):
    model = sp.get.model(fitted)
    with pytest.raises(ValueError, match="Give context=, the context of each sample"):
        model.perturb(fitted.X[:2])
    with pytest.raises(ValueError, match="one value for each of 2 samples"):
        model.perturb(fitted.X[:2], context=["B"])


def test_changed_contexts_are_refused(fitted):
    changed = fitted.copy()
    changed.obs["cell_type"] = changed.obs["cell_type"].astype(str).replace({"B": "T", "T": "B"})
    with pytest.raises(ValueError, match=r"adata.obs\['cell_type'\] have changed since fit"):
        sp.tl.evaluate(changed, n_bootstrap=0)
