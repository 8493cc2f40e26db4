"""Judge a fit, or anybody's prediction, on held-out samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._checks import check_count
from .._keys import EVALUATION, EVALUATION_PARAMS, MODEL, PREDICTION, TSPG
from .._messages import logger, warn
from .._seeds import Rng, resolve_seed, spawn_seeds
from ..data._labels import read_column
from ..data._reader import Reader
from ..evaluation._classify import classify
from ..evaluation._question import question_of_fit, question_of_prediction
from ..evaluation._reader import read_samples
from ..evaluation._table import evaluation_table
from ..evaluation._verdict import distances, findings, judged_method, pooled
from ..get import model as get_model
from ..storage._arguments import copy_if_asked, leave_view
from ..storage._file import store_results
from ..storage._free_names import check_free, holds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pandas as pd
    from anndata import AnnData


def evaluate(
    adata: AnnData,
    *,
    prediction: str | None = None,
    groupby: str | None = None,
    target: object | None = None,
    source: object | Sequence[object] | None = None,
    layer: str | None = None,
    mask_var: str | None = None,
    held_out: str | None = None,
    by: str | None = None,
    replicate: str | None = None,
    n_bootstrap: int = 200,
    max_samples: int = 2000,
    accelerator: str = "auto",
    rng: Rng = 0,
    key: str = TSPG,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Measure how real perturbed samples are, beside baselines and the real-against-real floor.

    Held-out samples of the source classes, perturbed, are compared with held-out real samples of
    the target. The baselines learn from the training samples. A warning says what speaks against
    the perturbed samples, the worst first: that a classifier tells them from real ones, that
    nothing of the single samples is left, that a plain method comes nearer.

    With `prediction` the samples may be of any method: its layer is judged, without a fit.

    Parameters
    ----------
    adata
        AnnData with a fit, its perturbed layer and its labels; or with a layer to judge. Of samples
        that are not in memory those that are drawn are read, and perturbed where there is no layer.
    prediction
        Layer with what any method made of each sample, in the units of `layer`; None for the fit.
        The next six arguments are for such a layer.
    groupby
        Column of `adata.obs` with the labels.
    target
        The label that the samples were perturbed towards.
    source
        Label or labels whose samples were perturbed; None for all but the target.
    layer
        Layer with the original expression; None for `adata.X`.
    mask_var
        Boolean column of `adata.var` that marks the genes to compare; None for all.
    held_out
        Column of `adata.obs` that says `"train"` or `"test"`: which samples the method has not seen.
    by
        Column of `adata.obs` (a cell type, a donor): perturbed samples are compared with real ones
        of the same context, and results averaged over contexts. None for the contexts of the fit.
    replicate
        Column of `adata.obs` with the donors: intervals then are of other donors, for samples of
        one donor are no replicates.
    n_bootstrap
        Number of resamplings for the intervals; 0 for no intervals.
    max_samples
        Number of held-out samples compared, of the sources and of the target, at most; more are
        drawn at random from. Baselines learn from 500 samples of a class, at most; classifiers
        tell 250 of each side apart, at most.
    accelerator
        Device as Lightning Fabric names them: `"auto"`, `"cpu"`, `"cuda"`.
    rng
        Seed or generator; None for another result each time.
    key
        Name of the fit.
    key_added
        Name of the result for a `prediction`; None for the name of its layer.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['tspg' | key | key_added]['evaluation']` : :class:`pandas.DataFrame`
        A row a context (`"all"` for their average), source (`"all"` for all together, then each
        class) and method; read it with :func:`~scgan_perturb.get.evaluation_df`, which describes the
        columns. Methods:

        `"untouched source"`
            The samples as they are.
        `"global mean shift"`, `"linear Gaussian transport"`
            See :func:`~scgan_perturb.metrics.global_mean_shift` and
            :func:`~scgan_perturb.metrics.linear_gaussian_transport`.
        `"mean of the contexts' shifts"`
            With `by` only, see :func:`~scgan_perturb.metrics.mean_context_shift`.
        `"class mean shift"`, `"diagonal Gaussian transport"`, `"full Gaussian transport"`, `"quantile transport"`
            Told the label of each sample, which the model is not, see
            :func:`~scgan_perturb.metrics.class_mean_shift`,
            :func:`~scgan_perturb.metrics.diagonal_gaussian_transport`,
            :func:`~scgan_perturb.metrics.full_gaussian_transport` and
            :func:`~scgan_perturb.metrics.quantile_transport`. A class without training samples is
            moved by the global shift.
        `"matched target sample"`, `"nearest target sample"`, `"random target sample"`
            Training samples of the target: real, but other individuals' samples.
        `"this model"`, `"this prediction"`
            The perturbed layer. A last row, whose source is the target, is of held-out samples
            that are the target already: a good model leaves them alone.
        `"real target"`
            Training samples of the target: the floor. Its `success` is of held-out ones. In a
            context without such samples (`is_unseen`), half of the held-out ones.
    `adata.uns['tspg' | key | key_added]['evaluation_params']` : :class:`dict`
        `n_bootstrap`, `max_samples`, `seed`, `n_real`, the number of real samples compared
        with, and `mmd_width`, the width of the kernel of the MMD (the median distance among these).

    Raises
    ------
    KeyError
        If there is no such fit, layer, split or column.
    ValueError
        If expression, labels or split have changed since the fit, fewer than two samples of the
        sources or of the target were held out or trained, a label is called `"all"`, an argument of a prediction is missing or given without one, or
        `key_added` is the name of something else.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.evaluate(adata)
    >>> table = sp.get.evaluation_df(adata).set_index("method")
    >>> bool(table.loc["real target", "e_distance"] < table.loc["untouched source", "e_distance"])
    True
    """
    check_count("n_bootstrap", n_bootstrap, least=0)
    check_count("max_samples", max_samples, least=2)
    adata = copy_if_asked(adata, copy=copy)
    seed = resolve_seed(rng)
    draws = spawn_seeds(seed).evaluate
    columns = {
        part: None if column is None else read_column(adata, argument, column)
        for part, argument, column in (("contexts", "by", by), ("donors", "replicate", replicate))
    }
    required = {"groupby": groupby, "target": target, "held_out": held_out}
    if prediction is None:
        optional = {"source": source, "layer": layer, "mask_var": mask_var, "key_added": key_added}
        _check_fit_arguments(required | optional)
        model = get_model(adata, key=key)
        question = question_of_fit(adata, model, accelerator, key, columns)
    else:
        key = prediction if key_added is None else key_added
        _check_prediction_arguments(prediction, required)
        model = None
        reader = Reader(adata, layer, groupby=str(groupby), mask_var=mask_var)
        check_free(adata, key, _is_evaluation, matrix=reader.matrix)
        question = question_of_prediction(
            reader, prediction, target, source, str(held_out), columns
        )
    drawn = read_samples(question, max_samples=max_samples, seed=draws)
    table, width = evaluation_table(
        drawn.contexts,
        drawn.space,
        classify(drawn, question.target, model, accelerator=accelerator, seed=draws),
        judged=MODEL if prediction is None else PREDICTION,
        n_bootstrap=n_bootstrap,
        seed=draws,
    )
    n_real = sum(len(samples.real) for samples in drawn.contexts.values())
    params = {
        "n_bootstrap": n_bootstrap,
        "max_samples": max_samples,
        "seed": seed,
        "n_real": n_real,
        "mmd_width": width,
    }
    leave_view(adata)
    adata.uns[key] = {
        **adata.uns.get(key, {}),
        EVALUATION: table,
        EVALUATION_PARAMS: params,
    }
    store_results(adata, question.reader.matrix, uns=[key])
    _log_verdict(table, n_real=n_real, key=key)
    return adata if copy else None


