"""What is measured on a fit for `paper.py`: realism, transitions, enrichment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

import scgan_perturb as sp
from scgan_perturb.data._gene_sets import read_gmt
from scgan_perturb.metrics import class_mean_shift, energy_distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from anndata import AnnData

N_TRANSITION = 20  # genes of a transition (paper, section 3)
N_GENES = (20, 100)  # the paper tests 20
ALPHA = 1e-4  # section 2.4 of the paper
MIN_SIZE = 5
N_HITS = 5

Expected = tuple[tuple[tuple[str, ...], str], ...]


class Report:
    """Markdown that is printed as it comes, and kept."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def say(self, text: str) -> None:
        """A heading or a paragraph."""
        print(text, end="\n\n", flush=True)
        self.parts.append(text)

    def table(self, rows: Sequence[dict[str, object]]) -> None:
        """A table, a row a dict."""
        frame = pd.DataFrame(rows)
        lines = [frame.columns, ["---"] * frame.shape[1], *frame.to_numpy()]
        cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
        self.say("\n".join("| " + " | ".join(line) + " |" for line in cells))


def realism(adata: AnnData) -> dict[str, str]:
    """Success of f, and how far held-out samples are from held-out real ones of the target."""
    model = sp.get.model(adata)
    genes = adata[:, model.genes]
    x, perturbed = (model.scaler.scale(values) for values in (genes.X, genes.layers["xadv"]))
    labels = adata.obs[model.params["groupby"]].astype(str).to_numpy()
    predicted = adata.obs["tspg_predicted"]
    test = (adata.obs["tspg_split"] == "test").to_numpy()
    is_target = labels == model.target
    others = test & ~is_target & predicted.notna().to_numpy()
    real = x[test & is_target]
    shifted = class_mean_shift(x[others], labels[others], x[~test], labels[~test], model.target)
    sets = {
        "E-distance, perturbed": perturbed[others],
        "untouched": x[others],
        "class mean shift": shifted,
        "real against real": x[~test & is_target],
    }
    success = (predicted[others] == model.target).mean()
    accuracy = sp.get.history(adata, key="classifier")["held_out_accuracy"].iloc[-1]
    return {
        "f right on real, held out": f"{accuracy:.1%}".replace("%", " %"),
        "success, held out": f"{success:.1%} of {others.sum():,}".replace("%", " %"),
        **{name: f"{energy_distance(values, real):.2f}" for name, values in sets.items()},
    }


def distinct_genes(adata: AnnData, seed: int) -> dict[str, object]:
    """Number of distinct genes among those that move most, one sample of each source."""
    table = sp.get.transition_genes(adata, N_TRANSITION, rng=seed)
    n_transitions = table["sample"].nunique()
    counts = table.groupby("direction", observed=True)["gene"].nunique()
    return distinct_row(n_transitions, counts["up"], counts["down"])


def distinct_row(n_transitions: int, up: int, down: int) -> dict[str, object]:
    """Counts, and their share of the greatest number there could be."""
    most = N_TRANSITION * n_transitions
    return {
        "transitions": n_transitions,
        "up": up,
        "down": down,
        "up, share of the most possible": f"{up / most:.0%}".replace("%", " %"),
        "down, share": f"{down / most:.0%}".replace("%", " %"),
        "least possible share": f"{1 / n_transitions:.0%}".replace("%", " %"),
    }


def enrichment(
    adata: AnnData, files: Iterable[Path], *, group: str = "all", direction: str = "up"
) -> pd.DataFrame:
    """Over-representation of the genes that move most; a row a term, file and number of genes."""
    tables = []
    for path in files:
        for n_genes in N_GENES:
            sp.tl.enrich(
                adata,
                path,
                group=group,
                direction=direction,
                n_genes=n_genes,
                min_size=MIN_SIZE,
                key_added="paper",
            )
            table = sp.get.enrichment_df(adata, "paper").assign(
                file=path.stem, top=n_genes, n_tested=adata.uns["paper"]["params"]["n_tested"]
            )
            tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    return found.assign(plain=found["term"].map(plain))


def plain(term: str) -> str:
    """A term's name without what each collection adds to it, in small letters."""
    name = re.sub(r"^(KEGG|HALLMARK)_| Homo sapiens hsa\d+$| \(GO:\d+\)$", "", term)
    return name.replace("_", " ").lower()


def hits(found: pd.DataFrame, n_hits: int = N_HITS) -> list[dict[str, object]]:
    """Number of terms below ALPHA, and the first ones; a row a file and number of genes."""
    rows = []
    for (file, top), table in found.groupby(["file", "top"], sort=False):
        significant = table["q_value"] < ALPHA
        first = table.head(max(1, min(n_hits, significant.sum())))
        rows.append(
            {
                "gene sets": file,
                "tested": f"{table['n_tested'].iloc[0]:,}",
                "top": top,
                f"q < {ALPHA:.0e}": significant.sum(),
                "first hits (q)": "; ".join(map(hit, first["plain"], first["q_value"])),
            }
        )
    return rows


def hit(name: str, q: float) -> str:
    return f"{name} ({q:.1e})"


def testable(files: Iterable[Path], genes: Iterable[str]) -> set[str]:
    """Plain names of the sets with enough genes in the background."""
    background = set(genes)
    return {
        plain(term)
        for path in files
        for term, own in read_gmt(path).items()
        if len(background & set(own)) >= MIN_SIZE
    }


def came(found: pd.DataFrame, expected: Expected, known: set[str]) -> list[dict[str, object]]:
    """Whether expected terms came out below ALPHA, in any of the files; a row a term."""
    return [
        {
            "expected": " / ".join(names),
            "because": reason,
            **{f"top {top}": _verdict(found[found["top"] == top], names, known) for top in N_GENES},
        }
        for names, reason in expected
    ]


def _verdict(found: pd.DataFrame, names: tuple[str, ...], known: set[str]) -> str:
    if not known.intersection(names):
        return f"not testable: no such set with {MIN_SIZE} genes in the background"
    own = found[found["plain"].isin(names)]
    if own.empty:
        return "did not come: no gene shared"
    best = own.loc[own["q_value"].idxmin()]
    verdict = "came" if best["q_value"] < ALPHA else "did not come"
    return f"{verdict} ({best['q_value']:.1e}, {best['file']})"
