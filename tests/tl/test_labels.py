"""A label is found by every verb and getter, however it is written."""

from __future__ import annotations

from functools import cache

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import scgan_perturb as sp
from tests.conftest import make_adata

SIZES = [20, 15, 15]  # the last is the source of what is read
COLUMNS = {
    "numbers": ([2, 0, 1], [1, "1", 1.0, np.int64(1), np.array(1), [1], np.array([1])]),
    "floats": ([2.0, 0.5, 1.0], [1.0, "1.0", 1, np.float32(1), np.array(1.0), (1,)]),
    "float32": (np.array([0.2, 0.3, 0.1], dtype=np.float32), [0.1, "0.1", np.float32(0.1)]),
    "booleans": ([False, False, True], [True, "True", np.True_, np.array(True), [True]]),
    "bytes": (np.array([b"b", b"c", b"a"], dtype=object), [b"a", "a", np.bytes_(b"a"), [b"a"]]),
    "categories of numbers": (pd.Categorical([2, 0, 1]), [1, "1", 1.0, pd.Series([1])]),
    "empty text": (["b", "c", ""], ["", np.str_(""), [""], b""]),
    "text": (["b", "c", "a"], ["a", np.str_("a"), np.array("a"), ["a"], {"a"}, pd.Index(["a"])]),
}
CASES = {
    f"{kind}, {label!r}": (kind, label) for kind, (_, labels) in COLUMNS.items() for label in labels
}


@cache
def _labelled(kind: str) -> ad.AnnData:
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    adata, values = make_adata(), COLUMNS[kind][0]
    is_categorical = isinstance(values, pd.Categorical)
    adata.obs["y"] = values.repeat(SIZES) if is_categorical else np.repeat(values, SIZES)
    sp.tl.fit_classifier(adata, "y", max_epochs=5)
    sp.settings.progress_bar = bar
    return adata


def labelled(kind: str) -> ad.AnnData:
    """Samples with such labels, and a classifier, so that fits are quick."""
    return _labelled(kind).copy()


def text_of(kind: str) -> str:
    """The label of the last class, as it is stored."""
    return {"numbers": "1", "floats": "1.0", "float32": "0.1", "booleans": "True", "text": "a"}.get(
        kind, {"bytes": "a", "categories of numbers": "1", "empty text": ""}.get(kind)
    )


@pytest.fixture(scope="module")
def analysed():
    """A fit towards all labels, evaluated and ranked: the first label is applied."""
    made: dict[str, ad.AnnData] = {}

    def get(kind: str) -> ad.AnnData:
        if kind not in made:
            adata = made[kind] = labelled(kind)
            bar, sp.settings.progress_bar = sp.settings.progress_bar, False
            others = [label for label in pd.unique(adata.obs["y"]) if label != COLUMNS[kind][0][-1]]
            sp.tl.fit_tspg(adata, "y", [others[0], COLUMNS[kind][0][-1]])
            sp.tl.evaluate(adata, n_bootstrap=0)
            sp.tl.rank_genes(adata)
            sp.settings.progress_bar = bar
        return made[kind].copy()

    return get


@pytest.mark.parametrize(("kind", "label"), CASES.values(), ids=CASES)
def test_a_fit_finds_its_target_and_its_source(kind, label):
    adata, text = labelled(kind), text_of(kind)
    other = next(value for value in adata.obs["y"] if value != adata.obs["y"].iloc[-1])
    sp.tl.fit_tspg(adata, "y", label)
    assert adata.uns["tspg"]["params"]["target"] == text
    sp.tl.fit_tspg(adata, "y", other, source=label)
    assert list(adata.uns["tspg"]["params"]["source"]) == [text]
    is_source = adata.obs["tspg_predicted"].notna().to_numpy()
    np.testing.assert_array_equal(is_source, (adata.obs["y"] == adata.obs["y"].iloc[-1]).to_numpy())


@pytest.mark.parametrize(("kind", "label"), CASES.values(), ids=CASES)
def test_what_was_fitted_is_found_by_all_getters(analysed, kind, label):
    adata, text = analysed(kind), text_of(kind)
    assert sp.get.model(adata).towards(label).target == text
    assert set(sp.get.rank_genes_df(adata, label)["group"]) == {text}
    assert set(sp.get.evaluation_df(adata, source=label)["source"]) == {text}