def _check_fit_arguments(given: dict[str, object]) -> None:
    """Raise ValueError for arguments that a fit already answers."""
    if names := [name for name, value in given.items() if value is not None]:
        msg = (
            f"{', '.join(names)}: for the layer of another method only. Name it in prediction=, or "
            "leave these out: the fit knows its own labels, target and split."
        )
        raise ValueError(msg)


def _is_evaluation(stored: Any) -> bool:
    return holds(stored) and set(stored.keys()) == {EVALUATION, EVALUATION_PARAMS}


def _check_prediction_arguments(prediction: str, needed: dict[str, object]) -> None:
    """Raise ValueError where the question is incomplete."""
    if lacking := [f"{name}=" for name, value in needed.items() if value is None]:
        msg = (
            f"To judge the layer {prediction!r}, name {', '.join(lacking)}: e.g. groupby='cell_type', "
            "target='B', held_out='split' (a column of adata.obs that says 'train' or 'test')."
        )
        raise ValueError(msg)
    if not isinstance(needed["held_out"], str):
        msg = (
            "held_out must be a column of adata.obs that says 'train' or 'test' for each sample, "
            f"not {needed['held_out']!r}: which samples another method has not seen is its split."
        )
        raise ValueError(msg)


def _log_verdict(table: pd.DataFrame, *, n_real: int, key: str) -> None:
    """Say what was found, the worst first, and what was written; warn of what speaks against it."""
    rows, method = pooled(table), judged_method(table)
    found = findings(table)
    lines = [
        f"Evaluation of {method} towards {rows.loc[method, 'target']}, "
        f"{rows.loc[method, 'n_samples']:,} held-out samples against {n_real:,} held-out real ones.",
        *(found[:1] or ["No test tells the perturbed samples from real ones."]),
        f"E-distance to real ones (0: the same distribution): {distances(table)}.",
        f"added: adata.uns[{key!r}][{EVALUATION!r}]",
    ]
    logger.info("\n    ".join(lines))
    if found:
        warn(" ".join(found))
