"""What was stored, and has been damaged since."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp


@pytest.fixture
def ranked(fitted):
    sp.tl.rank_genes(fitted)
    sp.tl.enrich(fitted, {"a": ["gene0", "gene1"]}, min_size=1, method="prerank")
    fitted.uns["tspg"]["evaluation"] = pd.DataFrame({"source": ["all"], "method": ["none"]})
    return fitted


READERS = {
    "tspg": sp.get.evaluation_df,
    "tspg_rank_genes": sp.get.rank_genes_df,
    "tspg_enrichment": sp.get.enrichment_df,
    "classifier": lambda a: sp.get.history(a, key="classifier"),
}


@pytest.mark.parametrize("thing", [None, 3, "text", np.zeros(3), pd.DataFrame({"a": [1]})])
@pytest.mark.parametrize(("name", "read"), READERS.items(), ids=READERS)
def test_anything_else_in_its_place_is_as_if_it_were_not_there(ranked, name, read, thing):
    ranked.uns[name] = thing
    with pytest.raises(KeyError, match=f"{name}' not found.*Call sp.tl"):
        read(ranked)


@pytest.mark.parametrize(
    ("name", "entry", "read"),
    [
        ("tspg", "evaluation", sp.get.evaluation_df),
        ("tspg", "history", sp.get.history),
        ("tspg_enrichment", "table", sp.get.enrichment_df),
    ],
)
def test_what_is_no_table_is_named(ranked, name, entry, read):
    ranked.uns[name][entry] = {"a": np.zeros(3)}
    with pytest.raises(
        ValueError, match=rf"uns\['{name}'\]\['{entry}'\] is damaged: it is no table"
    ):
        read(ranked)


def test_a_table_that_lacks_columns_is_named(ranked):
    del ranked.uns["tspg"]["evaluation"]["source"]
    with pytest.raises(ValueError, match="is damaged: it has no column 'source'"):
        sp.get.evaluation_df(ranked)


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r.pop("sds"),
        lambda r: r.update(names=np.zeros(3)),
        lambda r: r.update(scores=r["scores"][:2]),
        lambda r: r.update(shares=r["shares"][["all"]]),
    ],
)
def test_a_ranking_whose_fields_differ_is_named(ranked, damage):
    damage(ranked.uns["tspg_rank_genes"])
    with pytest.raises(ValueError, match=r"uns\['tspg_rank_genes'\] is damaged: its fields"):
        sp.get.rank_genes_df(ranked)


@pytest.mark.parametrize(
    "read", [sp.get.perturbed_adata, sp.get.transition_genes, sp.tl.rank_genes, sp.tl.embed]
)
def test_it_must_be_known_which_samples_were_perturbed(fitted, read):
    del fitted.obs["tspg_predicted"]
    with pytest.raises(KeyError, match=r"'tspg_predicted' not found.*sp\.tl\.perturb\(adata\)"):
        read(fitted)


def test_a_layer_of_text_is_refused(fitted):
    fitted.layers["xadv"] = np.full(fitted.shape, "a", dtype=object)
    with pytest.raises(ValueError, match=r"layers\['xadv'\] holds values of type object"):
        sp.get.perturbation(fitted)


def test_coordinates_of_another_shape_are_refused(fitted):
    sp.tl.embed(fitted, method="pca")
    fitted.obsm["tspg_pca"] = np.zeros((fitted.n_obs, 3))
    with pytest.raises(ValueError, match=r"obsm\['tspg_pca'\] is damaged"):
        sp.get.embedding(fitted, "pca")
