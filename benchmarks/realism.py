"""How real are perturbed samples? RNAseqDB, all Hallmark genes, against baselines and the floor.

    python benchmarks/realism.py --gmt h.all.v7.0.symbols.gmt --split split.tsv --targets Lung

The split is a tab-separated file of samples with the columns `sample` and `split` (train, test);
the data come from `sp.datasets.rnaseqdb()`. All figures are of held-out samples of other tissues,
in scaled space, against held-out real samples of the target.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import scgan_perturb as sp
from scgan_perturb.metrics import class_mean_shift, energy_distance

RESULTS = Path(__file__).parent / "results"


def load(gmt: Path, split: Path):
    """The samples of the split, with their genes marked."""
    parts = pd.read_csv(split, sep="\t", index_col="sample")["split"]
    adata = sp.datasets.rnaseqdb()[parts.index].copy()
    adata.obs["held_out"] = parts
    sp.pp.gene_set(adata, gmt)
    return adata


def measure(adata, target: str) -> list[dict[str, object]]:
    """Fit towards one target and compare; a row a method."""
    sp.tl.fit_tspg(adata, "tissue", target, mask_var="gene_set", held_out="held_out")
    model = sp.get.model(adata)
    genes = adata[:, model.genes]
    x, perturbed = (model.scaler.scale(m) for m in (genes.X, genes.layers["xadv"]))
    labels = adata.obs["tissue"].astype(str).to_numpy()
    test = (adata.obs["held_out"] == "test").to_numpy()
    others, real, train_target = (
        test & (labels != target),
        test & (labels == target),
        ~test & (labels == target),
    )
    methods = {
        "untouched source": x[others],
        "class mean shift (is told the label)": class_mean_shift(
            x[others], labels[others], x[~test], labels[~test], target
        ),
        f"this model, recipe {model.params['recipe']!r}": perturbed[others],
        "real target, train (the floor)": x[train_target],
    }
    return [
        {
            "target": target,
            "method": name,
            "E-distance": energy_distance(samples, x[real]),
            "success": (model.classifier.predict_proba(restore(model, samples)).argmax(1) == model.target_class).mean(),
            "variance R2": np.corrcoef(samples.var(axis=0), x[real].var(axis=0))[0, 1] ** 2,
            "mean |P|": np.abs(samples - x[others]).mean() if len(samples) == others.sum() else np.nan,
        }
        for name, samples in methods.items()
    ]  # fmt: skip


def draw(adata, folder: Path) -> None:
    """The paper's figures: held-out samples on their way, and the t-SNE."""
    sp.tl.embed(adata)
    tissues = adata.obs["tissue"].where(adata.obs["held_out"] == "test")
    samples = [adata.obs_names[tissues == name][0] for name in ("Kidney", "Liver", "Thyroid")]
    figure = sp.pl.perturbation_heatmap(adata, samples, return_fig=True)
    figure.savefig(folder / "heatmap.png", dpi=100)
    sp.pl.tsne(adata, return_fig=True).savefig(folder / "tsne.png", dpi=100)


def restore(model, samples: np.ndarray) -> np.ndarray:
    """Scaled samples in input units."""
    span = model.scaler.maximum - model.scaler.minimum
    return samples * span + model.scaler.minimum


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gmt", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=["Lung"])
    parser.add_argument("--figures", type=Path, help="folder for figures of the first target")
    arguments = parser.parse_args()
    adata = load(arguments.gmt, arguments.split)
    rows = []
    for target in arguments.targets:
        rows += measure(adata, target)
        if arguments.figures and target == arguments.targets[0]:
            draw(adata, arguments.figures)
    table = pd.DataFrame(rows).round(3).astype(str).replace("nan", "")
    lines = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
    print(text)
    (RESULTS / "realism.md").write_text(f"{__doc__.splitlines()[0]}\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
