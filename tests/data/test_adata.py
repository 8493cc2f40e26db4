"""What is no AnnData, or has names that cannot be stored, is refused with the remedy."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from tests.conftest import make_adata, same_adata

FUNCTIONS = {
    f"{room}.{name}": getattr(getattr(sp, room), name)
    for room in ("pp", "tl", "get", "pl")
    for name in getattr(sp, room).__all__
    if inspect.isfunction(getattr(getattr(sp, room), name))
}
MuData = type("MuData", (SimpleNamespace,), {})
NO_ADATA = {
    "DataFrame": (pd.DataFrame({"tissue": ["lung"]}), r"not DataFrame\. Make one: anndata\.AnnData\("),
    "array": (np.ones((3, 2)), r"not ndarray\. Make one"),
    "path": ("cells.h5ad", r"not str\. Read the file first: adata = anndata\.read_h5ad"),
    "None": (None, r"not NoneType\. Make one"),
    "MuData": (MuData(mod={"rna": make_adata()}), r"not MuData\. Choose .* adata\.mod\['rna'\]"),
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(("given", "match"), NO_ADATA.values(), ids=NO_ADATA)
def test_what_is_no_anndata_is_named_with_the_remedy(function, given, match):
    parameters = inspect.signature(function).parameters.values()
    further = ["tissue" for p in list(parameters)[1:] if p.default is p.empty]
    with pytest.raises(TypeError, match=f"adata must be an AnnData, {match}"):
        function(given, *further)


def test_a_reference_that_is_no_anndata_is_named(adata):
    with pytest.raises(TypeError, match="reference must be an AnnData, not DataFrame"):
        sp.tl.perturb(adata, reference=pd.DataFrame())


def index(names) -> pd.Index:
    return pd.Index(names, dtype=object)


def genes(*first) -> list:
    return [*first, *(f"gene{i}" for i in range(len(first), 12))]


BAD_NAMES = {
    "Entrez ids": ("var", pd.RangeIndex(1000, 1012), r"var_names must be text, not integer \(1000, 1001, 1002\)", "a.var_names = a.var_names.astype(str)"),
    "numbers as objects": ("var", index(range(12)), "not integer", "a.var_names = a.var_names.astype(str)"),
    "fractions": ("var", pd.Index(np.arange(12) + 0.5), "not floating", "a.var_names = a.var_names.astype(str)"),
    "one number among text": ("var", index(genes(7)), r"not mixed-integer \(7, 'gene1'", "a.var_names = a.var_names.astype(str)"),
    "a symbol that is NaN": ("var", index(genes(np.nan)), r"1 of 12 genes have no name in adata\.var_names", "a = a[:, a.var_names.notna()].copy()"),
    "a symbol that is None": ("var", index(genes(None)), "1 of 12 genes have no name", "a = a[:, a.var_names.notna()].copy()"),
    "bytes": ("var", index([name.encode() for name in genes()]), "not bytes", "a.var_names = a.var_names.str.decode('utf-8')"),
    "several levels": ("var", pd.MultiIndex.from_product([["chr1"], range(12)]), "is a MultiIndex of 2 levels", "a.var_names = ['_'.join(map(str, name)) for name in a.var_names]"),
    "sample numbers": ("obs", pd.RangeIndex(50), r"obs_names must be text, not integer \(0, 1, 2\)", "a.obs_names = a.obs_names.astype(str)"),
    "a sample without a name": ("obs", index([np.nan, *map(str, range(49))]), "1 of 50 samples have no name", "a = a[a.obs_names.notna()].copy()"),
    "samples of several levels": ("obs", pd.MultiIndex.from_product([["donor"], range(50)]), "is a MultiIndex", "a.obs_names = ['_'.join(map(str, name)) for name in a.obs_names]"),
}  # fmt: skip


@pytest.mark.parametrize("fit", ["tspg", "classifier", "perturb"])
@pytest.mark.parametrize(("axis", "names", "match", "remedy"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_that_are_no_text_are_refused_and_the_remedy_helps(
    fitted, fit, axis, names, match, remedy
):
    verbs = {
        "tspg": lambda a: sp.tl.fit_tspg(a, "tissue", "lung"),
        "classifier": lambda a: sp.tl.fit_classifier(a, "tissue", max_epochs=1),
        "perturb": lambda a: sp.tl.perturb(a, reference=fitted),
    }
    adata, before = make_adata(), make_adata()
    getattr(adata, axis).index = names
    getattr(before, axis).index = names  # a copy would make text of numbers
    with pytest.raises(ValueError, match=match) as raised:
        verbs[fit](adata)
    assert same_adata(adata, before)
    assert remedy.replace("a.", "adata.").replace("a[", "adata[").removeprefix("a = ") in str(
        raised.value
    )
    if fit == "classifier":
        scope = {"a": adata}
        exec(remedy, scope)
        verbs[fit](scope["a"])


def test_the_remedy_for_names_keeps_a_fit_readable(adata, tmp_path):
    adata.var.index = pd.RangeIndex(12)
    adata.var_names = adata.var_names.astype(str)
    sp.tl.fit_tspg(adata, "tissue", "lung")
    adata.write_h5ad(tmp_path / "fitted.h5ad")
    assert list(sp.get.perturbation(adata).columns) == [str(i) for i in range(12)]


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_a_column_that_occurs_twice_is_refused_and_the_remedy_helps(adata, axis):
    adata.var["tissue"] = True
    table = getattr(adata, axis)
    setattr(adata, axis, pd.concat([table, table], axis=1))
    with pytest.raises(
        ValueError, match=rf"adata\.{axis} has more than one column 'tissue'"
    ) as raised:
        sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    exec(str(raised.value).partition("Keep the first: ")[2].rstrip("."), {"adata": adata})
    sp.tl.fit_classifier(adata, "tissue", max_epochs=1)


@pytest.mark.parametrize("as_names", [pd.CategoricalIndex, lambda n: pd.Index(n, dtype="string")])
def test_text_of_any_kind_names_genes(adata, as_names):
    adata.var.index = as_names(genes())
    sp.tl.fit_tspg(adata, "tissue", "lung")
    assert list(sp.get.perturbation(adata).columns) == genes()
