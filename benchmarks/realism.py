"""How real are perturbed samples? Against baselines and the floor, by `sp.tl.evaluate`.

    python benchmarks/realism.py --gmt h.all.v7.0.symbols.gmt --seeds 0 1 2
    python benchmarks/realism.py --gmt h.all.v7.0.symbols.gmt --gene-set HALLMARK_APOPTOSIS
    python benchmarks/realism.py --gmt h.all.v7.0.symbols.gmt --one-model
    python benchmarks/realism.py --gmt h.all.v7.0.symbols.gmt --unseen Breast Kidney Liver
    python benchmarks/realism.py --data pbmc68k --seeds 0 1 2
    python benchmarks/realism.py --data pbmc68k --seeds 0 1 2 --precision bf16-mixed
    python benchmarks/realism.py --data kang --file kang_ifnb.h5ad --seeds 0 1 2

Every label with enough samples is a target, or those of `--targets`. `rnaseqdb` is
`sp.datasets.rnaseqdb()`, `pbmc68k` comes with scanpy. `kang` are the untreated cells of Kang et
al. (2018) and the genes that at least 5 % of them express; `--file` is an h5ad file of all cells,
log-normalised, with the columns `condition` and `cell_type`. A seed decides the split and the fit; a fixed
split can be given as a tab-separated file of samples with the columns `sample` and `split` (train,
test). With `--one-model` one fit serves all targets. With `--unseen` the source classes named are
held out as a whole, one after the other, and the figures are of their samples.

All figures are of held-out samples of other classes, in scaled space, against held-out real samples
of the target. The table has the medians over the seeds; a file beside it every number, with the
bootstrap intervals.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

import scgan_perturb as sp

RESULTS = Path(__file__).parent / "results"
DATA = {
    "rnaseqdb": ("tissue", "Lung"),
    "pbmc68k": ("bulk_labels", "CD19+ B"),
    "kang": ("cell_type", "B"),
}
MIN_EXPRESSING = 0.05  # of the untreated cells of Kang et al.: rarer genes are left out
FOR_CLASSIFIER = ("held_out", "mask_var", "fabric")
MIN_HELD_OUT = 2  # real samples of a target, for an E-distance at all
MODEL, FLOOR = "this model", "real target"
UNTOUCHED = "untouched source"
SHOWN = {
    "auc_random_forest": "forest AUC",
    "auc_logistic_regression": "linear AUC",
    "zeros": "zeros",
    "detected_genes": "detected",
    "distinct_values": "distinct",
    "marginals": "marginals",
    "correlations": "correlations",
    "e_distance": "E-distance",
    "e_distance_pca": "E-distance, PCA",
    "sinkhorn_w2": "Sinkhorn-W2",
    "mmd": "MMD²",
    "mean_r2": "mean R²",
    "variance_r2": "variance R²",
    "pearson_delta": "Pearson Δ",
    "pearson_delta_top50": "top 50",
    "direction": "direction",
    "overlap": "overlap",
    "log_fold_change_error": "LFC error",
    "individuality": "individuality",
    "success": "success",
    "success_logistic_regression": "LR",
    "success_random_forest": "RF",
    "perturbation": "mean |P|",
}


def load(options: argparse.Namespace):
    """The data, and what to say to a fit of them."""
    engine = {"accelerator": options.accelerator, "precision": options.precision}
    fit = {"recipe": options.recipe, "fabric": engine}
    adata = kang(options.file) if options.file else getattr(sp.datasets, options.data)()
    if options.split is not None:
        parts = pd.read_csv(options.split, sep="\t", index_col="sample")["split"]
        adata = adata[parts.index].copy()
        adata.obs["held_out"] = parts
        fit["held_out"] = "held_out"
    if options.gmt is not None:
        names = [options.gene_set, options.gmt] if options.gene_set else [options.gmt]
        sp.pp.gene_set(adata, names[0], gmt=names[1] if len(names) > 1 else None)
        fit["mask_var"] = "gene_set"
    return adata, fit


def kang(path: Path) -> ad.AnnData:
    """The untreated cells of Kang et al. (2018), and the genes that enough of them express."""
    adata = ad.read_h5ad(path)
    adata = adata[adata.obs["condition"] == "ctrl"]
    expressing = np.asarray((adata.X > 0).mean(axis=0)).ravel()
    return adata[:, expressing >= MIN_EXPRESSING].copy()


def judge(adata, target: str, source: str, **columns: object) -> pd.DataFrame:
    """What `sp.tl.evaluate` finds of the fit, and of samples that are the target already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says it
        sp.tl.evaluate(adata)
    table = sp.get.evaluation_df(adata, source=source)
    if source == "all":
        itself = sp.get.evaluation_df(adata, source=target).assign(method="on the target itself")
        table = pd.concat([table, itself], ignore_index=True)
    for name, value in columns.items():
        table.insert(0, name, value)
    shown = ["target", "method", "auc_random_forest", "zeros", "e_distance", "individuality"]
    print(table[shown].round(3).to_string(), flush=True)
    return table


