"""What an evaluation found, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import ALL, EVALUATION, TSPG
from .._messages import unknown_name
from ._stored import FIRST_FIT, check_table, check_target, stored_dict

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def evaluation_df(adata: AnnData, *, source: str | None = ALL, key: str = TSPG) -> pd.DataFrame:
    """What :func:`~scgan_perturb.tl.evaluate` found: perturbed samples beside baselines.

    All is of held-out samples, scaled to the range of the training samples.

    Parameters
    ----------
    adata
        AnnData with an evaluated fit.
    source
        `"all"` for the samples of all sources together, or a source class; None for the whole
        table.
    key
        Name of the fit.

    Returns
    -------
    DataFrame, a row a method (and source). Columns:

    `target`, `source`, `method`
        Where to, from where, and how; :func:`~scgan_perturb.tl.evaluate` lists the methods.
    `is_told_label`
        Whether the method is told the label of each sample, which the model is not.
    `n_samples`
        Number of samples.
    `success`, `success_logistic_regression`, `success_random_forest`
        Share that is called the target, by the classifier of the fit, which the generator was
        trained to convince, and by two that had no part in it.
    `e_distance`, `mmd`
        Distances to held-out real samples, 0 where they cannot be told apart: see
        :func:`~scgan_perturb.metrics.energy_distance` and :func:`~scgan_perturb.metrics.mmd`.
    `mean_r2`, `variance_r2`
        Squared correlation of gene means and variances with those of real samples.
    `two_sample_auc`
        How well a classifier tells the samples from real ones, 0.5 for not at all; NaN for single
        sources and for fewer than five samples.
    `perturbation`
        Mean absolute change of a gene, as a share of its range.

    The 95 % bootstrap intervals of the distances and correlations stand in columns of the same
    name with `_low` and `_high` added; NaN for fewer than five samples, here or of the target.

    Raises
    ------
    KeyError
        If there is no such fit, evaluation or source.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
    >>> sp.tl.evaluate(adata)
    >>> sp.get.evaluation_df(adata, source="Dendritic")["source"].unique().tolist()
    ['Dendritic']
    """
    fit = stored_dict(adata, "Fit", key, FIRST_FIT)
    if EVALUATION not in fit:
        msg = (
            f"The fit adata.uns[{key!r}] has not been evaluated. Call sp.tl.evaluate(adata) first."
        )
        raise KeyError(msg)
    where = f"adata.uns[{key!r}][{EVALUATION!r}]"
    table = check_table(fit[EVALUATION], where, ("source", "method")).reset_index(drop=True)
    for target in table.get("target", ())[:1]:
        check_target(adata, key, {"target": target}, where, "sp.tl.evaluate(adata)")
    if source is None:
        return table
    chosen = table["source"] == source
    if not chosen.any():
        raise unknown_name("Source", source, table["source"].unique())
    return table[chosen].reset_index(drop=True)
