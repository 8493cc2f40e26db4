"""Losses of a training, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import TSPG
from .._messages import unknown_name
from ._stored import FIRST_FIT, check_table, stored_dict

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def history(adata: AnnData, *, key: str = TSPG) -> pd.DataFrame:
    """Losses and held-out success of a fit, epoch by epoch.

    Parameters
    ----------
    adata
        AnnData with a fit.
    key
        Name of the fit of a generator or a classifier.

    Returns
    -------
    DataFrame with one row per epoch. Recipe "transport" trains nothing: its one row has
    `held_out_success`, the share of perturbed held-out samples that the classifier calls the
    target (of 512 samples at most). Recipe "paper" has the means over the epoch of `loss_gan`,
    `loss_adv`, `loss_norm` and `loss_td` (equations 1 to 4), of their weighted sum
    `loss_generator` and of `loss_discriminator`, and `held_out_success` after the epoch. A
    classifier has `loss`, `held_out_accuracy` and `held_out_calibration_error`: the difference
    between its probability and how often it is right, on average over held-out samples (15 bins).
    One that stops when it has learnt also has `validation_loss`, the cross-entropy of validation
    samples with the `temperature` that is best for them; the row with the lowest is what is used.

    Raises
    ------
    KeyError
        If there is no such fit.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> list(sp.get.history(adata).columns)
    ['held_out_success']
    """
    fit = stored_dict(adata, "Fit", key, FIRST_FIT)
    if "history" not in fit:
        raise unknown_name("Fit", key, adata.uns, FIRST_FIT)
    return check_table(fit["history"], f"adata.uns[{key!r}]['history']").copy()