@pytest.mark.parametrize("kind", COLUMNS)
def test_what_was_fitted_is_found_by_all_verbs_and_plots(analysed, kind):
    adata, text, label = analysed(kind), text_of(kind), COLUMNS[kind][1][-1]
    sp.tl.enrich(adata, {"set": list(adata.var_names[:6])}, group=label, min_size=2)
    assert adata.uns["tspg_enrichment"]["params"]["group"] == text
    for plot in (sp.pl.rank_genes(adata, label, show=False), sp.pl.enrichment(adata, show=False)):
        assert text in plot.get_title()
    drawn = sp.pl.evaluation(adata, source=label, metric="e_distance", show=False)
    assert drawn.get_title().startswith(f"{text} →")
    plt.close("all")
    sp.tl.perturb(adata, label)
    assert adata.uns["tspg"]["params"]["target"] == text


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_prediction_finds_its_labels(analysed, kind):
    adata, label = analysed(kind), COLUMNS[kind][1][-1]
    target = sp.get.model(adata).target
    adata.layers["mine"] = adata.layers["xadv"]
    options = {"groupby": "y", "held_out": "tspg_split", "n_bootstrap": 0, "prediction": "mine"}
    sp.tl.evaluate(adata, target=target, source=label, **options)
    table = sp.get.evaluation_df(adata, source=None, key="mine")
    assert {"all", text_of(kind)} <= set(table["source"]) <= {"all", text_of(kind), target}


@pytest.mark.parametrize("kind", COLUMNS)
def test_groups_keep_their_names_in_a_file(analysed, kind, tmp_path):
    adata = analysed(kind)
    before = sp.get.rank_genes_df(adata)
    stored = ad.AnnData(obs=adata.obs[[]], uns=adata.uns)
    stored.write_h5ad(tmp_path / "ranked.h5ad")
    after = sp.get.rank_genes_df(ad.read_h5ad(tmp_path / "ranked.h5ad"))
    pd.testing.assert_frame_equal(after, before, check_dtype=False)


def test_labels_of_a_module_are_found(adata):
    adata.obs["y"] = np.repeat([2, 0, 1], SIZES)
    torch.manual_seed(0)
    sp.tl.fit_tspg(adata, "y", 1, classifier=nn.Linear(12, 3), classes=[0.0, 1.0, 2.0])
    assert list(adata.obs["tspg_predicted"].cat.categories) == ["0", "1", "2"]


SINGLE = {
    "perturb": sp.tl.perturb,
    "towards": lambda a, labels: sp.get.model(a).towards(labels),
    "enrich": lambda a, labels: sp.tl.enrich(a, {"s": ["gene0"]}, group=labels),
    "pl.rank_genes": sp.pl.rank_genes,
    "pl.evaluation": lambda a, labels: sp.pl.evaluation(a, source=labels),
}


@pytest.mark.parametrize("verb", SINGLE.values(), ids=SINGLE)
@pytest.mark.parametrize("labels", [["a", "b"], []], ids=["two", "none"])
def test_several_labels_are_refused_where_one_is_meant(analysed, verb, labels):
    with pytest.raises(ValueError, match="must be one label, not "):
        verb(analysed("text"), labels)


def test_tables_hold_several_labels(analysed):
    adata = analysed("numbers")
    assert list(sp.get.rank_genes_df(adata, ["all", 1])["group"].unique()) == ["all", "1"]
    assert set(sp.get.evaluation_df(adata, source=["all", 1])["source"]) == {"all", "1"}


UNKNOWN = {
    "fit": (lambda a: sp.tl.fit_tspg(a, "y", 7), ValueError, "target '7' is not a class. The classes are: '0', '1', '2'"),
    "perturb": (lambda a: sp.tl.perturb(a, np.int64(7)), ValueError, "fitted for target '2', '1', not '7'"),
    "ranking": (lambda a: sp.get.rank_genes_df(a, 7), KeyError, "Group '7' not found. Available: 'all', '0', '1'"),
    "evaluation": (lambda a: sp.get.evaluation_df(a, source=7), KeyError, "Source '7' not found. Available: 'all'"),
    "context": (lambda a: sp.get.evaluation_df(a, context=7), KeyError, "Context '7' not found. Available: 'all'"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "match"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_label_is_named_with_the_known_ones(analysed, call, error, match):
    with pytest.raises(error, match=match):
        call(analysed("numbers"))


def test_a_label_that_is_all_is_refused_before_training(adata):
    adata.obs["y"] = np.repeat(["all", "b", "c"], SIZES)
    with pytest.raises(ValueError, match="'y'.* is called 'all'"):
        sp.tl.fit_tspg(adata, "y", "b")
    assert "classifier" not in adata.uns


def test_a_context_that_is_all_is_refused(analysed):
    adata = analysed("text")
    adata.obs["donor"] = ["all", "d"] * 25
    with pytest.raises(ValueError, match="'donor'.* is called 'all'"):
        sp.tl.evaluate(adata, by="donor")
