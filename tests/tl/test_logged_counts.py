"""Cells that were normalised and logged: perturbed ones are too, gene by gene."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.data._counts import are_logged_counts
from scgan_perturb.metrics._distinct import distinct_share

N_GENES, TOTAL = 60, 1e4


def cells(n: int = 80, seed: int = 0) -> ad.AnnData:
    """Two types in two donors; type b is twice as deep."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.6, 1, (2, N_GENES)) + 0.02
    types, donors = np.repeat([0, 1], n), np.tile([0, 1], n)
    depth = rng.lognormal(4.5 + 0.7 * types, 0.3)
    counts = rng.poisson(rates[types] / rates[types].sum(1, keepdims=True) * depth[:, None])
    counts[np.arange(2 * n), rng.integers(N_GENES, size=2 * n)] += 1
    x = np.log1p(counts * (TOTAL / counts.sum(1, keepdims=True))).astype(np.float32)
    obs = pd.DataFrame(
        {"cell_type": np.array(["a", "b"])[types], "donor": np.array(["x", "y"])[donors]},
        index=[f"cell{i}" for i in range(2 * n)],
    )
    adata = ad.AnnData(sparse.csr_matrix(x), obs)
    adata.layers["counts"] = sparse.csr_matrix(counts.astype(np.float32))
    return adata


def least(x: np.ndarray) -> np.ndarray:
    """What one count is worth in each cell, which has a gene with one count."""
    return np.expm1(np.where(x > 0, x, np.inf).min(1).astype(float))


@pytest.fixture(scope="module", params=[None, "donor"], ids=["no context", "context"])
def fitted(request) -> ad.AnnData:
    adata = cells()
    sp.tl.fit_tspg(adata, "cell_type", "b", source="a", context=request.param)
    return adata


