"""Which genes a perturbation moves, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .._checks import check_count
from .._keys import ALL, TEST, TRAIN, TSPG, tspg_keys
from .._messages import logger
from .._recipes import PAPER
from .._seeds import Rng, resolve_seed
from ..data._blocks import blocks
from ..data._labels import read_labels
from ..get._model import checked_model
from ..get._perturbation import ORIGINAL, find_layer, read_layer, read_samples, was_perturbed
from ..get._resampled import resampled
from ..metrics._intervals import percentile_interval
from ..models._perturbation_model import N_DRAWS_EXPECTED
from ..storage._arguments import copy_if_asked
from ..storage._file import store_results
from ..storage._free_names import check_free, holds
from ..storage._identity import reader_of_fit

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..models._perturbation_model import PerturbationModel

N_DRAWS = 4096  # of all samples together: more change no score by its error
FIELDS = ("scores", "sds", "shares", "logfoldchanges", "pvals", "pvals_adj")


def rank_genes(
    adata: AnnData,
    *,
    split: Literal["train", "test"] | None = None,
    n_bootstrap: int = 0,
    accelerator: str = "auto",
    rng: Rng = 0,
    key: str = TSPG,
    copy: bool = False,
) -> AnnData | None:
    """Rank genes by their mean perturbation, for each source class and for all together.

    The perturbation of a sample is the mean over several draws where samples are few: 4,096 draws
    in all, at most 16 and at least one a sample.

    Taken are the perturbed samples of other labels than the target. Genes that were constant
    in training cannot be perturbed and are left out. The result has the format of
    :func:`scanpy.tl.rank_genes_groups`: give `key="tspg_rank_genes"` to
    :func:`scanpy.get.rank_genes_groups_df` and :func:`scanpy.pl.rank_genes_groups`.

    Parameters
    ----------
    adata
        AnnData with a fit, its perturbed layer and its labels.
    split
        `"test"` for held-out samples only, `"train"` for training samples only; None for all.
    n_bootstrap
        How many times to resample the training samples, with replacement within each class, for
        an interval of each score; 0 for no intervals. Recipe "transport" only.
    accelerator
        Device of these perturbations, as Lightning Fabric names them.
    rng
        Seed or generator of these draws; None for another result each time.
    key
        Name of the fit.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['tspg_rank_genes' | f'{key}_rank_genes']` : :class:`dict`
        `params`, and structured arrays with a field for each group: `"all"`, the samples of all
        groups together, and each source class. A row a gene, by falling score:

        `names`
            The genes.
        `scores`
            Mean perturbation x_adv − x, as a share of the gene's range over the training
            samples, in [-1, 1] (after clipping).
        `scores_low`, `scores_high`
            With `n_bootstrap`: ends of the 95 % interval of the score, which says how far it
            depends on the training samples at hand. The shapes of the distributions and the factors are held fixed.
        `sds`
            Standard deviation of the same over the samples; NaN for one sample.
        `shares`
            Share of samples in which the gene moves the way it moves on average.
        `logfoldchanges`
            Difference of means, perturbed − original, in input units: the base of the
            logarithm is that of the input.
        `pvals`, `pvals_adj`
            NaN. scanpy's readers expect them, but samples that a generator was trained to move
            are no evidence against their not moving.

    Raises
    ------
    KeyError
        If there is no such fit, layer, split or label column.
    ValueError
        If expression or labels have changed since the fit, `split` is none of the above, no sample is left, or a label is called `"all"`.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> table = sc.get.rank_genes_groups_df(adata, "CD14+ Monocyte", key="tspg_rank_genes")
    >>> list(table.columns)
    ['names', 'scores', 'logfoldchanges', 'pvals', 'pvals_adj']
    """
    check_count("n_bootstrap", n_bootstrap, least=0)
    adata = copy_if_asked(adata, copy=copy)
    model = checked_model(adata, key, labels=True, training=n_bootstrap > 0)
    keys = tspg_keys(key)
    check_free(adata, keys.rank_genes, lambda stored: holds(stored, "names", "shares"))
    find = read_layer if n_bootstrap else find_layer  # intervals need all samples in memory
    find(adata, key)  # raises where there is nothing to rank
    labels = read_labels(adata, model.params["groupby"])
    chosen = _choose_samples(adata, labels, model.target, split, key)
    rows = np.flatnonzero(chosen)
    n_draws = int(np.clip(N_DRAWS // len(rows), 1, N_DRAWS_EXPECTED))
    sums = _sum_perturbations(
        adata, model, labels, rows, key, n_draws=n_draws, accelerator=accelerator
    )
    params = {
        "groupby": model.params["groupby"],
        "fit": key,
        "target": model.target,
        "reference": ORIGINAL,
        "method": "mean_perturbation",
        "use_raw": False,
    }
    params |= {"layer": model.params["layer"]} if "layer" in model.params else {}
    params |= {"split": split} if split else {}
    params |= {} if model.params.get("recipe") == PAPER else {"n_draws": n_draws}
    params["groups"] = np.array(list(sums), dtype=object)
    genes = np.flatnonzero(model.scaler.varying)
    tables = {group: total.table(genes) for group, total in sums.items()}
    if n_bootstrap:
        seed = resolve_seed(rng)
        params |= {"n_bootstrap": n_bootstrap, "seed": seed}
        models = resampled(adata, model, n_bootstrap=n_bootstrap, seed=seed, key=key)
        own = labels.iloc[rows].to_numpy()
        before = read_samples(adata, model, rows, key).before
        context = reader_of_fit(adata, model).contexts_of(rows)
        means = [_mean_changes(one, before, context, own, n_draws, accelerator) for one in models]
        for group, table in tables.items():
            low, high = percentile_interval(np.stack([mean[group][genes] for mean in means]))
            table |= {"scores_low": low, "scores_high": high}
    adata.uns[keys.rank_genes] = {
        "params": params,
        **_rank(model.genes[genes].astype(object), tables),
    }
    store_results(adata, reader_of_fit(adata, model).matrix, uns=[keys.rank_genes])
    logger.info(
        "Ranked %s genes over %s perturbed samples of %d classes.\n    added: adata.uns[%r]",
        f"{len(genes):,}",
        f"{chosen.sum():,}",
        len(sums) - 1,
        keys.rank_genes,
    )
    return adata if copy else None


class _Sums:
    """Running sums over samples, a number a gene, of the scaled and the unscaled change."""

    def __init__(self, n_genes: int) -> None:
        self.n = 0
        self.scaled, self.squares, self.up, self.down, self.change = np.zeros((5, n_genes))

    def add(self, scaled: np.ndarray, change: np.ndarray) -> None:
        """Count in samples × genes."""
        self.n += len(scaled)
        self.scaled += scaled.sum(axis=0, dtype=np.float64)
        self.squares += np.square(scaled, dtype=np.float64).sum(axis=0)
        self.up += (scaled > 0).sum(axis=0)
        self.down += (scaled < 0).sum(axis=0)
        self.change += change.sum(axis=0, dtype=np.float64)

    def table(self, genes: np.ndarray) -> dict[str, np.ndarray]:
        """What is ranked, for the genes at these positions."""
        mean = self.scaled / self.n
        with np.errstate(invalid="ignore"):  # one sample has no spread: 0 / 0
            variance = (self.squares - self.n * mean**2).clip(0) / np.float64(self.n - 1)
        share = np.where(mean > 0, self.up, np.where(mean < 0, self.down, 0)) / self.n
        none = np.full(len(mean), np.nan)
        columns = (mean, np.sqrt(variance), share, self.change / self.n, none, none)
        return {name: column[genes] for name, column in zip(FIELDS, columns, strict=True)}


def _choose_samples(
    adata: AnnData, labels: pd.Series, target: str, split: str | None, key: str
) -> np.ndarray:
    """Which samples to rank over, as a boolean array."""
    if split not in (None, TRAIN, TEST):
        msg = f"split must be {TRAIN!r}, {TEST!r} or None, not {split!r}."
        raise ValueError(msg)
    keys = tspg_keys(key)
    chosen = (labels != target).to_numpy() & was_perturbed(adata, key)
    if split is not None:
        if keys.split not in adata.obs:
            msg = (
                f"adata.obs[{keys.split!r}] is not there: these samples were not part of the fit. "
                "Use split=None."
            )
            raise KeyError(msg)
        chosen &= (adata.obs[keys.split] == split).to_numpy()
    if not chosen.any():
        msg = f"No perturbed {split or ''} sample has another label than the target {target!r}."
        raise ValueError(msg.replace("  ", " "))
    return chosen


def _sum_perturbations(
    adata: AnnData,
    model: PerturbationModel,
    labels: pd.Series,
    rows: np.ndarray,
    key: str,
    *,
    n_draws: int,
    accelerator: str,
) -> dict[str, _Sums]:
    """Sums of each group, of all first, then in the order of the labels."""
    present = labels.iloc[rows].cat.remove_unused_categories().cat.categories
    sums = {group: _Sums(len(model.genes)) for group in (ALL, *present)}
    for block in blocks(len(rows)):
        samples = read_samples(
            adata, model, rows[block], key, n_draws=n_draws, accelerator=accelerator
        )
        scaled = model.scaler.scale(samples.after) - model.scaler.scale(samples.before)
        change = samples.after - samples.before
        own = labels.iloc[rows[block]].to_numpy()
        sums[ALL].add(scaled, change)
        for group in np.unique(own):
            sums[group].add(scaled[own == group], change[own == group])
    return sums


def _mean_changes(
    model: PerturbationModel,
    before: np.ndarray,
    context: np.ndarray | None,
    labels: np.ndarray,
    n_draws: int,
    accelerator: str,
) -> dict[str, np.ndarray]:
    """Mean scaled change of each group, of all first, under one model."""
    after = model.expected(before, context=context, n_draws=n_draws, accelerator=accelerator)
    change = model.scaler.scale(after) - model.scaler.scale(before)
    means = {group: change[labels == group].mean(axis=0) for group in np.unique(labels)}
    return {ALL: change.mean(axis=0), **means}


def _rank(genes: np.ndarray, tables: dict[str, dict[str, np.ndarray]]) -> dict[str, np.recarray]:
    """Genes and columns as structured arrays, a field a group, each by falling score."""
    order = {group: np.argsort(-table["scores"], kind="stable") for group, table in tables.items()}
    ranked = {"names": _structured({group: genes[order[group]] for group in tables}, object)}
    for name in next(iter(tables.values())):
        dtype = np.float64 if name.startswith("pvals") else np.float32
        columns = {group: table[name][order[group]] for group, table in tables.items()}
        ranked[name] = _structured(columns, dtype)
    return ranked


def _structured(columns: dict[str, np.ndarray], dtype: type) -> np.recarray:
    # Labels are names of fields, as scanpy has it; these may hold any character, "/" too. A dict
    # also allows the empty label.
    dtypes = np.dtype({"names": list(columns), "formats": [dtype] * len(columns)})
    return np.rec.fromarrays(list(columns.values()), dtype=dtypes)
