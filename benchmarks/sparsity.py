"""How many genes have to change? Realism of sparse fits, by `sp.tl.evaluate`.

    python benchmarks/sparsity.py --gmt h.all.v7.0.symbols.gmt --figure docs/images/sparsity.png

RNAseqDB, one target and one seed; all figures are of held-out samples of other tissues.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import scgan_perturb as sp

RESULTS = Path(__file__).parent / "results"
MODEL, FLOOR, UNTOUCHED = "this model", "real target", "untouched source"


def measure(adata, target: str, weight: float, options: dict) -> dict[str, float]:
    """One fit: share of genes it may change, and how real its samples are."""
    recipe = sp.tl.Transport(sparsity=weight)
    sp.tl.fit_tspg(adata, "tissue", target, recipe=recipe, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sp.tl.evaluate(adata)
    table = sp.get.evaluation_df(adata).set_index("method")
    test = (adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] != target)
    # In scaled units, where values beyond the training range, which are clipped, do not count.
    changes = sp.get.perturbation(adata, adata.obs_names[test], units="scaled")
    moved = changes.abs().max() > 0
    ends = {f"E-distance, {name}": table.loc[name, "e_distance"] for name in (UNTOUCHED, FLOOR)}
    return {
        "sparsity": weight,
        "genes changed": int(moved.sum()),
        "share": moved.mean(),
        "E-distance": table.loc[MODEL, "e_distance"],
        "low": table.loc[MODEL, "e_distance_low"],
        "high": table.loc[MODEL, "e_distance_high"],
        "success": table.loc[MODEL, "success"],
        "success, logistic regression": table.loc[MODEL, "success_logistic_regression"],
        "success, random forest": table.loc[MODEL, "success_random_forest"],
        **ends,
    }


def draw(table: pd.DataFrame, target: str) -> plt.Figure:
    """E-distance against the share of genes, from untouched to the floor."""
    figure, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
    table = table.sort_values("share")
    gaps = np.abs(table[["low", "high"]].sub(table["E-distance"], axis=0)).T.to_numpy()
    ax.errorbar(100 * table["share"], table["E-distance"], gaps, marker="o", capsize=2)
    for name, text in ((UNTOUCHED, "untouched"), (FLOOR, "real against real")):
        height = table[f"E-distance, {name}"].iloc[0]
        ax.axhline(height, color="0.5", linestyle=":", linewidth=1)
        ax.annotate(text, (50, height), (0, 2), textcoords="offset points", color="0.35")
    ax.set(xlabel="genes that change (%)", ylabel=f"E-distance to real {target.lower()}")
    ax.set_xlim(0, 103)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gmt", type=Path, required=True)
    parser.add_argument("--target", default="Lung")
    parser.add_argument(
        "--sparsity", nargs="+", type=float, default=[0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99]
    )
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    sp.settings.progress_bar = False
    adata = sp.datasets.rnaseqdb()
    sp.pp.gene_set(adata, options.gmt)
    rows = [
        measure(adata, options.target, weight, {"mask_var": "gene_set"})
        for weight in options.sparsity
    ]
    table = pd.DataFrame(rows)
    shown = table.round(3).astype(str)
    lines = [shown.columns, ["---"] * shown.shape[1], *shown.to_numpy()]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
    title = f"# {__doc__.splitlines()[0]}\n\nTarget {options.target}, {table.shape[0]} fits.\n\n"
    print(title + text)
    (RESULTS / "sparsity.md").write_text(title + text, encoding="utf-8")
    if options.figure:
        draw(table, options.target).savefig(options.figure, dpi=110)


if __name__ == "__main__":
    main()
