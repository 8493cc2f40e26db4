"""Everybody on the same data, judged alike: this package, the field's methods and plain baselines.

    python benchmarks/field.py --data ../shared/data --gmt h.all.v7.0.symbols.gmt --seeds 0 1 2 \\
        --python scGen=/envs/scgen/bin/python TSPG=/envs/tspg/bin/python

Each number can be made alone, for example with `--groups kang_held_out --questions B --methods scGen
--seeds 0 --results alone`. The file beside the table has every number, by these four names.

Blood cells into another type (`pbmc`), tissues into another tissue (`tissues`), healthy kidney into
chromophobe renal carcinoma (`kich`), blood cells under interferon beta, with every type trained
(`kang`) or one type's treated cells held out, and cell lines with a gene perturbed, one line's held
out. All methods get the same file and are judged by `sp.tl.evaluate(prediction=...)`. The methods
of others run in environments of their own (`benchmarks/peers`), with their authors' settings. A
call goes on where the last one was stopped.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from compare import (
    FLOOR,
    METHODS,
    SHOWN,
    Table,
    add_arguments,
    made_with,
    of_methods,
    questions,
    resolve,
    run,
)
from realism import markdown

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

# Of the groups with many questions some, so that the table takes two hours, not days.
QUESTIONS = {
    "pbmc": ["CD19+ B", "Dendritic"],
    "kang": ["stim"],
    "kang_held_out": ["B", "CD14 Mono", "NK"],
    "perturbench_held_out": ["A172, MAPK1", "k562, MAPK1"],
    "tissues": ["Kidney", "Lung"],
    "kich": ["KICH"],
}
COLUMNS = {
    "auc_random_forest": "forest AUC",
    "e_distance": "E-distance",
    "zeros": "zeros, points",
    "detected_genes": "detected",
    "distinct_values": "distinct",
    **{name: SHOWN[name] for name in ("pearson_delta", "direction", "overlap", "individuality")},
    "success_logistic_regression": "success, LR",
    "success_random_forest": "success, RF",
    **{name: SHOWN[name] for name in ("seconds", "cpu_seconds", "memory_mib")},
}
UNTOUCHED, RANDOM = "untouched source", "random target sample"


def report(rows: pd.DataFrame) -> str:
    """All groups in one table, then each group."""
    rows = rows[rows["failed"].notna() | (rows["context"] == "all")]
    parts = [f"Medians over all questions that a method answered:\n\n{table(rows)}"]
    for group, part in rows.groupby("group", sort=False):
        asked = ", ".join(dict.fromkeys(part["question"]))
        parts.append(f"## {group}\n\nQuestions: {asked}.\n\n{table(part)}")
    return "\n".join(parts)


def table(part: pd.DataFrame) -> str:
    """Medians, and for the first two columns the least and the most of several seeds."""
    shown = of_methods(part, COLUMNS, [*METHODS, FLOOR])
    if len(set(part["seed"])) > 1:
        names = shown["method"].str.removesuffix(" (told the label)")
        for column in ("auc_random_forest", "e_distance"):
            seeds = part.groupby(["method", "seed"], sort=False)[column].median()
            ends = seeds.groupby("method", sort=False).agg(["min", "max"]).round(2).astype(str)
            spread = (" (" + ends["min"] + " to " + ends["max"] + ")").reindex(names)
            shown[COLUMNS[column]] += spread.fillna("").to_numpy()
    return markdown(shown)


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Forest AUC against individuality, a panel for each group."""
    rows = rows[rows["failed"].isna() & (rows["context"] == "all")]
    groups = list(dict.fromkeys(rows["group"]))
    figure, axes = plt.subplots(
        1, len(groups), figsize=(3.4 * len(groups), 4.2), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    names = [name for name in dict.fromkeys(rows["method"]) if name != FLOOR]
    names = [*(n for n in names if n not in METHODS), *(n for n in METHODS if n in names)]
    for axis, group in zip(axes[0], groups, strict=True):
        part = rows[rows["group"] == group].groupby("method", sort=False).median(numeric_only=True)
        for number, name in enumerate(names):
            if name in part.index:
                point = part.loc[name, ["individuality", "auc_random_forest"]]
                style = "o" if name in METHODS else "x"
                axis.plot(*point, style, color=f"C{number % 10}" if style == "o" else None,
                          markersize=9 if style == "o" else 6, label=name)  # fmt: skip
        axis.axhline(part.loc[FLOOR, "auc_random_forest"], color="0.6", linestyle=":", label=FLOOR)
        axis.set(title=group, xlabel="individuality", xlim=(-0.1, 1.08))
    axes[0, 0].set_ylabel("AUC of a forest (0.5: not told from real)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(groups) + 1, fontsize="small"
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser, list(QUESTIONS), list(METHODS))
    options = parser.parse_args()
    resolve(options)
    options.questions = options.questions or [
        name for names in QUESTIONS.values() for name in names
    ]
    results = Table(options.results / "field.csv")
    run(results, questions(options), options)
    title = f"# {__doc__.splitlines()[0]}\n\n{made_with(results.rows)}"
    found = f"{title}\n\n![Forest AUC against individuality](field.png)\n\n{report(results.rows)}"
    print(found)
    (options.results / "field.md").write_text(found, encoding="utf-8")
    draw(results.rows, options.results / "field.png")


if __name__ == "__main__":
    main()
