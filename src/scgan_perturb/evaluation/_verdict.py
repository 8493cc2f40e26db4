"""The findings of an evaluation in words, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._keys import ALL, COPIES, FLOOR, MODEL, PREDICTION, UNTOUCHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

# A test counts if it is right in at least this share of pairs, and its interval is above chance.
MIN_AUC = 0.65
MAX_DETECTED_AUC = 0.12  # difference from 0.5 above which detected genes get a sentence
MIN_DISTINCT_AUC = 0.85  # from which the share of distinct values gets a sentence
MAX_DISTINCT_SHARE = 0.5  # of distinct values, in samples of counts; of 1,000 genes it is 0.04
MAX_ZEROS = 0.02
MIN_INDIVIDUALITY = 0.2
TESTS = {"auc_random_forest": "A random forest", "auc_logistic_regression": "A linear classifier"}


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all contexts and sources together, by method."""
    rows = table[(table["source"] == ALL) & (table["context"] == ALL)]
    return rows.set_index("method")


def judged_method(table: pd.DataFrame) -> str:
    """The method that is evaluated: the model, or a prediction."""
    return PREDICTION if (table["method"] == PREDICTION).any() else MODEL


def told_apart_by(rows: pd.DataFrame, method: str) -> str | None:
    """The test that best tells a method's samples from real ones; None if no test does."""
    found = {name: rows.loc[method, name] for name in TESTS if _tells(rows, method, name)}
    return max(found, key=lambda name: found[name]) if found else None


def _tells(rows: pd.DataFrame, method: str, test: str) -> bool:
    """Whether a test is right more often than by chance, and more often than for real samples."""
    value, low = rows.loc[method, [test, f"{test}_low"]]
    floor = rows.loc[FLOOR, test]
    low = value if np.isnan(low) else low
    return bool(value >= MIN_AUC and low > 0.5 and not value <= floor)


def findings(table: pd.DataFrame) -> list[str]:
    """The evidence against the evaluated samples, the worst first."""
    return [*_realism(table), *_individuality(table), *_better_baselines(table)]


def short_verdict(table: pd.DataFrame) -> str:
    """One line for a figure."""
    rows, method = pooled(table), judged_method(table)
    test = told_apart_by(rows, method)
    if test is not None:
        return f"told from real in {_percent(rows.loc[method, test])} of pairs"
    if rows.loc[method, "individuality"] < MIN_INDIVIDUALITY:
        return "nothing of the single samples is left"
    if _values_tell(rows, method):
        return "told from real: their values do not repeat"
    if rows.loc[method, list(TESTS)].isna().all():
        return ""
    return "no test tells them from real"


def _realism(table: pd.DataFrame) -> Iterator[str]:
    rows, method = pooled(table), judged_method(table)
    test = told_apart_by(rows, method)
    if test is not None:
        why = _difference(rows, method)
        yield (
            f"{TESTS[test]} tells perturbed samples from real {rows.loc[method, 'target']!r} ones in "
            f"{_percent(rows.loc[method, test])} of pairs (real from real: "
            f"{_percent(rows.loc[FLOOR, test])}; chance: 50 %){why}."
        )
    if _values_tell(rows, method):
        shares = (_percent(rows.loc[name, "distinct_share"]) for name in (method, FLOOR))
        yield (
            "Values tell perturbed samples from real ones: real values repeat, as counts and rounded "
            "numbers do. Of the values above 0 of a perturbed sample {} are distinct, of those of a "
            "real one {} (medians).".format(*shares)
        )


def _values_tell(rows: pd.DataFrame, method: str) -> bool:
    """Whether real samples repeat their values, as counts do, and others do so less."""
    if "distinct_values" not in rows:  # of version 0.1
        return False
    value, floor = (rows.loc[name, "distinct_values"] for name in (method, FLOOR))
    repeats = rows.loc[FLOOR, "distinct_share"] < MAX_DISTINCT_SHARE
    return bool(repeats and value > MIN_DISTINCT_AUC and value > floor)


def _difference(rows: pd.DataFrame, method: str) -> str:
    """The visible difference: detected genes, or zeros."""
    row, real = rows.loc[method], rows.loc[FLOOR]
    if abs(row["detected_genes"] - 0.5) > MAX_DETECTED_AUC:
        numbers = (f"{one['n_detected_genes']:,.0f}" for one in (row, real))
        return ": they express {} genes, real ones {} (medians)".format(*numbers)
    if abs(row["zeros"]) > MAX_ZEROS:
        more = "fewer" if row["zeros"] < 0 else "more"
        return f": their zeros are {100 * abs(row['zeros']):.0f} points {more}"
    return ""


def _individuality(table: pd.DataFrame) -> Iterator[str]:
    rows, method = pooled(table), judged_method(table)
    value = rows.loc[method, "individuality"]
    if value < MIN_INDIVIDUALITY:
        yield (
            f"Nothing of the single samples is left (individuality {_number(value)}; 1 keeps every "
            "rank, 0 is a random real sample): these are samples of the target, not perturbations "
            "of these samples."
        )


def _better_baselines(table: pd.DataFrame) -> Iterator[str]:
    """Baselines that come nearer to real samples, unless the method is as near as real ones."""
    rows, method = pooled(table), judged_method(table)
    row = rows.loc[method]
    if row["e_distance"] <= max(0.0, rows.loc[FLOOR, "e_distance"]):
        return
    better = rows.drop(index=[method, FLOOR]).sort_values("e_distance")
    better = better[better["e_distance"] < row["e_distance"]]
    copies = better.index.isin(COPIES)
    distance = f"E-distance {_number(row['e_distance'])}; lower is better"
    if not copies.all():
        yield (
            f"Plain baselines come nearer to real {row['target']!r} samples than {method} "
            f"({distance}): {named(better[~copies])}. Do not rely on the perturbations before they "
            "beat these."
        )
    if copies.any():
        yield (
            f"Training samples of {row['target']!r}, returned unchanged, come nearer "
            f"({distance}): {named(better[copies])}. They are other individuals' samples and no "
            "perturbation, but they show how near real samples lie."
        )


def distances(table: pd.DataFrame) -> str:
    """E-distances of untouched, evaluated and real samples, and of the best baseline."""
    rows, method = pooled(table), judged_method(table)
    plain = rows.drop(index=[method, FLOOR, *COPIES], errors="ignore")
    best = plain["e_distance"].idxmin()
    parts = [
        f"untouched {_number(rows.loc[UNTOUCHED, 'e_distance'])}",
        f"{method} {_number(rows.loc[method, 'e_distance'])}",
        f"best baseline {named(plain.loc[[best]])}",
        f"real against real {_number(rows.loc[FLOOR, 'e_distance'])}",
    ]
    return ", ".join(parts)


def named(rows: pd.DataFrame) -> str:
    """Methods with their E-distance."""
    return ", ".join(
        f"{method} ({_number(row['e_distance'])}{', told the label' * row['is_told_label']})"
        for method, row in rows.iterrows()
    )


def _percent(share: float) -> str:
    return "unknown" if np.isnan(share) else f"{100 * share:.0f} %"


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"