def targets_of(adata, groupby: str, split: str) -> list[str]:
    """Labels with enough held-out samples to measure a distance to."""
    counts = adata.obs[groupby][(adata.obs[split] == "test").to_numpy()].value_counts()
    return sorted(str(label) for label in counts.index[counts >= MIN_HELD_OUT])


def single_models(adata, groupby: str, targets: list[str] | None, seed: int, fit: dict):
    """A fit for each target, all with one classifier and one split; a table each."""
    adata = adata.copy()
    named = {name: fit[name] for name in FOR_CLASSIFIER if name in fit}
    sp.tl.fit_classifier(adata, groupby, rng=seed, **named)
    for target in targets or targets_of(adata, groupby, "classifier_split"):
        start = time.perf_counter()
        sp.tl.fit_tspg(adata, groupby, target, rng=seed, **fit)
        yield judge(adata, target, "all", seconds=time.perf_counter() - start, seed=seed), adata


def one_model(adata, groupby: str, targets: list[str] | None, seed: int, fit: dict):
    """One fit for all targets; a table each."""
    adata = adata.copy()
    named = {name: fit[name] for name in FOR_CLASSIFIER if name in fit}
    sp.tl.fit_classifier(adata, groupby, rng=seed, **named)
    named_targets = targets or targets_of(adata, groupby, "classifier_split")
    took = []
    for asked in (named_targets[0], targets):  # one target, for comparison; and all of them
        start = time.perf_counter()
        sp.tl.fit_tspg(adata, groupby, asked, rng=seed, **fit)
        took.append(time.perf_counter() - start)
    for target in named_targets:
        sp.tl.perturb(adata, target, accelerator=fit["fabric"]["accelerator"])
        times = {"seconds": took[1], "times_one": took[1] / took[0]}
        yield judge(adata, target, "all", **times, seed=seed), adata


def unseen_sources(adata, groupby: str, targets: list[str], seed: int, fit: dict, sources):
    """A fit without any sample of a source class, judged on that class; a table each."""
    split = sp_split(adata, groupby, seed, fit)
    for source in sources:
        part = adata.copy()
        part.obs["without"] = np.where(part.obs[groupby] == source, "test", split)
        for target in targets:
            if target == source:
                continue
            start = time.perf_counter()
            sp.tl.fit_tspg(part, groupby, target, rng=seed, **{**fit, "held_out": "without"})
            yield judge(part, target, source, seconds=time.perf_counter() - start, seed=seed), part


def sp_split(adata, groupby: str, seed: int, fit: dict) -> np.ndarray:
    """The split that a classifier of this seed draws, or the column given."""
    if "held_out" in fit:
        return adata.obs[fit["held_out"]].to_numpy()
    part = adata.copy()
    sp.tl.fit_classifier(part, groupby, rng=seed, max_epochs=1, mask_var=fit.get("mask_var"))
    return part.obs["classifier_split"].astype(str).to_numpy()


def draw(adata, folder: Path) -> None:
    """The paper's figures of RNAseqDB, and where the fit stands."""
    sp.tl.embed(adata)
    tissues = adata.obs["tissue"].where(adata.obs["tspg_split"] == "test")
    samples = [adata.obs_names[tissues == name][0] for name in ("Kidney", "Liver", "Thyroid")]
    figure = sp.pl.perturbation_heatmap(adata, samples, return_fig=True)
    figure.savefig(folder / "heatmap.png", dpi=100)
    sp.pl.tsne(adata, return_fig=True).savefig(folder / "tsne.png", dpi=100)
    sp.pl.evaluation(adata, return_fig=True).savefig(folder / "evaluation.png", dpi=100)


