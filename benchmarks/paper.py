"""Reproduce the paper's tables and figures: the paper's numbers beside those of this package.

    python benchmarks/paper.py --gmt h.all.v7.0.symbols.gmt --gene-sets kegg.gmt go_bp.gmt \
        --split split.tsv --figures docs/images/paper
    python benchmarks/paper.py --gmt h.all.v6.2.symbols.gmt --data gtex --kidney tcga

The data are `sp.datasets.rnaseqdb()`, which lacks most tissues of the paper: others stand in, and
the tables say which and why. With `--data gtex` they are those of the paper, as is `--kidney tcga`.
`--data` can also be an .h5ad file of normalised, log-transformed samples with GTEx's names of
tissues in the column `--groupby`. `--recipe transport` makes the same with this package's own
recipe. The split is a tab-separated file with the columns `sample` and
`split` (train, test); without it 20 % of each tissue are held out.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from paper_claims import (
    DISTINCT,
    ENRICHED_TARGETS,
    EXPECTED,
    FIGURE_5,
    FIGURES,
    HALLMARK_TARGETS,
    SOURCES,
    TABLE_1,
    TABLE_2,
    named,
    nearest,
)
from paper_tables import (
    N_TRANSITION,
    Report,
    came,
    distinct_genes,
    distinct_row,
    enrichment,
    hits,
    realism,
    testable,
)
from scipy.sparse import issparse

import scgan_perturb as sp

RESULTS = Path(__file__).parent / "results"
DPI = 90
KIDNEY_STUDIES = ["kich", "kirc", "kirp"]


class Benchmark:
    """The options, the data with all Hallmark genes, and what is reported."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report, self.enriched = Report(), Report()
        self.files = [options.gmt, *options.gene_sets]
        self.adata, self.groupby, self.held_out = load(options)
        self.tissues = sorted(self.adata.obs[self.groupby].astype(str).unique())
        self.table_1: list[dict[str, object]] = []
        self.distinct: list[dict[str, object]] = []

    def fit(self, adata: ad.AnnData, target: str) -> None:
        self.fit_any(adata, self.groupby, target, held_out=self.held_out)

    def fit_any(self, adata: ad.AnnData, groupby: str, target: str, **options) -> None:
        """Fit as the options of the benchmark say."""
        recipe = self.options.recipe
        if recipe == "paper" and self.options.max_epochs is not None:
            recipe = sp.tl.Paper(max_epochs=self.options.max_epochs)
        sp.tl.fit_tspg(
            adata,
            groupby,
            target,
            recipe=recipe,
            rng=self.options.seed,
            **options,
        )

    def add_to_table_1(self, adata: ad.AnnData, row: tuple) -> None:
        """A row of Table 1, of the fit that `adata` holds."""
        gene_set, _, n_genes, target, success = row
        self.table_1.append(
            {
                "gene set": gene_set,
                "genes, paper": n_genes,
                "here": adata.n_vars,
                "target, paper": target,
                "target, here": named(target, self.tissues),
                "success, paper": success,
                **realism(adata),
            }
        )

    def draw(self, adata: ad.AnnData, target: str) -> None:
        """The t-SNE and the heatmap of a figure of the paper."""
        name, sources = FIGURES[target]
        labels = [nearest(source, self.tissues)[0] for source in sources]
        draw(adata, self.groupby, labels, name, self.options)

    def single_sets(self) -> None:
        """Table 1 for single Hallmark sets, and figure 2."""
        for row in TABLE_1:
            if row[1] is None:
                continue
            sp.pp.gene_set(self.adata, row[1], gmt=self.options.gmt, key_added="single_set")
            part = self.adata[:, self.adata.var["single_set"]].copy()
            self.fit(part, nearest(row[3], self.tissues)[0])
            self.add_to_table_1(part, row)
            if row[3] in FIGURES:
                self.draw(part, row[3])

    def all_sets(self) -> None:
        """Fits with all Hallmark genes: Table 1, distinct genes, figures 3 and 4, Table 2."""
        for target in ENRICHED_TARGETS if self.options.all_genes else HALLMARK_TARGETS:
            self.fit(self.adata, nearest(target, self.tissues)[0])
            for row in TABLE_1:
                if row[1] is None and row[3] == target and not self.options.all_genes:
                    self.add_to_table_1(self.adata, row)
            self.distinct.append(
                {
                    "target": named(target, self.tissues),
                    **distinct_genes(self.adata, self.options.seed),
                }
            )
            if target in FIGURES:
                self.draw(self.adata, target)
            if target in ENRICHED_TARGETS:
                self.table_2(target)

    def table_2(self, target: str) -> None:
        """Enrichment of the genes that rise, and on the way to the heart of those that fall."""
        tissue = nearest(target, self.tissues)[0]
        self.enriched.say(f"## Table 2: genes that rise towards {named(target, self.tissues)}")
        if target == DISTINCT["target"]:
            self.enriched.say(TABLE_2)
        sp.tl.rank_genes(self.adata)
        report_enrichment(self.enriched, self.adata, self.files, tissue, "up")
        if target == DISTINCT["target"]:
            for source in SOURCES:
                label = nearest(source, self.tissues)[0]
                self.enriched.say(f"Genes that fall on the way from {label}:")
                report_enrichment(
                    self.enriched, self.adata, self.files, tissue, "down", group=label
                )

    def kidney(self) -> None:
        """Figure 5: healthy kidney towards each of the tumours at hand."""
        adata = load_kidney(self.options)
        for tumour in [name for name in adata.obs["state"].cat.categories if name != "normal"]:
            self.fit_any(adata, "state", tumour, source="normal")
            self.report.say(f"## Figure 5: healthy kidney to {tumour}\n\n{FIGURE_5}")
            counts = adata.obs["state"].value_counts()
            self.report.table(
                [{"normal": counts["normal"], tumour: counts[tumour], **realism(adata)}]
            )
            draw(adata, "state", ["normal"], f"figure5_{tumour.lower()}", self.options)
            sp.tl.rank_genes(adata)
            for direction, word in (("up", "rise"), ("down", "fall")):
                self.report.say(f"Genes that {word}:")
                report_enrichment(self.report, adata, self.files, tumour, direction)

    def summarise(self) -> None:
        """Table 1 and the numbers of distinct genes."""
        if self.table_1:
            self.report.say("## Table 1: success of f on perturbed samples, and how real they are")
            self.report.table(self.table_1)
        self.report.say(
            f"## Distinct genes among the {N_TRANSITION} that move most, one random sample a source"
        )
        paper = distinct_row(DISTINCT["transitions"], DISTINCT["up"], DISTINCT["down"])
        self.report.table([{"target": f"{DISTINCT['target']}, paper", **paper}, *self.distinct])
        self.report.parts += self.enriched.parts


