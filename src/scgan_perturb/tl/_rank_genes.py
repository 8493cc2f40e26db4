"""Which genes a perturbation moves, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .._checks import check_count
from .._keys import ALL, CONTEXTS, TEST, TRAIN, TSPG, tspg_keys
from .._messages import logger
from .._recipes import PAPER
from .._seeds import Rng, resolve_seed
from ..data._blocks import blocks
from ..data._labels import read_labels
from ..get._model import checked_model
from ..get._perturbation import ORIGINAL, find_layer, read_layer, read_samples, was_perturbed
from ..get._resampled import resampled
from ..metrics._change_sums import ChangeSums
from ..metrics._intervals import percentile_interval
from ..models._perturbation_model import N_DRAWS_EXPECTED
from ..storage._arguments import copy_if_asked
from ..storage._file import store_results
from ..storage._free_names import check_free, holds
from ..storage._identity import reader_of_fit
from ..storage._ranking import context_arrays, group_arrays

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..data._reader import Reader
    from ..models._perturbation_model import PerturbationModel

N_DRAWS = 4096  # of all samples together: more change no score by its error


class Division(NamedTuple):
    """Samples divided into parts: the names of the parts, and the part of each sample."""

    names: list[str]
    of: np.ndarray


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

    After a fit with `context` also within each context: :func:`~scgan_perturb.get.rank_genes_df`
    and :func:`~scgan_perturb.get.context_genes_df` read the result,
    :func:`~scgan_perturb.pl.context_heatmap` draws it.

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
        `contexts`
            After a fit with `context`: a dict of arrays. `contexts` are the names of the contexts,
            `names` the genes; `n_samples` and `n_target` are numbers of ranked samples and of
            training samples of the target in each context. `scores`, `sds`, `shares`,
            `logfoldchanges` and with `n_bootstrap` the intervals are contexts × genes.

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
    rows = np.flatnonzero(_choose_samples(adata, labels, model.target, split, key))
    n_draws = int(np.clip(N_DRAWS // len(rows), 1, N_DRAWS_EXPECTED))
    reader = reader_of_fit(adata, model)
    divisions = _divisions(reader, labels, rows)
    sums = _sum_perturbations(
        adata, model, rows, divisions, key, n_draws=n_draws, accelerator=accelerator
    )
    genes = np.flatnonzero(model.scaler.varying)
    tables = [{name: total.table(genes) for name, total in totals.items()} for totals in sums]
    params = _params(model, key, split, n_draws)
    params["groups"] = np.array([ALL, *tables[1]], dtype=object)
    if n_bootstrap:
        params |= {"n_bootstrap": n_bootstrap, "seed": resolve_seed(rng)}
        before = read_samples(adata, model, rows, key).before
        context = reader.contexts_of(rows)
        models = resampled(adata, model, n_bootstrap=n_bootstrap, seed=params["seed"], key=key)
        means = [
            _mean_changes(one, before, context, divisions, n_draws, accelerator) for one in models
        ]
        _add_intervals(tables, means, genes)
    everyone, classes, *contexts = tables
    names = model.genes[genes].astype(object)
    ranking = {"params": params, **group_arrays(names, everyone | classes)}
    if contexts:
        n_samples = [total.n for total in sums[-1].values()]
        ranking[CONTEXTS] = context_arrays(model, names, contexts[0], n_samples)
    adata.uns[keys.rank_genes] = ranking
    store_results(adata, reader.matrix, uns=[keys.rank_genes])
    logger.info(
        "Ranked %s genes over %s perturbed samples of %d classes%s.\n    added: adata.uns[%r]",
        f"{len(genes):,}",
        f"{len(rows):,}",
        len(classes),
        f" and {len(contexts[0]):,} contexts" if contexts else "",
        keys.rank_genes,
    )
    return adata if copy else None


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


def _params(model: PerturbationModel, key: str, split: str | None, n_draws: int) -> dict[str, Any]:
    """What describes a ranking, with the entries that scanpy's readers expect."""
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
    params |= {"context": np.array(model.context, dtype=object)} if model.context else {}
    return params | ({} if model.params.get("recipe") == PAPER else {"n_draws": n_draws})


def _divisions(reader: Reader, labels: pd.Series, rows: np.ndarray) -> list[Division]:
    """The samples undivided, divided into classes, and into contexts if the fit has contexts."""
    chosen = labels.iloc[rows].cat.remove_unused_categories()
    found = [
        Division([ALL], np.full(len(rows), ALL, dtype=object)),
        Division(list(chosen.cat.categories), chosen.to_numpy()),
    ]
    contexts = reader.contexts_of(rows)
    return found if contexts is None else [*found, Division(sorted(set(contexts)), contexts)]


def _sum_perturbations(
    adata: AnnData,
    model: PerturbationModel,
    rows: np.ndarray,
    divisions: list[Division],
    key: str,
    *,
    n_draws: int,
    accelerator: str,
) -> list[dict[str, ChangeSums]]:
    """Sums of each part of each division, in one pass over the samples."""
    n_genes = len(model.genes)
    sums = [{name: ChangeSums(n_genes) for name in division.names} for division in divisions]
    for block in blocks(len(rows)):
        samples = read_samples(
            adata, model, rows[block], key, n_draws=n_draws, accelerator=accelerator
        )
        scaled = model.scaler.scale(samples.after) - model.scaler.scale(samples.before)
        change = samples.after - samples.before
        for totals, division in zip(sums, divisions, strict=True):
            of = division.of[block]
            for name in set(of):
                totals[name].add(scaled[of == name], change[of == name])
    return sums


def _mean_changes(
    model: PerturbationModel,
    before: np.ndarray,
    context: np.ndarray | None,
    divisions: list[Division],
    n_draws: int,
    accelerator: str,
) -> list[dict[str, np.ndarray]]:
    """Mean scaled change of each part of each division, under one model."""
    after = model.expected(before, context=context, n_draws=n_draws, accelerator=accelerator)
    change = model.scaler.scale(after) - model.scaler.scale(before)
    return [
        {name: change[division.of == name].mean(axis=0) for name in division.names}
        for division in divisions
    ]


def _add_intervals(
    tables: list[dict[str, dict[str, np.ndarray]]],
    means: list[list[dict[str, np.ndarray]]],
    genes: np.ndarray,
) -> None:
    """Add the ends of the interval of each mean, from the means under resampled models."""
    for i, of_division in enumerate(tables):
        for name, table in of_division.items():
            low, high = percentile_interval(np.stack([mean[i][name][genes] for mean in means]))
            table |= {"scores_low": low, "scores_high": high}
