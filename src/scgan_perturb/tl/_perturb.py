"""Apply a fitted generator to samples."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import numpy as np

from .._keys import EVALUATION, EVALUATION_PARAMS, IDENTITY, TSPG, tspg_keys
from .._messages import logger
from ..data._dask import DaskMatrix
from ..data._expression import (
    checked_blocks,
    find_expression,
    match_genes,
    select_genes,
    warn_if_raw,
)
from ..data._on_disk import DiskMatrix
from ..get import model as get_model
from ..storage._apply import Job
from ..storage._arguments import copy_if_asked
from ..storage._identity import check_fit_belongs, layer_identity
from ..storage._output import output_for
from ._classifier import share

if TYPE_CHECKING:
    from typing import Any

    from anndata import AnnData

    from ..data._expression import Expression
    from ..storage._apply import Perturbed


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

    x_adv = clip(x + G(x), 0, 1) on expression scaled to the range of the training samples
    (paper, section 2.2); values beyond that range are clipped to it.

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
        Device as Lightning Fabric names them: `"auto"`, `"cpu"`, `"cuda"`, `"mps"`.
    key
        Name of the fit, and of what is added.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.layers['xadv' | key]` : :class:`numpy.ndarray` (dtype float32)
        Perturbed expression of all samples, in the units of the input. An array of the file, or a
        lazy Dask array, where the input is one; of a Dask array the next two fields are left out.
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
    >>> sp.tl.fit_tspg(fitted, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
    >>> sp.tl.perturb(new, reference=fitted)
    >>> new.layers["xadv"].shape
    (100, 765)
    """
    source = adata if reference is None else reference
    model = get_model(source, key=key)
    is_same = reference is None and layer in (None, model.params.get("layer", "X"))
    if is_same:
        check_fit_belongs(adata, model, key)
    if target is not None:
        model = model.towards(target)
    adata = copy_if_asked(adata, copy=copy)
    layer = model.params.get("layer", "X") if layer is None else layer
    keys = tspg_keys(key)
    if layer == keys.layer:
        msg = f"layer={layer!r} is where the result is written. Name the layer with the originals."
        raise ValueError(msg)
    matrix = find_expression(
        adata,
        None if layer == "X" else layer,
        remedy=f"The model was fitted on layer {layer!r}; layer='X' means adata.X.",
    )
    positions = match_genes(adata, model.genes)
    chosen = select_genes(matrix, positions)
    # What was measured was measured on other samples, or on an earlier layer.
    fit = {k: v for k, v in source.uns[key].items() if k not in (EVALUATION, EVALUATION_PARAMS)}
    fit |= {
        "params": _params_with_layer(model.params, layer),
        "target_mean": model.target_mean,
    }
    if isinstance(matrix, DaskMatrix):
        if not is_same:
            fit.pop(IDENTITY, None)  # to find it, values would have to be computed
    elif not is_same or IDENTITY not in fit:  # the layer is of other values than those of the fit
        fit[IDENTITY] = layer_identity(adata, chosen)
    output = output_for(adata, matrix, keys, is_required=True)
    digest = "" if isinstance(matrix, DaskMatrix) else _checked(adata, chosen, positions)
    rows = np.ones(adata.n_obs, dtype=bool)
    forget_split = reference is not None and keys.split in adata.obs  # of another fit
    job = Job(
        model,
        positions,
        rows,
        fit,
        columns={keys.split: None} if forget_split else {},
        depends_on=(layer, digest),
        accelerator=accelerator,
    )
    perturbed = cast("Perturbed", output.write(job))
    if perturbed.predicted is None:
        logger.info(
            "Perturbation to %s, computed when it is asked for.\n"
            "    added: adata.layers[%r], adata.uns[%r]",
            *(model.target, keys.layer, keys.uns),
        )
        return adata if copy else None
    logger.info(
        "Perturbation to %s: the classifier calls %s %s once perturbed.\n"
        "    added: adata.layers[%r], adata.obs[%r], adata.obs[%r], adata.uns[%r]",
        model.target,
        share(perturbed.predicted == model.target, "samples"),
        model.target,
        keys.layer,
        keys.predicted,
        keys.probability,
        keys.uns,
    )
    return adata if copy else None


def _checked(adata: AnnData, matrix: Expression, positions: np.ndarray) -> str:
    """Check all values; returns a hash of them where they are on disk."""
    digest = hashlib.blake2b(digest_size=16)
    for _, block in checked_blocks(adata, matrix, positions):
        if isinstance(matrix, DiskMatrix):
            for part in (block,) if isinstance(block, np.ndarray) else (block.data, block.indices):
                digest.update(np.ascontiguousarray(part).data)
    warn_if_raw(matrix)
    return digest.hexdigest()


def _params_with_layer(params: dict[str, Any], layer: str) -> dict[str, Any]:
    """The parameters of a fit, with the layer that the original expression stands in here."""
    others = {name: value for name, value in params.items() if name != "layer"}
    return others if layer == "X" else {**others, "layer": layer}