def report_enrichment(
    report: Report,
    adata: ad.AnnData,
    files: list[Path],
    target: str,
    direction: str,
    *,
    group: str = "all",
) -> None:
    """Report the enrichment of the genes that rise or fall, and which expected terms came."""
    found = enrichment(adata, files, group=group, direction=direction)
    report.table(hits(found))
    if (expected := EXPECTED.get((target, direction))) and group == "all":
        genes = sp.get.rank_genes_df(adata, group)["gene"]
        report.table(came(found, expected, testable(files, genes)))


def draw(
    adata: ad.AnnData, groupby: str, labels: list[str], name: str, options: argparse.Namespace
) -> None:
    """A t-SNE, and a heatmap of the first held-out sample of each label."""
    if options.figures is None:
        return
    held_out = adata.obs[groupby].where(adata.obs["tspg_split"] == "test")
    samples = [adata.obs_names[held_out == label][0] for label in labels]
    sp.tl.embed(adata, rng=options.seed)
    for kind, figure in (
        ("tsne", sp.pl.tsne(adata, return_fig=True)),
        ("heatmap", sp.pl.perturbation_heatmap(adata, samples, return_fig=True)),
    ):
        figure.savefig(options.figures / f"{name}_{kind}.png", dpi=DPI)
        plt.close(figure)


