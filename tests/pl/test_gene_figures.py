from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import scgan_perturb as sp


@pytest.fixture
def ranked(fitted):
    sp.tl.rank_genes(fitted)
    return fitted


def names(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_the_strongest_genes_are_named_at_both_ends(ranked):
    ax = sp.pl.rank_genes(ranked, "liver", n_genes=2, show=False)
    genes = list(sp.get.rank_genes_df(ranked, "liver")["gene"])
    assert names(ax) == [*genes[:2], *genes[-2:]]
    assert ax.get_title() == "liver → lung"


def test_genes_can_be_drawn_on_given_axes(ranked):
    _, ax = plt.subplots()
    assert sp.pl.rank_genes(ranked, ax=ax, show=False) is ax


def test_a_class_of_one_sample_can_be_drawn(ranked):
    one = ranked[:1].copy()
    sp.tl.rank_genes(one)
    assert names(sp.pl.rank_genes(one, "liver", show=False))


@pytest.mark.parametrize("method", ["ora", "prerank"])
def test_dots_lie_at_minus_log_q(ranked, method):
    genes = list(ranked.var_names)
    sets = {"A_LONG_NAME": genes[:6], "b": genes[3:9], "c": genes[5:11]}
    sp.tl.enrich(ranked, sets, n_genes=4, method=method, n_permutations=50)
    ax = sp.pl.enrichment(ranked, n_terms=2, show=False)
    table = sp.get.enrichment_df(ranked).head(2)
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], -np.log10(table["q_value"]))
    assert names(ax) == [term.replace("_", " ") for term in table["term"]]


def test_long_terms_are_cut_to_three_lines(ranked):
    genes = list(ranked.var_names[:6])
    term = "regulation of " * 20 + "$x$"
    sp.tl.enrich(ranked, {term: genes, "no_space" * 30: genes}, n_genes=12)
    ax = sp.pl.enrichment(ranked, show=False)
    ax.figure.canvas.draw()
    widths = [label.get_window_extent().width / ax.figure.dpi for label in ax.get_yticklabels()]
    assert max(widths) < 2.5
    assert all(name.count("\n") == 2 for name in names(ax))
    assert any(name.endswith("regulation of $x$".replace("$", r"\$")) for name in names(ax))


@pytest.mark.filterwarnings("ignore:The table is empty")
def test_an_empty_table_is_drawn_as_such(ranked):
    sp.tl.enrich(ranked, {"s": ["x"]})
    ax = sp.pl.enrichment(ranked, show=False)
    assert "no gene set found" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("draw", "error", "match"),
    [
        pytest.param(
            lambda a: sp.pl.rank_genes(a, n_genes=0), ValueError, "n_genes", id="no genes"
        ),
        pytest.param(lambda a: sp.pl.rank_genes(a, "livr"), KeyError, "'liver'", id="group"),
        pytest.param(
            lambda a: sp.pl.enrichment(a, n_terms=0), ValueError, "n_terms", id="no terms"
        ),
        pytest.param(lambda a: sp.pl.enrichment(a, "x"), KeyError, "tl.enrich", id="no result"),
    ],
)
def test_bad_input_is_named(ranked, draw, error, match):
    with pytest.raises(error, match=match):
        draw(ranked)
