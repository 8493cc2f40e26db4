"""How long does a fit have to be? Success and E-distance after fits of several lengths.

    python benchmarks/length.py --gmt h.all.v7.0.symbols.gmt

A fit's learning rate rises and falls once, so each length is a fit of its own. Figures are of
held-out samples of other classes, in scaled space; the length without a number is the default.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import scgan_perturb as sp

RESULTS = Path(__file__).parent / "results"
LENGTHS = (1, 4, 8, None, 36)
CLASSIFIER_LENGTHS = (2, 5, 10, 20, 50, 100)
DATA = {
    "rnaseqdb": ("tissue", ("Lung", "Kidney", "Thyroid")),
    "pbmc68k": ("bulk_labels", ("CD19+ B", "CD14+ Monocyte")),
}


def classifiers(adata, groupby: str, fit: dict) -> list[str]:
    """Held-out accuracy of classifiers of several lengths."""
    sp.tl.fit_classifier(adata, groupby, max_epochs=CLASSIFIER_LENGTHS[-1], **fit)
    accuracy = adata.uns["classifier"]["history"]["held_out_accuracy"]
    return [f"{100 * accuracy[length]:.1f} %" for length in CLASSIFIER_LENGTHS]


def generators(adata, groupby: str, target: str, fit: dict) -> list[dict[str, object]]:
    """A row for each length of a fit towards a target."""
    rows = []
    label = adata.obs[groupby].astype(str).to_numpy()
    for length in LENGTHS:
        start = time.perf_counter()
        sp.tl.fit_tspg(
            adata,
            groupby,
            target,
            recipe=sp.tl.Transport(max_epochs=length),
            **fit,
        )
        seconds = time.perf_counter() - start
        model = sp.get.model(adata)
        genes = adata.var_names.get_indexer(model.genes)
        held_out = (adata.obs["tspg_split"] == "test").to_numpy()
        sources, real = held_out & (label != target), held_out & (label == target)
        moved, aim = (
            model.scaler.transform(np.asarray(of[:, genes]))
            for of in (adata.layers["xadv"][sources], dense(adata.X[real]))
        )
        rows.append(
            {
                "target": target,
                "epochs": "default" if length is None else length,
                "seconds": seconds,
                "success": (adata.obs["tspg_predicted"][sources] == target).mean(),
                "distance": sp.metrics.energy_distance(moved, aim),
                "loss": adata.uns["tspg"]["history"]["loss_validation"].min(),
            }
        )
        print(rows[-1], flush=True)
    return rows


def dense(x) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else x.toarray()


def report(name: str, accuracy: list[str], rows: list[dict[str, object]]) -> str:
    classes = " | ".join(map(str, CLASSIFIER_LENGTHS))
    lines = [
        f"## {name}\n",
        f"| epochs of the classifier | {classes} |",
        "|---" * (len(CLASSIFIER_LENGTHS) + 1) + "|",
        f"| held-out accuracy | {' | '.join(accuracy)} |\n",
        "| target | epochs | time, of the default | success | E-distance | validation loss |",
        "|---|---|---|---|---|---|",
    ]
    whole = {row["target"]: row["seconds"] for row in rows if row["epochs"] == "default"}
    lines += [
        f"| {row['target']} | {row['epochs']} | {row['seconds'] / whole[row['target']]:.2f} | "
        f"{100 * row['success']:.1f} % | {row['distance']:.3f} | {row['loss']:.3f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gmt", type=Path, required=True)
    options = parser.parse_args()
    sp.settings.progress_bar = False
    parts = ["# Length of a fit\n"]
    for name, (groupby, targets) in DATA.items():
        adata, fit = getattr(sp.datasets, name)(), {}
        if name == "rnaseqdb":
            sp.pp.gene_set(adata, options.gmt)
            fit["mask_var"] = "gene_set"
        accuracy = classifiers(adata, groupby, fit)
        sp.tl.fit_classifier(adata, groupby, **fit)
        rows = [row for target in targets for row in generators(adata, groupby, target, fit)]
        parts.append(report(name, accuracy, rows))
    text = "\n".join(parts)
    print(text)
    (RESULTS / "length.md").write_text(text)


if __name__ == "__main__":
    main()
