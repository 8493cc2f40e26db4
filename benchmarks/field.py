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
    from matplotlib.axes import Axes

# Of the groups with many questions some, so that the table takes two hours, not days.
QUESTIONS = {
    "pbmc": ["CD19+ B", "Dendritic"],
    "kang": ["stim"],
    "kang_held_out": ["B", "CD14 Mono", "NK"],
    "perturbench_held_out": ["A172, MAPK1", "k562, MAPK1"],
    "tissues": ["Kidney", "Lung"],
    "kich": ["KICH"],
}
TITLES = {
    "pbmc": "Blood cells to another type",
    "kang": "Interferon, all types trained",
    "kang_held_out": "Interferon, type held out",
    "perturbench_held_out": "MAPK1 in lines held out",
    "tissues": "Tissue to another tissue",
    "kich": "Kidney to carcinoma",
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
    **{name: SHOWN[name] for name in ("seconds", "cpu_seconds")},
    "memory_mib": "memory, MiB",
}
CORNERS = {"untouched source": "^", "random target sample": "s"}  # nothing done; nothing left


def report(rows: pd.DataFrame) -> str:
    """All groups in one table, then each group."""
    rows = rows[rows["failed"].notna() | (rows["context"] == "all")]
    parts = [f"Medians over all questions that a method answered:\n\n{table(rows)}"]
    for group, part in rows.groupby("group", sort=False):
        asked = ", ".join(dict.fromkeys(part["question"]))
        asked += f". Seeds: {', '.join(map(str, sorted(set(part['seed']))))}"
        parts.append(f"## {TITLES[group]} (`{group}`)\n\nQuestions: {asked}.\n\n{table(part)}")
    return "\n".join(parts)


def table(part: pd.DataFrame) -> str:
    """Medians, and for the first two columns of a group the least and the most of several seeds."""
    shown = of_methods(part, COLUMNS, [*METHODS, FLOOR])
    if len(set(part["seed"])) > 1 and len(set(part["group"])) == 1:
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
    n_columns = min(3, len(groups))
    figure, axes = plt.subplots(
        -(-len(groups) // n_columns), n_columns, figsize=(7.2, 2.4 * -(-len(groups) // n_columns) + 1),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis, group in zip(axes.flat, groups, strict=False):
        draw_group(axis, rows[rows["group"] == group])
        axis.set_title(TITLES[group], fontsize="medium")
    for axis in axes[-1]:
        axis.set_xlabel("individuality")
    figure.supylabel("AUC of a forest (0.5: not told from real)", fontsize="medium")
    named = {}
    for axis in axes.flat:
        named |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(named.values(), named, loc="outside lower center", ncols=3, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_group(axis: Axes, rows: pd.DataFrame) -> None:
    """One point a method; plain baselines are alike but for the two that are corners."""
    points = rows.groupby("method", sort=False).median(numeric_only=True)
    floor = points.loc[FLOOR, "auc_random_forest"]
    axis.axhline(floor, color="0.6", linestyle=":", label="real against real")
    points = points[["individuality", "auc_random_forest"]].dropna()
    plain = points.drop(index=[*METHODS, *CORNERS], errors="ignore")
    axis.plot(*plain.to_numpy().T, "x", color="0.5", label="plain baselines")
    for name, marker in CORNERS.items():
        axis.plot(*points.loc[name], marker, color="black", label=name, linestyle="none")
    for number, name in enumerate(METHODS):
        if name in points.index:
            axis.plot(*points.loc[name], "o", color=f"C{number}", markersize=8, label=name)
    axis.set(xlim=(-0.08, 1.08))


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
