from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import scgan_perturb as sp

METRICS = ["e_distance", "mmd", "mean_r2", "variance_r2", "success", "perturbation", "marginals"]
LOWER_IS_BETTER = ("e_distance", "mmd", "perturbation", "marginals")


@pytest.fixture(scope="module")
def _evaluated():
    from tests.conftest import make_adata

    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    adata = make_adata({"liv$er": 20, "_lung": 20, "heart": 4})
    sp.tl.fit_tspg(adata, "tissue", "_lung", held_out=0.25)
    with pytest.warns(UserWarning, match="tells perturbed samples from real|come nearer"):
        sp.tl.evaluate(adata, n_bootstrap=20)
    sp.settings.progress_bar = bar
    return adata


@pytest.fixture
def evaluated(_evaluated):
    return _evaluated.copy()


def names(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("metric", METRICS)
def test_methods_come_from_best_to_worst(evaluated, metric):
    ax = sp.pl.evaluation(evaluated, metric=metric, show=False)
    table = sp.get.evaluation_df(evaluated).set_index("method")[metric].drop("real target")
    drawn = table[names(ax)].to_numpy()
    ordered = np.diff(drawn) if metric in LOWER_IS_BETTER else -np.diff(drawn)
    assert (ordered >= 0).all()
    assert len(drawn) == 11
    low, high = ax.get_xlim()
    assert low <= drawn.min()
    assert drawn.max() <= high


def test_dots_intervals_and_floor_are_where_the_table_says(evaluated):
    ax = sp.pl.evaluation(evaluated, metric="e_distance", show=False)
    table = sp.get.evaluation_df(evaluated).set_index("method")
    dots = {}
    for collection in ax.collections:
        if isinstance(collection, mpl.collections.PathCollection):
            dots |= {names(ax)[round(y)]: x for x, y in collection.get_offsets()}
    assert dots == pytest.approx(table["e_distance"].drop("real target").to_dict())
    (lines,) = (c for c in ax.collections if isinstance(c, mpl.collections.LineCollection))
    ends = np.array([segment[:, 0] for segment in lines.get_segments()])
    np.testing.assert_allclose(ends, table.loc[names(ax), ["e_distance_low", "e_distance_high"]])
    floor = [line for line in ax.lines if "floor" in str(line.get_label())]
    assert floor[0].get_xdata()[0] == table.loc["real target", "e_distance"]


def test_told_baselines_and_copies_are_marked(evaluated):
    ax = sp.pl.evaluation(evaluated, metric="e_distance", show=False)
    groups = {}
    for collection in ax.collections:
        if isinstance(collection, mpl.collections.PathCollection):
            rows = collection.get_offsets()[:, 1]
            groups[collection.get_label()] = {names(ax)[round(y)] for y in rows}
    table = sp.get.evaluation_df(evaluated)
    assert groups["this model"] == {"this model"}
    assert groups["baseline, told the label"] == set(table.loc[table["is_told_label"], "method"])
    assert groups["others' real samples, no perturbation"] == {
        "matched target sample",
        "nearest target sample",
        "random target sample",
    }


def test_one_look_shows_how_near_samples_are_and_whether_anybody_could_tell(evaluated):
    distance, auc = sp.pl.evaluation(evaluated, show=False)
    table = sp.get.evaluation_df(evaluated).set_index("method")
    nearest_first = table["e_distance"].drop("real target").sort_values().index
    assert names(distance) == list(nearest_first)
    for ax, metric in ((distance, "e_distance"), (auc, "auc_random_forest")):
        (ours,) = (c for c in ax.collections if c.get_label() == "this model")
        [[x, y]] = ours.get_offsets()
        assert x == table.loc["this model", metric]
        assert nearest_first[round(y)] == "this model"


def test_the_title_says_whether_a_test_tells_the_samples_from_real_ones(evaluated):
    table = evaluated.uns["tspg"]["evaluation"]
    ours = table["method"] == "this model"
    for value, verdict in ((1.0, "told from real in 100 % of pairs"), (0.5, "no test tells")):
        for test in ("auc_random_forest", "auc_logistic_regression"):
            table.loc[ours, [test, f"{test}_low"]] = value
        assert verdict in sp.pl.evaluation(evaluated, show=False)[0].get_title()


def test_several_metrics_need_a_figure_of_their_own(evaluated):
    with pytest.raises(ValueError, match="just one if ax is given"):
        sp.pl.evaluation(evaluated, metric=["mmd", "zeros"], ax=plt.subplots()[1])


def test_a_metric_that_an_earlier_version_did_not_measure_is_asked_for_again(evaluated):
    del evaluated.uns["tspg"]["evaluation"]["auc_random_forest"]
    with pytest.raises(ValueError, match=r"no column 'auc_random_forest'.*evaluate\(adata\) again"):
        sp.pl.evaluation(evaluated)


def test_labels_are_drawn_as_they_are(evaluated):
    ax = sp.pl.evaluation(evaluated, metric="mmd", source="liv$er", show=False)
    assert ax.get_title().endswith("_lung")
    ax.figure.canvas.draw()


def test_a_source_without_distances_is_drawn_as_such(evaluated):
    ax = sp.pl.evaluation(evaluated, metric="e_distance", source="heart", show=False)
    assert "nothing measured" in [text.get_text() for text in ax.texts]


def test_it_can_be_drawn_on_given_axes(evaluated):
    figure, ax = plt.subplots()
    assert sp.pl.evaluation(evaluated, ax=ax, show=False) is ax
    assert sp.pl.evaluation(evaluated, ax=ax, return_fig=True) is figure


def test_bad_input_is_named(evaluated, fitted):
    with pytest.raises(ValueError, match="metric must be one of 'auc_random_forest', .* not 'x'"):
        sp.pl.evaluation(evaluated, metric="x")
    with pytest.raises(KeyError, match=r"tl\.evaluate"):
        sp.pl.evaluation(fitted)


@pytest.mark.parametrize(
    ("nearest", "farthest", "expected"),
    [(0.0, 10.0, ["0", "0.1", "1", "10"]), (0.7, 1.6, ["0.7", "1", "1.5"]), (2.2, 8.0, ["3", "5"])],
)
def test_numbers_at_the_axis_are_enough_to_read_a_distance(evaluated, nearest, farthest, expected):
    table = evaluated.uns["tspg"]["evaluation"]
    pooled = table["source"] == "all"
    for column in ("e_distance", "e_distance_low", "e_distance_high"):
        table.loc[pooled, column] = np.linspace(nearest, farthest, pooled.sum())
    ax = sp.pl.evaluation(evaluated, metric="e_distance", show=False)
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert set(expected) <= set(shown)
    assert len(shown) >= 3
