"""The fitted model of an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import TSPG
from .._messages import unknown_name
from ..data._adata import check_adata
from ..models._old_fits import OldFitError
from ..models._perturbation_model import model_from_parts
from ..storage._identity import check_fit_belongs, reader_of_fit
from ._stored import FIRST_FIT

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models._perturbation_model import PerturbationModel


def model(adata: AnnData, *, key: str = TSPG) -> PerturbationModel:
    """The fitted generator as an object that does not need the AnnData.

    Parameters
    ----------
    adata
        AnnData that :func:`~scgan_perturb.tl.fit_tspg` wrote to.
    key
        Name of the fit.

    Returns
    -------
    A model with `perturb(array)`, `save(folder)` and `load(folder)`; `genes` is the order of the
    array's columns.

    Raises
    ------
    KeyError
        If there is no such fit.
    ValueError
        If the stored object is not a fit, is damaged, or is of recipe "transport" of version
        0.1.0, which has to be fitted again.

    Examples
    --------
    >>> import tempfile
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sp.get.model(adata).save(folder)
    ...     model = sp.get.PerturbationModel.load(folder)
    >>> model.target
    'CD19+ B'
    """
    check_adata(adata)
    if key not in adata.uns:
        raise unknown_name("Fit", key, adata.uns, FIRST_FIT)
    try:
        return model_from_parts(adata.uns[key])
    except OldFitError:
        raise
    except ValueError as error:
        msg = f"adata.uns[{key!r}] does not hold a fit of sp.tl.fit_tspg. {error}"
        raise ValueError(msg) from error


def checked_model(
    adata: AnnData, key: str, *, labels: bool = False, training: bool = False
) -> PerturbationModel:
    """The model, after :func:`check_fit_belongs`."""
    found = model(adata, key=key)
    check_fit_belongs(reader_of_fit(adata, found), found, key, labels=labels, training=training)
    return found
