from __future__ import annotations

import gzip
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import requests
from scipy.stats import false_discovery_control, hypergeom

import scgan_perturb as sp
from scgan_perturb.data._gene_sets import read_gmt, write_gmt
from tests.conftest import same_adata

COLUMNS = ["term", "overlap", "set_size", "p_value", "q_value"]
N_GENES = 300


def ranked_adata(genes: list[str], *, seed: int = 0) -> ad.AnnData:
    """What tl.rank_genes leaves of a perturbation: the names and scores of one group."""
    scores = np.sort(np.random.default_rng(seed).normal(size=len(genes)))[::-1].astype("float32")
    columns = {"names": np.array(genes, dtype=object)}
    columns |= dict.fromkeys(("scores", "sds", "shares", "logfoldchanges"), scores)
    ranking = {n: np.rec.fromarrays([c], dtype=[("all", c.dtype)]) for n, c in columns.items()}
    return ad.AnnData(np.ones((1, len(genes)), "float32"), uns={"tspg_rank_genes": ranking})


def random_sets(genes: list[str], n_sets: int = 60, *, seed: int = 1) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    return {
        f"SET_{i}": list(rng.choice(genes, size=rng.integers(5, 40), replace=False))
        for i in range(n_sets)
    }


@pytest.fixture
def genes():
    return [f"GENE{i}" for i in range(N_GENES)]


@pytest.fixture
def adata(genes):
    return ranked_adata(genes)


def by_scipy(query, sets, universe, min_size=5) -> pd.DataFrame:
    """The hypergeometric test of each set, and Benjamini-Hochberg over all of them."""
    query, universe = set(query), set(universe)
    rows = []
    for term, genes in sets.items():
        own = set(genes) & universe
        if len(own) >= min_size:
            k = len(own & query)
            p = hypergeom.sf(k - 1, len(universe), len(own), len(query))
            rows.append((term, k, len(own), p))
    table = pd.DataFrame(rows, columns=COLUMNS[:4])
    table["q_value"] = false_discovery_control(table["p_value"])
    return table[table["overlap"] > 0].set_index("term").sort_index()


def check_against_scipy(adata, query, sets, universe):
    ours = sp.get.enrichment_df(adata).set_index("term").sort_index()
    pd.testing.assert_frame_equal(
        ours[COLUMNS[1:]], by_scipy(query, sets, universe), check_exact=True, check_names=False
    )


@pytest.mark.parametrize("direction", ["up", "down"])
def test_p_and_q_are_those_of_scipy(adata, genes, direction):
    sets = random_sets(genes)
    sp.tl.enrich(adata, sets, direction=direction)
    check_against_scipy(adata, genes[:20] if direction == "up" else genes[-20:], sets, genes)
    assert len(sp.get.enrichment_df(adata)) < len(sets)  # some share no gene, and still count


@pytest.mark.parametrize(
    "name", [str, lambda i: f"ENSG{i:011d}", lambda i: f"Gene{i}", lambda i: f"gene-{i}.1;x"]
)
def test_any_kind_of_gene_name_gives_the_same(name):
    genes = [name(i) for i in range(N_GENES)]
    adata, sets = ranked_adata(genes), random_sets(genes)
    sp.tl.enrich(adata, sets)
    check_against_scipy(adata, genes[:20], sets, genes)


