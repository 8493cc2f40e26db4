"""How real are perturbed samples? Against baselines and the floor, by `sp.tl.evaluate`.

    python benchmarks/realism.py --gmt h.all.v7.0.symbols.gmt --split split.tsv --targets Lung
    python benchmarks/realism.py --data pbmc68k --targets "CD19+ B" "CD14+ Monocyte"

`rnaseqdb` is `sp.datasets.rnaseqdb()`; the gene sets and the split (a tab-separated file of
samples with the columns `sample` and `split`: train, test) can be left out, for all genes and a
random split. `pbmc68k` comes with scanpy. All figures are of held-out samples of other classes, in
scaled space, against held-out real samples of the target; with several seeds a second table gives
their medians.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd

import scgan_perturb as sp

RESULTS = Path(__file__).parent / "results"
DATA = {"rnaseqdb": ("tissue", "Lung"), "pbmc68k": ("bulk_labels", "CD19+ B")}
SHOWN = {
    "method": "method",
    "e_distance": "E-distance",
    "mmd": "MMD²",
    "success": "success",
    "success_logistic_regression": "LR",
    "success_random_forest": "RF",
    "mean_r2": "mean R²",
    "variance_r2": "variance R²",
    "two_sample_auc": "AUC",
    "perturbation": "mean |P|",
}


def load(data: str, gmt: Path | None, split: Path | None):
    """The data, and what to say to a fit of them."""
    options = {}
    adata = getattr(sp.datasets, data)()
    if split is not None:
        parts = pd.read_csv(split, sep="\t", index_col="sample")["split"]
        adata = adata[parts.index].copy()
        adata.obs["held_out"] = parts
        options["held_out"] = "held_out"
    if gmt is not None:
        sp.pp.gene_set(adata, gmt)
        options["mask_var"] = "gene_set"
    return adata, options


def measure(adata, groupby: str, target: str, *, seed: int, options: dict) -> pd.DataFrame:
    """Fit towards one target and judge it; a row a method."""
    sp.tl.fit_tspg(adata, groupby, target, rng=seed, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says it
        sp.tl.evaluate(adata, rng=seed)
    table = sp.get.evaluation_df(adata)
    itself = sp.get.evaluation_df(adata, source=target).assign(method="this model, on the target")
    table = pd.concat([table, itself], ignore_index=True)
    told = table.pop("is_told_label").astype(bool)
    table["method"] += [" (is told the label)" * is_told for is_told in told]
    recipe = sp.get.model(adata).params["recipe"]
    table["method"] = table["method"].str.replace("this model", f"this model, recipe {recipe!r}")
    table.insert(0, "seed", seed)
    return table


def draw(adata, folder: Path) -> None:
    """The paper's figures of RNAseqDB, and where the fit stands."""
    sp.tl.embed(adata)
    tissues = adata.obs["tissue"].where(adata.obs["tspg_split"] == "test")
    samples = [adata.obs_names[tissues == name][0] for name in ("Kidney", "Liver", "Thyroid")]
    figure = sp.pl.perturbation_heatmap(adata, samples, return_fig=True)
    figure.savefig(folder / "heatmap.png", dpi=100)
    sp.pl.tsne(adata, return_fig=True).savefig(folder / "tsne.png", dpi=100)
    sp.pl.evaluation(adata, return_fig=True).savefig(folder / "evaluation.png", dpi=100)


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Over the seeds, methods in the order that they have."""
    groups = table.drop(columns="seed").groupby(["target", "method"], sort=False)
    return groups.median(numeric_only=True).reset_index()


def markdown(table: pd.DataFrame) -> str:
    """A table as text, numbers to three places."""
    shown = table[[c for c in ("target", "seed", *SHOWN) if c in table]].rename(columns=SHOWN)
    text = shown.round(3).astype(str).replace("nan", "")
    lines = [text.columns, ["---"] * text.shape[1], *text.to_numpy()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", choices=DATA, default="rnaseqdb")
    parser.add_argument("--gmt", type=Path)
    parser.add_argument("--split", type=Path)
    parser.add_argument("--targets", nargs="+")
    parser.add_argument("--seeds", "--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--figures", type=Path, help="folder for figures of the first fit")
    arguments = parser.parse_args()
    groupby, target = DATA[arguments.data]
    adata, options = load(arguments.data, arguments.gmt, arguments.split)
    tables = []
    for name in arguments.targets or [target]:
        for seed in arguments.seeds:
            tables.append(measure(adata, groupby, name, seed=seed, options=options))
            if arguments.figures and len(tables) == 1:
                draw(adata, arguments.figures)
    table = pd.concat(tables, ignore_index=True)
    text = markdown(table)
    if len(arguments.seeds) > 1:
        text += f"\nMedians of {len(arguments.seeds)} seeds:\n\n{markdown(medians(table))}"
    print(text)
    name = "realism" if arguments.data == "rnaseqdb" else f"realism_{arguments.data}"
    title = f"{__doc__.splitlines()[0]} Data: {arguments.data}."
    (RESULTS / f"{name}.md").write_text(f"{title}\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
