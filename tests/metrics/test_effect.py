from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu, pearsonr

from scgan_perturb.metrics import (
    Effect,
    direction,
    effect,
    log_fold_change_error,
    overlap,
    pearson_delta,
)

RNG = np.random.default_rng(0)
MEASURES = (pearson_delta, direction, overlap, log_fold_change_error)


def log_expression(phase: float, fold: np.ndarray) -> np.ndarray:
    """Log expression of 40 samples, the same on every machine: log1p of whole numbers."""
    samples, genes = np.arange(40)[:, None], np.arange(len(fold))
    waves = np.sin(1.3 * samples + phase * genes + 0.7) + np.cos(2.9 * samples * phase + genes)
    return np.log1p(np.floor(fold * (12 + 2.5 * waves)))


FOLD = np.repeat([2.0, 0.5, 1.05, 1.0], [8, 8, 8, 16])
MISTAKEN_FOLD = np.repeat([0.7, 1.8, 0.4, 1.5, 1.0], [3, 5, 7, 3, 22])
BEFORE = log_expression(1.1, np.ones(40))
REAL, PREDICTED = log_expression(1.7, FOLD), log_expression(2.3, MISTAKEN_FOLD)
EFFECTS = effect(BEFORE, PREDICTED), effect(BEFORE, REAL)  # predicted, real


def p_values(after: np.ndarray) -> np.ndarray:
    return mannwhitneyu(after, BEFORE, axis=0, method="asymptotic").pvalue


def pair_of_cell_eval(*, after: np.ndarray) -> ad.AnnData:
    labels = np.repeat(["control", "target"], [len(BEFORE), len(after)])
    obs = pd.DataFrame({"label": labels}, index=[f"sample{i}" for i in range(len(labels))])
    var = pd.DataFrame(index=[f"gene{i}" for i in range(after.shape[1])])
    return ad.AnnData(np.vstack([BEFORE, after]), obs=obs, var=var)