@pytest.mark.filterwarnings("ignore:.*The table is empty")
def test_names_differing_in_case_only_are_different_genes():
    genes = [f"gene{i}" for i in range(N_GENES // 2)] + [f"GENE{i}" for i in range(N_GENES // 2)]
    adata, sets = ranked_adata(genes), random_sets(genes[N_GENES // 2 :])
    sp.tl.enrich(adata, sets, n_genes=100)
    assert sp.get.enrichment_df(adata).empty


@pytest.mark.parametrize("file", ["c2.cp.kegg.v7.5.1.symbols.gmt", "h.all.v7.0.symbols.gmt"])
def test_real_gene_sets_agree_with_scipy(shared_data, file):
    path = shared_data / "gene_sets" / file
    sets = read_gmt(path)
    genes = list(dict.fromkeys(gene for own in sets.values() for gene in own))
    genes = list(np.random.default_rng(0).permutation(genes)[:2000])
    adata = ranked_adata(genes)
    sp.tl.enrich(adata, path, n_genes=200)
    check_against_scipy(adata, genes[:200], sets, genes)
    assert adata.uns["tspg_enrichment"]["params"]["gene_sets"] == file


def test_the_background_can_be_given(adata, genes):
    universe = genes[5:] + [f"OTHER{i}" for i in range(100)]
    sets = random_sets(universe)
    with pytest.warns(UserWarning, match="5 of the 20 genes are not in the background"):
        sp.tl.enrich(adata, sets, background=universe)
    check_against_scipy(adata, genes[5:20], sets, universe)


def test_repeated_and_unknown_genes_do_not_count(adata, genes, caplog):
    sets = random_sets(genes)
    spoilt = {term: [*own, *own[:3], "UNKNOWN", ""] for term, own in sets.items()}
    sp.tl.enrich(adata, spoilt)
    check_against_scipy(adata, genes[:20], sets, genes)
    assert "180 repeated genes were dropped" in caplog.text
    assert "2 of their" in caplog.text


def test_small_sets_are_not_tested(adata, genes):
    sp.tl.enrich(adata, {"small": genes[:4], "big": genes[:5]})
    assert list(sp.get.enrichment_df(adata)["term"]) == ["big"]
    assert adata.uns["tspg_enrichment"]["params"]["n_tested"] == 1


def test_only_genes_that_move_that_way_are_taken(adata, genes):
    sp.tl.enrich(adata, random_sets(genes), n_genes=10_000)
    n_up = int((adata.uns["tspg_rank_genes"]["scores"]["all"] > 0).sum())
    assert adata.uns["tspg_enrichment"]["params"]["n_genes"] == n_up
    check_against_scipy(adata, genes[:n_up], random_sets(genes), genes)


def test_genes_are_named_strongest_first(adata, genes):
    sp.tl.enrich(adata, {"s": [genes[7], genes[2], *genes[50:60]]})
    row = sp.get.enrichment_df(adata).iloc[0]
    assert row["genes"] == f"{genes[2]};{genes[7]}"
    assert row["overlap"] == 2


def test_the_odds_ratio_has_half_added_to_each_cell(adata, genes):
    sp.tl.enrich(adata, {"s": [*genes[:3], *genes[50:60]]})
    expected = (3 + 0.5) * (300 - 20 - 10 + 0.5) / ((10 + 0.5) * (17 + 0.5))
    assert sp.get.enrichment_df(adata)["odds_ratio"].item() == pytest.approx(expected)


def test_prerank_finds_sets_at_either_end(adata, genes):
    sets = random_sets(genes, 20) | {"TOP": genes[:20], "BOTTOM": genes[-20:]}
    sp.tl.enrich(adata, sets, method="prerank", n_permutations=200)
    table = sp.get.enrichment_df(adata).set_index("term")
    assert set(table.index[:2]) == {"TOP", "BOTTOM"}
    assert table.loc["TOP", "nes"] > 0 > table.loc["BOTTOM", "nes"]
    assert table["p_value"].between(1 / 200, 1).all()
    np.testing.assert_array_equal(table["q_value"], false_discovery_control(table["p_value"]))
    assert set(table.loc["TOP", "genes"].split(";")) <= set(genes[:20])


def test_prerank_depends_on_the_seed_only(adata, genes):
    def run(rng):
        sp.tl.enrich(adata, random_sets(genes), method="prerank", n_permutations=50, rng=rng)
        return sp.get.enrichment_df(adata)

    pd.testing.assert_frame_equal(run(1), run(1))
    assert not run(1).equals(run(2))


@pytest.mark.parametrize("method", ["ora", "prerank"])
def test_nothing_found_is_an_empty_table_and_a_warning(adata, method):
    with pytest.warns(UserWarning, match="empty: none of the 1 gene sets has 5 genes"):
        sp.tl.enrich(adata, {"s": ["x", "y"]}, method=method)
    table = sp.get.enrichment_df(adata)
    assert len(table) == 0
    statistic = "odds_ratio" if method == "ora" else "nes"
    assert list(table.columns) == [*COLUMNS, statistic, "genes"]


def test_ids_against_symbols_are_recognised():
    adata = ranked_adata([f"ENSG{i:011d}" for i in range(20)])
    with pytest.warns(UserWarning, match="of adata look like Ensembl ids"):
        sp.tl.enrich(adata, {"s": ["TP53", "LYZ", "CD4", "CD8A", "ACTB"]})


@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.filterwarnings("ignore:.*The table is empty")
def test_the_result_survives_a_file(tmp_path, adata, genes, kind, full):
    sp.tl.enrich(adata, {"a/b": genes[:9], "µ": genes[5:30]} if full else {"a": ["b"]})
    stored = ad.AnnData(adata.X, uns={"tspg_enrichment": adata.uns["tspg_enrichment"]})
    getattr(stored, f"write_{kind}")(tmp_path / f"a.{kind}")
    read = getattr(ad, f"read_{kind}")(tmp_path / f"a.{kind}")
    ours, theirs = sp.get.enrichment_df(adata), sp.get.enrichment_df(read)
    assert theirs.to_csv() == ours.to_csv()
    assert list(theirs.columns) == list(ours.columns)
    assert dict(read.uns["tspg_enrichment"]["params"]) == adata.uns["tspg_enrichment"]["params"]


def test_several_results_are_kept_by_name(adata, genes):
    for direction in ("up", "down"):
        sp.tl.enrich(adata, random_sets(genes), direction=direction, key_added=f"go_{direction}")
    assert "tspg_enrichment" not in adata.uns
    assert not sp.get.enrichment_df(adata, "go_up").equals(sp.get.enrichment_df(adata, "go_down"))


def test_a_copy_is_returned_and_the_original_left_alone(fitted):
    sp.tl.rank_genes(fitted)
    before = fitted.copy()
    sets = {"s": list(fitted.var_names[:6])}
    copied = sp.tl.enrich(fitted, sets, group="liver", n_genes=12, copy=True)
    assert copied.uns["tspg_enrichment"]["params"]["n_background"] == 12
    assert same_adata(fitted, before)


def test_an_enrichr_library_is_downloaded_once(adata, genes, enrichr):
    libraries, asked = enrichr
    libraries["KEGG_2016"] = random_sets(genes)
    for _ in range(2):
        sp.tl.enrich(adata, "KEGG_2016")
        check_against_scipy(adata, genes[:20], random_sets(genes), genes)
    assert asked == ["KEGG_2016"]


def test_a_collection_of_msigdb_is_taken_from_the_cache(adata, genes, tmp_path):
    write_gmt(tmp_path / "msigdb" / "h.all.v7.0.symbols.gmt", random_sets(genes))
    sp.settings.dataset_dir = tmp_path
    sp.tl.enrich(adata, "h.all", version="7.0")
    check_against_scipy(adata, genes[:20], random_sets(genes), genes)
    assert adata.uns["tspg_enrichment"]["params"]["version"] == "7.0"


@pytest.mark.parametrize("name", ["sets.txt", "sets.gmt.gz", "sets.tsv"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_of_any_name_is_not_asked_of_enrichr(adata, genes, enrichr, tmp_path, name, kind):
    path = tmp_path / name
    with pytest.raises(FileNotFoundError, match=name):
        sp.tl.enrich(adata, kind(path), min_size=1)
    write_gmt(path, random_sets(genes))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    sp.tl.enrich(adata, random_sets(genes), min_size=1, key_added="expected")
    sp.tl.enrich(adata, kind(path), min_size=1)
    found = sp.get.enrichment_df(adata)
    pd.testing.assert_frame_equal(found, adata.uns["expected"]["table"])
    assert enrichr[1] == []


def test_no_network_is_said_clearly(adata, enrichr, tmp_path):
    enrichr[0]["KEGG_2016"] = requests.exceptions.ConnectionError()
    with pytest.raises(ConnectionError, match=r"'KEGG_2016' could not .* path of a \.gmt file"):
        sp.tl.enrich(adata, "KEGG_2016")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        pytest.param({"method": "gsea"}, ValueError, "'gsea'", id="method"),
        pytest.param({"direction": "left"}, ValueError, "'left'", id="direction"),
        pytest.param({"group": "livr"}, KeyError, "'livr' not found", id="group"),
        pytest.param({"n_genes": 0}, ValueError, "n_genes must be", id="n_genes"),
        pytest.param({"min_size": 0}, ValueError, "min_size must be", id="min_size"),
        pytest.param({"background": 20_000}, ValueError, "list of genes", id="number"),
        pytest.param(
            {"background": ["a"], "method": "prerank"}, ValueError, "'ora' only", id="prerank"
        ),
        pytest.param({"gene_sets": "/no/such.gmt"}, FileNotFoundError, "/no/such.gmt", id="file"),
        pytest.param({"gene_sets": {"s": "TP53"}}, TypeError, "not the text 'TP53'", id="text"),
        pytest.param({"gene_sets": 3}, TypeError, "not int", id="kind"),
        pytest.param({"key": "other"}, KeyError, "sp.tl.rank_genes", id="not ranked"),
    ],
)
def test_bad_input_is_named_and_nothing_written(adata, genes, arguments, error, match):
    before = adata.copy()
    with pytest.raises(error, match=match):
        sp.tl.enrich(adata, **({"gene_sets": random_sets(genes)} | arguments))
    assert same_adata(adata, before)


def test_a_result_that_was_not_made_names_the_call(adata):
    with pytest.raises(KeyError, match=re.escape("sp.tl.enrich(adata, gene_sets)")):
        sp.get.enrichment_df(adata)
