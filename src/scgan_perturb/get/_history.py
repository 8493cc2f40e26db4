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
    DataFrame with one row per epoch. For a generator: means over the epoch of the terms of its loss
    and of their weighted sum `loss_generator`, and `held_out_success` after the epoch. The terms of
    recipe "transport" are `loss_adv`, `loss_td` and `loss_energy`. It also has `loss_validation`,
    the weighted sum of `loss_adv` and `loss_energy` on training samples that only choose the epoch;
    the weights of its lowest row are kept. The terms of recipe "paper" are `loss_gan`, `loss_adv`,
    `loss_norm` and `loss_td` (equations 1 to 4); it also has `loss_discriminator`. For a
    classifier: `loss`, `held_out_accuracy`.

    Raises
    ------
    KeyError
        If there is no such fit.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> len(sp.get.history(adata))
    2
    """
    fit = stored_dict(adata, "Fit", key, FIRST_FIT)
    if "history" not in fit:
        raise unknown_name("Fit", key, adata.uns, FIRST_FIT)
    return check_table(fit["history"], f"adata.uns[{key!r}]['history']").copy()