def changed(adata: ad.AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Cells of type a, before and after."""
    is_a = (adata.obs["cell_type"] == "a").to_numpy()
    return adata.X[is_a].toarray(), adata.layers["xadv"][is_a].toarray()


def test_genes_with_the_same_count_have_the_same_value(fitted):
    before, after = changed(fitted)
    counts = np.expm1(after.astype(float)) / least(after)[:, None]
    for row, values in zip(counts, after, strict=True):
        whole = np.rint(row)
        np.testing.assert_allclose(row, whole, rtol=0.01)
        assert len(np.unique(values.round(5))) == len(np.unique(whole))
    assert distinct_share(after).mean() == pytest.approx(distinct_share(before).mean(), abs=0.15)


def test_a_cell_has_the_depth_of_its_new_kind(fitted):
    """One count is worth half as much in the cells of type b, which are twice as deep."""
    before, after = (np.log(least(x)) for x in changed(fitted))
    real = np.log(least(fitted[fitted.obs["cell_type"] == "b"].X.toarray()))
    assert real.mean() < before.mean() - 0.5
    assert after.mean() == pytest.approx(real.mean(), abs=0.12)
    assert np.corrcoef(before, after)[0, 1] > 0.7


def test_a_cell_has_the_total_that_all_cells_have(fitted):
    _, after = changed(fitted)
    error = np.abs(np.expm1(after.astype(float)).sum(1) / TOTAL - 1)
    # A count beyond the training range is clipped: with so few genes it is a share of the total.
    assert np.quantile(error, 0.9) < 0.07
    assert (error < 1e-4).mean() > 0.3


def test_cells_of_the_target_stay_as_they_are(fitted):
    model = sp.get.model(fitted)
    is_b = (fitted.obs["cell_type"] == "b").to_numpy()
    context = fitted.obs["donor"][is_b].to_numpy() if model.context else None
    x = fitted.X[is_b].toarray()
    same = (model.perturb(x, context=context) == x).all(1)
    assert same.mean() > 0.8


def test_a_sparse_fit_keeps_what_one_count_is_worth():
    adata = cells()
    sp.tl.fit_tspg(adata, "cell_type", "b", source="a", recipe=sp.tl.Transport(sparsity=0.5))
    adata = adata[adata.obs["tspg_split"] == "train"]
    before, after = changed(adata)
    assert (before == after).all(0).mean() >= 0.5
    counts = np.expm1(after.astype(float)) / least(before)[:, None]
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.02, rtol=0.01)


def test_the_expected_cell_is_a_mean_of_draws_and_repeats_no_value(fitted):
    model = sp.get.model(fitted)
    is_a = (fitted.obs["cell_type"] == "a").to_numpy()
    context = fitted.obs["donor"][is_a].to_numpy() if model.context else None
    expected = model.expected(fitted.X[is_a], context=context)
    assert distinct_share(expected).mean() > 0.7


def test_chosen_genes_have_no_total_but_repeat_their_values():
    adata = cells()
    adata.var["chosen"] = np.arange(N_GENES) % 2 == 0
    sp.tl.fit_tspg(adata, "cell_type", "b", source="a", mask_var="chosen")
    _, after = changed(adata)
    after = after[:, adata.var["chosen"]]
    totals = np.expm1(after.astype(float)).sum(1)
    assert totals.std() / totals.mean() > 0.05
    counts = np.expm1(after.astype(float)) / least(after)[:, None]
    assert np.isclose(counts, np.rint(counts), rtol=0.01).mean() > 0.99


def test_an_evaluation_tells_a_shift_by_its_values_and_not_the_model(fitted):
    sp.tl.evaluate(fitted)
    table = sp.get.evaluation_df(fitted)
    rows = table[(table["source"] == "all") & (table["context"] == "all")].set_index("method")
    assert rows.loc["class mean shift", "distinct_values"] > 0.95
    assert rows.loc["this model", "distinct_values"] == pytest.approx(0.5, abs=0.2)
    assert rows.loc["real target", "distinct_share"] < 0.5


def test_values_that_do_not_repeat_are_named_by_the_verdict():
    adata = cells()
    sp.tl.fit_tspg(adata, "cell_type", "b")
    noise = np.random.default_rng(0).uniform(0.97, 1.03, adata.shape)
    adata.layers["mine"] = np.asarray(adata.layers["xadv"].toarray() * noise, dtype=np.float32)
    asked = {"prediction": "mine", "groupby": "cell_type", "target": "b", "held_out": "tspg_split"}
    with pytest.warns(UserWarning, match="real values repeat, as counts and rounded numbers do"):
        sp.tl.evaluate(adata, **asked)


@pytest.mark.parametrize(
    ("change", "is_warned_of"),
    [
        (lambda x: x, False),
        (lambda x: np.log1p(np.expm1(x) / 10), False),
        (lambda x: x / np.log(2), True),
        (lambda x: np.where(x > 0, x + np.random.default_rng(0).uniform(0, 0.3, x.shape), 0), True),
    ],
    ids=["same units", "another total", "another base", "corrected"],
)
def test_new_cells_that_are_no_logged_counts_are_warned_of(fitted, change, is_warned_of, recwarn):
    new = cells(20, seed=1)
    new.X = sparse.csr_matrix(change(new.X.toarray()).astype(np.float32))
    sp.tl.perturb(new, reference=fitted)
    assert is_warned_of is any("are none" in str(one.message) for one in recwarn)


def test_too_few_values_to_tell_are_not_warned_of(fitted, recwarn):
    sp.tl.perturb(cells(20, seed=1)[:1].copy(), reference=fitted)
    assert not [one for one in recwarn if "are none" in str(one.message)]


def of_cells(change) -> np.ndarray:
    return np.asarray(change(cells(20).X.toarray()))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (of_cells(lambda x: x), True),
        (sparse.csr_matrix(of_cells(lambda x: x)), True),
        (of_cells(lambda x: x[:, ::3]), True),
        (of_cells(lambda x: x.round(3)), True),
        (np.log1p(cells(20).layers["counts"].toarray()), True),
        (cells(20).layers["counts"].toarray(), False),
        (of_cells(lambda x: x - x.mean(0)), False),
        (of_cells(lambda x: x / x.max(0).clip(1)), False),
        (np.random.default_rng(0).gamma(2, 2, (20, 60)), False),
        (np.zeros((20, 60)), False),
        (np.full((1, 3), 1e4), False),
    ],
    ids=[
        *("dense", "sparse", "chosen genes", "rounded", "not normalised", "counts", "centred"),
        *("scaled", "continuous", "nothing", "large"),
    ],
)
def test_logged_counts_are_known_by_their_multiples(values, expected):
    assert are_logged_counts(values) is expected