def load(options: argparse.Namespace) -> tuple[ad.AnnData, str, float | str]:
    """The samples with all Hallmark genes, the column of their tissues, and what to hold out."""
    groupby, held_out = "tissue", 0.2
    if options.data == "rnaseqdb":
        adata = sp.datasets.rnaseqdb()
    elif options.data == "gtex":
        adata = sp.datasets.gtex("v7")
    else:
        adata, groupby = ad.read_h5ad(options.data), options.groupby
    if options.split:
        parts = pd.read_csv(options.split, sep="\t", index_col="sample")["split"]
        adata = adata[parts.index].copy()
        adata.obs["held_out"] = parts
        held_out = "held_out"
    return keep_genes(adata, options), groupby, held_out


def load_kidney(options: argparse.Namespace) -> ad.AnnData:
    """Healthy kidney beside tumours, and tumours of the kidney; `obs["state"]` tells them apart."""
    if options.kidney == "tcga":
        adata = sp.datasets.tcga_kidney()
        adata.obs["state"] = adata.obs["condition"]
    else:
        adata = sp.datasets.rnaseqdb(KIDNEY_STUDIES, tumours="kich")
        is_tumour = adata.obs["condition"] == "tumour"
        adata.obs["state"] = pd.Categorical(np.where(is_tumour, "KICH", "normal"))
    return keep_genes(adata, options)


def keep_genes(adata: ad.AnnData, options: argparse.Namespace) -> ad.AnnData:
    """The genes of the Hallmark sets only, unless all were asked for: GTEx has 56,202."""
    if not options.all_genes:
        sp.pp.gene_set(adata, options.gmt)
        adata = adata[:, adata.var["gene_set"]].copy()
    if issparse(adata.X):
        adata.X = adata.X.toarray()
    return adata


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gmt", type=Path, required=True, help="the Hallmark sets")
    parser.add_argument("--gene-sets", type=Path, nargs="*", default=[], help="more to test")
    parser.add_argument("--data", default="rnaseqdb", help="rnaseqdb, gtex, or an .h5ad file")
    parser.add_argument("--groupby", default="tissue", help="column of the .h5ad file")
    parser.add_argument("--kidney", choices=["rnaseqdb", "tcga"], default="rnaseqdb")
    parser.add_argument("--split", type=Path)
    parser.add_argument("--figures", type=Path, help="folder for the figures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--all-genes", action="store_true", help="enrichment only, of all genes of the data"
    )
    parser.add_argument("--recipe", choices=["paper", "transport"], default="paper")
    parser.add_argument("--max-epochs", type=int, help="of recipe 'paper'; its default without it")
    return parser.parse_args()


def command() -> str:
    """The command as it was given, without the folders of files."""
    words = [word if word.startswith("docs") else Path(word).name for word in sys.argv[1:]]
    return shlex.join(["python", "benchmarks/paper.py", *words])


def main() -> None:
    options = parse()
    if options.figures:
        options.figures.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(options)
    report, adata = benchmark.report, benchmark.adata
    report.say(f"# {__doc__.splitlines()[0]}")
    report.say(
        f"`{command()}`: {Path(options.data).name}, {adata.n_obs:,} samples of {len(benchmark.tissues)} "
        f"tissues, {adata.n_vars:,} genes; recipe {options.recipe!r}; kidney: "
        f"{options.kidney}. E-distances are of held-out samples of other tissues to held-out real "
        "ones of the target, in scaled space; the class mean shift is told the source, f and G are "
        "not; real against real is the floor."
    )
    if not options.all_genes:
        benchmark.single_sets()
    benchmark.all_sets()
    benchmark.summarise()
    benchmark.kidney()
    text = "\n\n".join(report.parts) + "\n"
    name = "paper" if options.recipe == "paper" else f"paper_{options.recipe}"
    name += "_all_genes" * options.all_genes
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
