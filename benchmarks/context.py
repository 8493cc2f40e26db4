"""What a treatment does to cells of a context (a type, a line) whose treated cells nobody saw.

    python benchmarks/context.py --data ../shared/data --python scGen=/envs/scgen/bin/python
    python benchmarks/context.py --data ../shared/data --groups kang_held_out --questions B
    python benchmarks/context.py --data ../shared/data --again "this package"  # the others stay

In turn all treated cells of one type of Kang et al. (2018), and all cells of one line with one gene
perturbed (perturbench), are held out, with 30 % of the untreated cells of each context; `kang` has a
fifth of the cells of every type and condition held out instead. All methods get the same file and
are judged by `sp.tl.evaluate(prediction=..., by=)`. The other methods run in environments of their
own (`benchmarks/peers`). A call goes on where the last one was stopped.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from compare import (
    FLOOR,
    SHOWN,
    Table,
    add_arguments,
    by_question,
    made_with,
    of_methods,
    questions,
    resolve,
    run,
    text,
)
from realism import markdown

if TYPE_CHECKING:
    import pandas as pd

GROUPS = {
    "kang_held_out": "Kang, treated cells of the type held out",
    "perturbench_held_out": "perturbench, cells of the line with the gene held out",
    "kang": "Kang, every type trained",
}
METHODS_HERE = ["this package", "scGen", "CPA", "CellOT"]
MEAN_SHIFT = "mean of the contexts' shifts"
BASELINES = ["untouched source", MEAN_SHIFT, "matched target sample"]
LAST = [*METHODS_HERE, FLOOR]
SIDE_BY_SIDE = [*BASELINES, *LAST]
QUICK = {"genes": 500, "questions": ["B", "NK", "A172, SGK1", "stim"]}


def report(rows: pd.DataFrame) -> str:
    """For each group the contexts one by one, then the medians of every method."""
    parts = []
    for group, title in GROUPS.items():
        part = rows[(rows["group"] == group) & (rows["context"] != "all")]
        if part["failed"].isna().sum() == 0:
            continue
        parts.append(f"## {title}\n\n{verdict(part)}")
        for column in ("e_distance", "auc_random_forest"):
            values = by_question(part, column, SIDE_BY_SIDE).round(3)
            parts.append(f"{SHOWN[column]}:\n\n{markdown(text(values))}")
        parts.append(f"Medians over the contexts:\n\n{markdown(of_methods(part, SHOWN, LAST))}")
    return "\n".join(parts)


def verdict(part: pd.DataFrame) -> str:
    """How often each method is nearer than the mean of the contexts' shifts, and by how much."""
    distances = by_question(part, "e_distance", SIDE_BY_SIDE)
    lines = []
    for method in METHODS_HERE:
        if method in distances:
            both = distances[[method, MEAN_SHIFT]].dropna()
            nearer = (both[method] < both[MEAN_SHIFT]).sum()
            lines.append(
                f"- {method}: nearer than the mean of the contexts' shifts for {nearer} of "
                f"{len(both)}; the medians of the E-distances are {both[method].median():.3f} and "
                f"{both[MEAN_SHIFT].median():.3f}."
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser, list(GROUPS), METHODS_HERE)
    parser.add_argument("--quick", action="store_true", help="few questions, 500 genes")
    options = parser.parse_args()
    resolve(options)
    name = "context"
    if options.quick:
        name = "context_quick"
        options.genes, options.questions = QUICK["genes"], QUICK["questions"]
    table = Table(options.results / f"{name}.csv")
    run(table, questions(options), options)
    title = f"# {__doc__.splitlines()[0]}\n\n{made_with(table.rows)}"
    found = f"{title}\n\n{report(table.rows)}"
    print(found)
    (options.results / f"{name}.md").write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
