"""The questions of the benchmarks: data sets, what is held out, and what is asked.

A question is an AnnData as `peers/answer.py` describes it: every method gets the same one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

import scgan_perturb as sp

if TYPE_CHECKING:
    from collections.abc import Iterator

    Questions = Iterator[tuple[str, ad.AnnData]]

SHARE = 0.2  # held out of each class (in each context)
UNTREATED_SHARE = 0.3  # with contexts held out: only untreated cells are drawn, and these are few
MIN_TREATED = 30  # cells of a context, to be asked about: fewer measure no distribution
MIN_HELD_OUT = 10  # samples of a target without contexts
KIDNEY = ["kich", "kirc", "kirp"]


def pbmc(seed: int, _: object) -> Questions:
    """Each cell type as a target for all others."""
    adata = sp.datasets.pbmc68k()
    yield from _each_target(adata, "bulk_labels", seed)


def tissues(seed: int, gmt: Path | None) -> Questions:
    """Each tissue as a target for all others."""
    adata = _hallmark(sp.datasets.rnaseqdb(), gmt)
    yield from _each_target(adata, "tissue", seed)


def kich(seed: int, gmt: Path | None) -> Questions:
    """Healthy kidney made into chromophobe renal carcinoma."""
    adata = _hallmark(sp.datasets.rnaseqdb(KIDNEY, tumours="kich"), gmt)
    is_tumour = (adata.obs["condition"] == "tumour").to_numpy()
    yield "KICH", question(adata, np.where(is_tumour, "KICH", "normal"), "KICH", seed)


def kang(seed: int, _: object) -> Questions:
    """Interferon beta, cells of every type among the training samples of both conditions."""
    adata = cells("kang_ifnb")
    yield "stim", question(adata, adata.obs["condition"], "stim", seed, adata.obs["cell_type"])


def kang_held_out(seed: int, _: object) -> Questions:
    """Interferon beta, all treated cells of one type held out."""
    yield from _each_context(cells("kang_ifnb"), "stim", seed)


def perturbench(seed: int, _: object) -> Questions:
    """Each gene perturbed, all its cells of one line held out.

    A question has the control cells and those of its gene, so that to hold out the genes of a line
    one by one or all at once is the same.
    """
    adata = cells("perturbench_4lines")
    genes = [name for name in adata.obs["condition"].unique() if name != "control"]
    for gene in sorted(genes):
        part = adata[adata.obs["condition"].isin(["control", gene])]
        for line, asked in _each_context(part, gene, seed):
            yield f"{line}, {gene}", asked


GROUPS = {
    "pbmc": pbmc,
    "kang": kang,
    "kang_held_out": kang_held_out,
    "perturbench_held_out": perturbench,
    "tissues": tissues,
    "kich": kich,
}


def cells(name: str) -> ad.AnnData:
    """A data set of single cells in the folder `cells` of `sp.settings.dataset_dir`."""
    path = Path(sp.settings.dataset_dir).expanduser() / "cells" / f"{name}.h5ad"
    if not path.is_file():
        msg = f"{path} does not exist. Name the folder that holds cells/{name}.h5ad in --data."
        raise FileNotFoundError(msg)
    return ad.read_h5ad(path)


def question(
    adata: ad.AnnData, condition: object, target: str, seed: int, context: object = None
) -> ad.AnnData:
    """Ask for samples of the target; a share of each condition in each context is held out."""
    obs = {"condition": np.asarray(condition, dtype=str)}
    if context is not None:
        obs["context"] = np.asarray(context, dtype=str)
    asked = ad.AnnData(
        adata.X.copy(),
        obs=pd.DataFrame(obs, index=adata.obs_names).astype("category"),
        var=adata.var[[]],
        uns={"target": target},
    )
    asked.obs["split"] = _split(drawn(asked, SHARE, seed))
    return asked


def drawn(asked: ad.AnnData, share: float, seed: int) -> np.ndarray:
    """Whether a sample is among a random share of its condition in its context."""
    rng = np.random.default_rng(seed)
    columns = [name for name in ("condition", "context") if name in asked.obs]
    strata = asked.obs.groupby(columns, observed=True)
    chosen = np.zeros(asked.n_obs, dtype=bool)
    for rows in strata.indices.values():
        chosen[rng.choice(rows, round(share * len(rows)), replace=False)] = True
    return chosen


def _split(is_test: np.ndarray) -> pd.Categorical:
    return pd.Categorical(np.where(is_test, "test", "train"))


def _each_target(adata: ad.AnnData, groupby: str, seed: int) -> Questions:
    counts = adata.obs[groupby].value_counts()
    for target in sorted(counts.index[counts * SHARE >= MIN_HELD_OUT]):
        yield str(target), question(adata, adata.obs[groupby], target, seed)


def _each_context(adata: ad.AnnData, target: str, seed: int) -> Questions:
    """Each context with enough treated cells: these are held out, and a share of untreated ones."""
    asked = question(adata, adata.obs["condition"], target, seed, adata.obs["cell_type"])
    is_target = (asked.obs["condition"] == target).to_numpy()
    is_test = ~is_target & drawn(asked, UNTREATED_SHARE, seed)
    for context in asked.obs["context"].cat.categories:
        here = is_target & (asked.obs["context"] == context).to_numpy()
        if here.sum() >= MIN_TREATED:
            part = asked.copy()
            part.obs["split"] = _split(is_test | here)
            part.uns["held_out_context"] = context
            yield str(context), part


def _hallmark(adata: ad.AnnData, gmt: Path | None) -> ad.AnnData:
    """The genes of the sets of a GMT file; all genes without one."""
    if gmt is None:
        return adata
    sp.pp.gene_set(adata, gmt)
    return adata[:, adata.var["gene_set"]].copy()