def report(table: pd.DataFrame, by: list[str]) -> str:
    """E-distances of all methods for each target, then the medians of every figure by method."""
    values = table.groupby([*by, "method"], sort=False).median(numeric_only=True).reset_index()
    distances = values.pivot_table(index=by, columns="method", values="e_distance", sort=False)
    baselines = [name for name in distances if name not in (MODEL, FLOOR, UNTOUCHED)]
    order = [UNTOUCHED, *(b for b in baselines if b != UNTOUCHED), MODEL, FLOOR]
    lowest = distances[baselines].min(axis=1)
    wins, n_rows = int((distances[MODEL] < lowest).sum()), len(distances)
    ends = table[table["method"] == MODEL].groupby(by, sort=False)[
        ["e_distance_low", "e_distance_high"]
    ]
    interval = ends.median().round(2).astype(str).agg(" to ".join, axis=1)
    shown = distances[order].round(3).astype(str)
    shown.insert(order.index(MODEL) + 1, "95 % interval", interval.reindex(shown.index))
    medians = values.groupby("method", sort=False)[list(SHOWN)].median()
    rows = [name for name in [*order, "on the target itself"] if name in medians.index]
    knows = set(table.loc[table["is_told_label"].astype(bool), "method"])
    medians = medians.loc[rows].rename(columns=SHOWN).round(3).astype(str)
    medians = medians.replace("nan", "").fillna("")  # pandas 3 leaves NaN as it is
    medians.index = [f"{name} (told the label)" * (name in knows) or name for name in medians.index]
    ratio = (distances[MODEL] / lowest).median()
    forest = values.pivot_table(index=by, columns="method", values="auc_random_forest", sort=False)
    told = int((forest[MODEL] >= 0.65).sum())
    return (
        f"AUC of a random forest against held-out real samples (0.5 is best), medians over the "
        f"seeds:\n\n{markdown(forest[order].round(2).astype(str).reset_index())}\n"
        f"A random forest tells this model's samples from real ones (AUC of 0.65 or more) for "
        f"{told} of the {forest[MODEL].notna().sum()} that it was measured for; median {forest[MODEL].median():.2f}, real from real "
        f"{forest[FLOOR].median():.2f}.\n\n"
        f"E-distance, medians over the seeds:\n\n{markdown(shown.reset_index())}\n"
        f"This model is below every baseline for {wins} of {n_rows}; its median is "
        f"{distances[MODEL].median():.3f}, the lowest median of a baseline "
        f"{distances[baselines].median().min():.3f} "
        f"({distances[baselines].median().idxmin()}); the median ratio to the best baseline of "
        f"each row is {ratio:.2f}.\n\n"
        f"All figures, medians over the rows above:\n\n"
        f"{markdown(medians.rename_axis('method').reset_index())}"
    )


def markdown(table: pd.DataFrame) -> str:
    """A table as text."""
    lines = [table.columns, ["---"] * table.shape[1], *table.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", choices=DATA, default="rnaseqdb")
    parser.add_argument("--file", type=Path, help="the h5ad file of --data kang")
    parser.add_argument("--gmt", type=Path)
    parser.add_argument("--gene-set", help="one set of the file; all of them without it")
    parser.add_argument("--split", type=Path)
    parser.add_argument("--targets", nargs="+")
    parser.add_argument("--seeds", "--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--recipe", choices=["transport", "paper"], default="transport")
    parser.add_argument("--precision", choices=["auto", "32-true", "bf16-mixed"], default="auto")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--one-model", action="store_true")
    parser.add_argument("--unseen", nargs="+", metavar="SOURCE")
    parser.add_argument("--figures", type=Path, help="folder for figures of the first fit")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the tables")
    options = parser.parse_args()
    if (options.data == "kang") != (options.file is not None):
        parser.error("--data kang needs --file, the other data sets do not take it.")
    return options


def name_of(options: argparse.Namespace) -> str:
    """Of the result: what differs from the plain call."""
    parts = ["realism"]
    parts += [options.data] if options.data != "rnaseqdb" else []
    parts += [options.recipe] if options.recipe != "transport" else []
    parts += [options.gene_set.removeprefix("HALLMARK_").lower()] if options.gene_set else []
    parts += [options.precision] if options.precision != "auto" else []
    parts += ["one_model"] if options.one_model else []
    parts += ["unseen"] if options.unseen else []
    return "_".join(parts)


def main() -> None:
    options = parse()
    sp.settings.progress_bar = False
    groupby, first = DATA[options.data]
    adata, fit = load(options)
    tables, by = [], ["target"]
    for seed in options.seeds:
        if options.unseen:
            by = ["source", "target"]
            found = unseen_sources(
                adata, groupby, options.targets or [first], seed, fit, options.unseen
            )
        else:
            run = one_model if options.one_model else single_models
            found = run(adata, groupby, options.targets, seed, fit)
        for table, fitted in found:
            tables.append(table)
            if options.figures and len(tables) == 1:
                draw(fitted, options.figures)
            pd.concat(tables).to_csv(options.results / f"{name_of(options)}.csv", index=False)
    table = pd.concat(tables, ignore_index=True)
    seconds = table.groupby("seed")["seconds"].median()
    many = "times_one" in table
    genes = int(adata.var["gene_set"].sum()) if "mask_var" in fit else adata.n_vars
    title = (
        f"# {__doc__.splitlines()[0]}\n\nData: {options.data}, {adata.n_obs:,} samples, {genes:,} "
        f"genes; recipe {options.recipe!r}; seeds {', '.join(map(str, options.seeds))}; a fit took "
        f"{seconds.median():.0f} s, classifier apart (median)"
        + (f", {table['times_one'].median():.1f} times one for a single target." if many else ".")
    )
    text = f"{title}\n\n{report(table, by)}"
    print(text)
    (options.results / f"{name_of(options)}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
