"""Apply a fitted generator to samples."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._keys import EVALUATION, EVALUATION_PARAMS, IDENTITY, TRAIN, TSPG, tspg_keys
from ..data._adata import check_adata
from ..data._contexts import warn_of_unknown
from ..data._counts import checked_sample
from ..data._expression import checked_blocks
from ..data._units import warn_of_other_units
from ..get import model as get_model
from ..storage._apply import Job
from ..storage._arguments import copy_if_asked
from ..storage._free_names import check_fit_names
from ..storage._identity import check_fit_belongs, layer_identity, reader_of_fit
from ..storage._log import log_perturbation
from ..storage._output import output_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from anndata import AnnData

    from ..data._reader import Reader
    from ..models._perturbation_model import PerturbationModel


def perturb(
    adata: AnnData,
    target: object = None,
    *,
    reference: AnnData | None = None,
    layer: str | None = None,
    accelerator: str = "auto",
    key: str = TSPG,
    copy: bool = False,
) -> AnnData | None:
    """Perturb samples with a generator that was fitted before.

    G works on expression scaled to the range of the training samples; values beyond that range
    are clipped to it. A warning says their share where it is larger than that of samples like
    the training samples, as it is of other units. Recipe "transport" draws each perturbed sample, and the same sample gives
    the same draw in each call.

    Parameters
    ----------
    adata
        Samples to perturb, normalised as those of the fit. Genes are matched by name: any
        order, and others may be there as well. If they are in an h5ad file or zarr store, open for
        writing, the result is written there a part at a time; a call that was stopped goes on.
    target
        Label to perturb towards, one of those that the model was fitted for; None for the last one.
    reference
        AnnData with the fit; None if `adata` itself holds it.
    layer
        Layer to read, `"X"` for `adata.X`; None for the one that the model was fitted on.
    accelerator
        Device as Lightning Fabric names them: `"auto"`, `"cpu"`, `"cuda"`.
    key
        Name of the fit, and of what is added.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.layers['xadv' | key]` : :class:`numpy.ndarray` or :class:`scipy.sparse.csr_matrix` (dtype float32)
        Perturbed expression of all samples, in the units of the input. CSR by recipe
        "transport" where the input in memory is sparse. An array of the file, or a lazy Dask
        array, where the input is one; of a Dask array the next two fields are left out.
    `adata.obs['tspg_predicted' | f'{key}_predicted']` : :class:`pandas.Series` (category)
        The class that f gives the perturbed sample.
    `adata.obs['tspg_target_probability' | f'{key}_target_probability']` : :class:`pandas.Series` (dtype float32)
        The probability that f gives the target for the perturbed sample.
    `adata.uns['tspg' | key]` : :class:`dict`
        The fit, taken from `reference`, its arrays shared and not copied; without what
        :func:`evaluate` found, which is of other samples.

    Raises
    ------
    KeyError
        If there is no such fit or layer.
    ValueError
        If the expression of the fit has changed, genes of the model are lacking, values are NaN or infinite, or the model was fitted
        for another target, or the file of the samples is read only.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> fitted, new = adata[:600].copy(), adata[600:].copy()
    >>> sp.tl.fit_tspg(fitted, "bulk_labels", "CD19+ B")
    >>> sp.tl.perturb(new, reference=fitted)
    >>> new.layers["xadv"].shape
    (100, 765)
    """
    if reference is not None:
        check_adata(reference, "reference")
    fitted = adata if reference is None else reference
    model, keys = get_model(fitted, key=key), tspg_keys(key)
    layer_of_fit = model.params.get("layer", "X")
    layer = layer_of_fit if layer is None else layer
    if layer == keys.layer:
        msg = f"layer={layer!r} is where the result is written. Name the layer with the originals."
        raise ValueError(msg)

    adata = copy_if_asked(adata, copy=copy)
    remedy = f"The model was fitted on layer {layer_of_fit!r}; layer='X' means adata.X."
    reader = replace(
        reader_of_fit(adata, model), layer=None if layer == "X" else layer, remedy=remedy
    )
    is_of_fit = reference is None and layer == layer_of_fit
    if is_of_fit:
        check_fit_belongs(reader, model, key)
    if target is not None:
        model = model.towards(target)

    check_fit_names(adata, keys, reader.matrix)
    is_other_split = reference is not None and keys.split in adata.obs
    output = output_for(reader, keys, is_required=True)
    job = Job(
        model,
        reader.positions,
        np.ones(adata.n_obs, dtype=bool),
        _context_codes(reader, model),
        fit=_fit_to_store(fitted.uns[key], model, layer, reader, is_of_fit=is_of_fit),
        columns={keys.split: None} if is_other_split else {},
        depends_on=(layer, _check_values(reader)),
        accelerator=accelerator,
    )
    if not (reader.matrix.is_lazy or is_of_fit):
        is_train = fitted.obs.get(keys.split, pd.Series()) == TRAIN
        warn_of_other_units(
            checked_sample(reader.expression),
            model.scaler,
            int(is_train.sum()),
            of_logged_counts=bool(model.params.get("logged_counts")),
        )
    perturbed = output.write(job)
    log_perturbation(keys, model, perturbed)
    return adata if copy else None


def _context_codes(reader: Reader, model: PerturbationModel) -> np.ndarray:
    """Positions of the samples' contexts; a warning of those that did not train."""
    names = reader.context_names
    codes = model.context_codes(names, reader.adata.n_obs)
    if names is not None and (codes < 0).any():
        warn_of_unknown(names[codes < 0])
    return codes


def _fit_to_store(
    fit: Mapping[str, Any],
    model: PerturbationModel,
    layer: str,
    reader: Reader,
    *,
    is_of_fit: bool,
) -> dict[str, Any]:
    """The fit without its evaluation, with the layer and the identity of the perturbed samples."""
    left_out = (
        {EVALUATION, EVALUATION_PARAMS} if is_of_fit else {EVALUATION, EVALUATION_PARAMS, IDENTITY}
    )
    fit = {name: value for name, value in fit.items() if name not in left_out}
    params = {name: value for name, value in model.params.items() if name != "layer"}
    fit["params"] = params if layer == "X" else {**params, "layer": layer}
    fit["target_mean"] = model.target_mean
    if IDENTITY not in fit and not reader.matrix.is_lazy:
        fit[IDENTITY] = layer_identity(reader)
    return fit


def _check_values(reader: Reader) -> str:
    """Check that all values are finite; return their hash if a file can hold an unfinished result."""
    if reader.matrix.is_lazy:  # each block is checked when it is computed
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for block in checked_blocks(reader.adata, reader.expression, reader.positions):
        if reader.matrix.element is not None:
            for part in (block,) if isinstance(block, np.ndarray) else (block.data, block.indices):
                digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
