"""What an evaluation found, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import ALL, COPIES, EVALUATION, FLOOR, MODEL, UNTOUCHED
from .._messages import logger, warn

if TYPE_CHECKING:
    import pandas as pd


def log_verdict(table: pd.DataFrame, *, n_real: int, key: str) -> None:
    """Say where the model stands between the floor and the baselines, and what was written."""
    rows = _pooled(table)
    baselines = rows.drop(index=[MODEL, FLOOR, *COPIES])
    model, floor, best = rows.loc[MODEL], rows.loc[FLOOR], baselines["e_distance"].idxmin()
    logger.info(
        "Evaluation towards %s, %s held-out samples against %s held-out real ones.\n"
        "    E-distance to real ones (0: not to be told apart): untouched %s, this model %s, "
        "best baseline %s, real against real %s.\n"
        "    This model went %s.\n"
        "    added: adata.uns[%r][%r]",
        model["target"],
        f"{model['n_samples']:,}",
        f"{n_real:,}",
        _number(rows.loc[UNTOUCHED, "e_distance"]),
        _number(model["e_distance"]),
        _named(baselines.loc[[best]]),
        _number(floor["e_distance"]),
        _way(rows, best),
        key,
        EVALUATION,
    )


def warn_of_better_baselines(table: pd.DataFrame) -> None:
    """Warn where a baseline comes nearer to real samples than the model, and name it.

    Unless the model's samples are as near as real ones: then who is nearer is chance.
    """
    rows = _pooled(table)
    model = rows.loc[MODEL]
    if model["e_distance"] <= max(0.0, rows.loc[FLOOR, "e_distance"]):
        return
    better = rows.drop(index=[MODEL, FLOOR]).sort_values("e_distance")
    better = better[better["e_distance"] < model["e_distance"]]
    copies = better.index.isin(COPIES)
    sentences = []
    if not copies.all():
        sentences.append(
            f"Plain baselines come nearer to real {model['target']!r} samples than this model "
            f"(E-distance {_number(model['e_distance'])}; lower is better): "
            f"{_named(better[~copies])}. Do not rely on the perturbations before it beats them."
        )
    if copies.any():
        sentences.append(
            f"Training samples of {model['target']!r}, handed out as they are, come nearer as "
            f"well: {_named(better[copies])}. They keep nothing of the sample, so they are no "
            "perturbation of it, but they show how near real samples lie"
            + ("." if sentences else f" (this model: {_number(model['e_distance'])}).")
        )
    if sentences:
        warn(" ".join(sentences))


def _pooled(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all sources together, by method."""
    return table[table["source"] == ALL].set_index("method")


def _way(rows: pd.DataFrame, best: str) -> str:
    """How far the model and the best baseline have come, from untouched to the floor."""
    start, floor = rows.loc[[UNTOUCHED, FLOOR], "e_distance"]
    if start <= floor:
        return "nowhere, for untouched samples are as near to real ones as these to each other"
    model, baseline = (
        100 * (start - rows.loc[method, "e_distance"]) / (start - floor) for method in (MODEL, best)
    )
    if model <= 0:
        return "nowhere: untouched samples are no farther from real ones"
    return (
        f"{min(model, 100):.0f} % of the way from untouched to real, "
        f"the best baseline {min(baseline, 100):.0f} %"
    )


def _named(rows: pd.DataFrame) -> str:
    """Methods with their E-distance."""
    return ", ".join(
        f"{method} ({_number(row['e_distance'])}{', told the label' * row['is_told_label']})"
        for method, row in rows.iterrows()
    )


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"