@pytest.mark.filterwarnings("ignore")
def test_pearson_delta_is_that_of_cell_eval():
    cell_eval = pytest.importorskip("cell_eval")
    from cell_eval.metrics import pearson_delta as theirs

    pair = cell_eval.PerturbationAnndataPair(
        real=pair_of_cell_eval(after=REAL),
        pred=pair_of_cell_eval(after=PREDICTED),
        pert_col="label",
        control_pert="control",
    )
    assert pearson_delta(*EFFECTS) == pytest.approx(theirs(pair)["target"], abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_direction_is_that_of_cell_eval():
    cell_eval = pytest.importorskip("cell_eval")
    from cell_eval.metrics import DEDirectionMatch
    from pdex import pdex

    real, predicted = (
        pdex(
            pair_of_cell_eval(after=after),
            groupby="label",
            mode="ref",
            reference="control",
            threads=1,
            is_log1p=True,
            epsilon=0.0,
        )
        for after in (REAL, PREDICTED)
    )
    theirs = DEDirectionMatch(fdr_threshold=0.05)(
        cell_eval.initialize_de_comparison(real=real, pred=predicted)
    )
    assert direction(*EFFECTS) == pytest.approx(theirs["target"], abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_overlap_is_that_of_cell_eval():
    cell_eval = pytest.importorskip("cell_eval")
    import polars as pl
    from cell_eval.metrics import de_overlap_metric

    real, predicted = (
        pl.DataFrame(
            {
                "target": ["target"] * 40,
                "feature": [f"gene{i}" for i in range(40)],
                "log2_fold_change": changes.change,
                "p_value": p_values(after),
                "fdr": false_discovery_control(p_values(after)),
            }
        )
        for after, changes in zip((REAL, PREDICTED), EFFECTS[::-1], strict=True)
    )
    comparison = cell_eval.initialize_de_comparison(real=real, pred=predicted)
    theirs = de_overlap_metric(comparison, k=None, metric="overlap")["target"]
    assert overlap(*EFFECTS) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(
    ("measure", "expected"),
    # What cell-eval 0.8.2 (pdex 0.3.0) computed of the same samples, by the three tests above.
    [(pearson_delta, 0.6848248392505559), (direction, 0.75), (overlap, 0.875)],
    ids=["pearson_delta", "direction", "overlap"],
)
def test_the_values_of_cell_eval_are_kept(measure, expected):
    assert measure(*EFFECTS) == pytest.approx(expected, abs=1e-6)


def test_changes_are_differences_of_means():
    np.testing.assert_allclose(EFFECTS[1].change, REAL.mean(axis=0) - BEFORE.mean(axis=0))


@pytest.mark.parametrize("n_samples", [40, 5])
def test_significant_genes_are_those_of_scipy_gene_by_gene(n_samples):
    before, after = BEFORE[:n_samples, 4:24], REAL[:n_samples, 4:24]
    pairs = zip(after.T, before.T, strict=True)
    p = [mannwhitneyu(*pair, method="asymptotic").pvalue for pair in pairs]
    expected = false_discovery_control(p) < 0.05
    assert 0 < expected.sum() < 20
    np.testing.assert_array_equal(effect(before, after).is_significant, expected)


def test_five_samples_of_one_gene_can_be_significant():
    before = np.arange(5.0)[:, None]
    assert effect(before, before + 9).is_significant.all()
    assert not effect(before[:3], before[:3] + 9).is_significant.any()


def test_constant_genes_do_not_change():
    before, after = np.full((9, 3), 0.1), np.full((7, 3), 0.1)
    after[:, 2] = np.arange(7)
    found = effect(before, after)
    np.testing.assert_array_equal(found.change[:2], 0)
    assert not found.is_significant[:2].any()


def test_a_gene_that_is_detected_in_one_set_alone_changes():
    before, after = np.zeros((9, 2)), np.zeros((9, 2))
    after[:, 0] = 1
    np.testing.assert_array_equal(effect(before, after).is_significant, [True, False])


def test_the_same_samples_in_another_order_show_no_effect():
    found = effect(REAL, RNG.permutation(REAL))
    np.testing.assert_array_equal(found.change, 0)
    assert np.isnan(pearson_delta(found, EFFECTS[1]))
    assert direction(found, EFFECTS[1]) == 0
    assert overlap(found, EFFECTS[1]) == 0
    assert log_fold_change_error(found, EFFECTS[1]) == 1


def test_the_order_of_samples_changes_nothing():
    found = effect(RNG.permutation(BEFORE), RNG.permutation(REAL))
    np.testing.assert_allclose(found.change, EFFECTS[1].change)
    np.testing.assert_array_equal(found.is_significant, EFFECTS[1].is_significant)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_effects_mind_no_type(dtype):
    before, after = (np.expm1(samples).round().astype(dtype) for samples in (BEFORE, REAL))
    expected = effect(before.astype(float), after.astype(float))
    found = effect(before, after)
    np.testing.assert_allclose(found.change, expected.change)
    np.testing.assert_array_equal(found.is_significant, expected.is_significant)


def test_one_sample_a_side_is_a_change_that_is_not_significant():
    found = effect(BEFORE[:1], REAL[:1])
    np.testing.assert_allclose(found.change, REAL[0] - BEFORE[0])
    assert not found.is_significant.any()


def test_the_effect_of_no_samples_is_refused():
    with pytest.raises(ValueError, match="after has no sample; at least 1 is needed"):
        effect(BEFORE, REAL[:0])


def test_pearson_delta_is_that_of_scipy():
    predicted, real = EFFECTS
    expected = pearsonr(predicted.change, real.change).statistic
    assert pearson_delta(predicted, real) == pytest.approx(expected)


def test_the_top_genes_are_those_that_truly_change_most():
    predicted, real = EFFECTS
    most = np.abs(real.change).argsort()[-10:]
    expected = pearsonr(predicted.change[most], real.change[most]).statistic
    assert pearson_delta(predicted, real, n_top=10) == pytest.approx(expected)
    assert pearson_delta(predicted, real, n_top=99) == pytest.approx(pearson_delta(predicted, real))


def of(change, significant) -> Effect:
    return Effect(np.array(change, dtype=float), np.array(significant, dtype=bool))


def test_no_movement_is_not_the_right_way():
    real = of([1, -1, 2, 3], [1, 1, 1, 0])
    assert direction(of([0, -5, -1, 3], [1, 1, 1, 1]), real) == pytest.approx(1 / 3)


def test_overlap_counts_genes_that_are_predicted_to_change_at_all():
    real = of([4, -3, 2, 1], [1, 1, 1, 0])
    assert overlap(real, real) == 1
    assert overlap(of([4, -3, 2, 1], [1, 0, 0, 0]), real) == pytest.approx(1 / 3)
    # The fourth gene, which changes most, takes the place of the first.
    assert overlap(of([1, 2, 3, 9], [1, 1, 1, 1]), real) == pytest.approx(2 / 3)


def test_the_error_is_a_share_of_the_true_changes():
    real = of([4, -2, 0.5], [1, 1, 0])
    assert log_fold_change_error(of([3, 1, 9], [1, 1, 1]), real) == pytest.approx(4 / 6)
    assert log_fold_change_error(real, real) == 0
    assert log_fold_change_error(of([-4, 2, 0], [1, 1, 1]), real) == 2


def test_a_perfect_prediction_is_perfect_in_all():
    real = EFFECTS[1]
    assert [measure(real, real) for measure in MEASURES] == pytest.approx([1, 1, 1, 0])


@pytest.mark.parametrize("measure", MEASURES[1:])
def test_where_no_gene_truly_changes_there_is_nothing_to_predict(measure):
    nothing = of([0.1, 0.2], [0, 0])
    assert np.isnan(measure(of([1, 2], [1, 1]), nothing))


def test_the_same_change_of_all_genes_has_no_correlation():
    assert np.isnan(pearson_delta(effect(BEFORE, BEFORE + 0.1), EFFECTS[1]))
