"""Results of an evaluation, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import ALL, EVALUATION, TSPG
from ..data._labels import known_labels
from ._stored import FIRST_FIT, check_table, check_target, stored_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData


def evaluation_df(
    adata: AnnData,
    *,
    source: object | Sequence[object] | None = ALL,
    context: object | Sequence[object] | None = ALL,
    key: str = TSPG,
) -> pd.DataFrame:
    """Results of :func:`~scgan_perturb.tl.evaluate`: perturbed samples beside baselines.

    All values are of held-out samples, scaled to the range of the training samples.

    Parameters
    ----------
    adata
        AnnData with an evaluated fit or prediction.
    source
        `"all"` for the samples of all sources together, or a source class, or several; None for all
        rows.
    context
        `"all"` for the average over the contexts of `by=`, or a context, or several; None for all
        rows.
    key
        Name of the fit, or of the evaluated prediction.

    Returns
    -------
    DataFrame with one row per method (and source, and context). Columns:

    `target`, `context`, `source`, `method`
        :func:`~scgan_perturb.tl.evaluate` lists the methods.
    `is_told_label`
        Whether the method uses the label of each sample, which the model does not.
    `n_samples`
        Number of samples.
    `success`, `success_logistic_regression`, `success_random_forest`
        Share of samples that are predicted to be the target: by the classifier of the fit, which
        the generator was trained to convince (NaN for a prediction), and by two independent ones.
    `auc_random_forest`, `auc_logistic_regression`
        How often a cross-validated classifier puts a perturbed and a real sample in the right
        order: 0.5 if it cannot tell them apart, 1 if it always can. See
        :func:`~scgan_perturb.metrics.two_sample_auc`; NaN for fewer than five samples. Rows of a
        single source use the classifier of all sources.
    `zeros`, `detected_genes`, `n_detected_genes`
        Share of zeros minus that of real samples; how often a perturbed sample has more genes above
        0 than a real one (0.5 is best); median number of genes above 0.
    `distinct_values`, `distinct_share`
        How often a larger share of a perturbed sample's values above 0 is distinct than of a real
        one's (0.5 is best), and the median share: genes with the same count have the same value,
        see :func:`~scgan_perturb.metrics.distinct_values_auc`.
    `marginals`, `correlations`
        Mean Wasserstein distance of a gene, in units of the target's spread (0 is best); agreement
        of the gene-gene correlations, at most 1. See
        :func:`~scgan_perturb.metrics.marginal_distance` and
        :func:`~scgan_perturb.metrics.correlation_agreement`.
    `e_distance`, `e_distance_pca`, `sinkhorn_w2`, `mmd`
        Distances to held-out real samples: the first and the last in scaled units, the others in 50
        principal components in input units. See
        :func:`~scgan_perturb.metrics.energy_distance`, :func:`~scgan_perturb.metrics.sinkhorn_w2`
        and :func:`~scgan_perturb.metrics.mmd`.
    `mean_r2`, `variance_r2`
        Squared correlation of gene means and variances with those of real samples.
    `pearson_delta`, `pearson_delta_top50`, `direction`, `overlap`, `log_fold_change_error`
        Agreement of the mean change of each gene with the true one, see
        :func:`~scgan_perturb.metrics.pearson_delta`, :func:`~scgan_perturb.metrics.direction`,
        :func:`~scgan_perturb.metrics.overlap` and
        :func:`~scgan_perturb.metrics.log_fold_change_error`. With `_scaled` added: 0 for the mean
        response (the global shift, or the mean of the contexts' shifts), 1 for a replicate (real
        training samples); NaN if a replicate is no better than the mean response.
    `individuality`
        How well samples keep their ranks, see :func:`~scgan_perturb.metrics.individuality`: 1 for a
        shift, 0 for a random real sample.
    `perturbation`
        Mean absolute change of a gene, as a share of its range.

    Columns with `_low` and `_high` added are the ends of 95 % bootstrap intervals; NaN for fewer
    than five samples of the method or of the target.

    Raises
    ------
    KeyError
        If there is no such fit, evaluation, source or context.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
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
    table = check_table(fit[EVALUATION], where, ("source", "method"))
    for target in table.get("target", ())[:1]:
        check_target(adata, key, {"target": target}, where, "sp.tl.evaluate(adata)")
    for column, chosen in (("source", source), ("context", context)):
        if chosen is None or column not in table:  # version 0.1 knew no contexts
            continue
        known = list(table[column].unique())
        table = table[table[column].isin(known_labels(chosen, known, what=column.capitalize()))]
    return table.reset_index(drop=True)
