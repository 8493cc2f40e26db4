"""Fit the target model f."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._checks import check_count
from .._keys import CLASSIFIER, classifier_keys
from .._recipes import BATCH_SIZE
from .._seeds import Rng, resolve_seed, spawn_seeds
from ..data._reader import Reader
from ..data._training_data import read_training_data
from ..storage._arguments import check_checkpoint, check_names, copy_if_asked, without_none
from ..storage._classifier import write_classifier
from ..storage._file import check_writers
from ..storage._free_names import check_fit_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from anndata import AnnData
    from lightning_fabric import Fabric


def fit_classifier(
    adata: AnnData,
    groupby: str,
    *,
    layer: str | None = None,
    mask_var: str | None = None,
    held_out: float | str = 0.2,
    max_epochs: int | None = None,
    batch_size: int = BATCH_SIZE,
    checkpoint: str | Path | None = None,
    fabric: Fabric | Mapping[str, Any] | None = None,
    rng: Rng = 0,
    key_added: str = CLASSIFIER,
    copy: bool = False,
) -> AnnData | None:
    """Fit the classifier f that a perturbation has to convince.

    Dense layers of 1024, 512 and 128 units, cross-entropy, Adam (paper, section 2.2), on
    expression scaled per gene to the range of the training samples. f stops when it has learnt: a
    tenth of the training samples does not train but validates. Their loss chooses the epoch, and
    the temperature that the logits are divided by, so that f is as sure as it is right.

    Parameters
    ----------
    adata
        Normalised expression, samples × genes; dense or sparse, in memory, in an h5ad file or zarr
        store, or a Dask array. Results go to the file as well if it is open for writing.
    groupby
        Column of `adata.obs` with the labels.
    layer
        Layer to read; None for `adata.X`.
    mask_var
        Boolean column of `adata.var` that marks the genes to use; None for all.
    held_out
        Share of each class kept out of training, or a column of `adata.obs` that says
        `"train"` or `"test"` for each sample.
    max_epochs
        Passes over the training samples, all of which train; the paper has 50, and no temperature.
        None to stop when f has learnt.
    batch_size
        Samples a step, at most.
    checkpoint
        Folder to keep the state of training in, made if need be. The same call again goes on where
        the last one was stopped, even if it was killed, and ends with the same bits on a CPU; a
        state of other data or settings is refused. None for none.
    fabric
        What trains: a :class:`lightning_fabric.Fabric`, or a dict of its options `accelerator`,
        `precision`, `devices`, `num_nodes` and `strategy`, such as `{"devices": 4}`. None trains on
        one GPU where there is one. Unless given, `precision` is the faster one of `"32-true"` and
        `"bf16-mixed"`. Several processes give the result of one, up to
        rounding; the docs say how to start them on a cluster.
    rng
        Seed or generator; None for another result each time.
    key_added
        Name of the result.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['classifier' | key_added]` : :class:`dict`
        `params`, `genes`, `classes`, `scale_min` and `scale_max` (range of each gene, input
        units), `weights`, `history`, a row an epoch (see :func:`~scgan_perturb.get.history`), and
        digests of the labels and values that it was fitted on.
    `adata.obs['classifier_split' | f'{key_added}_split']` : :class:`pandas.Series` (category)
        Whether a sample trained (`train`) or was held out (`test`).
    `adata.obs['classifier_predicted' | f'{key_added}_predicted']` : :class:`pandas.Series` (category)
        The class that f gives each sample.

    Raises
    ------
    KeyError
        If a column, layer or mask is not there.
    ValueError
        If labels are missing or all the same, values are NaN or infinite, gene names repeat,
        no genes are left, or the checkpoint is damaged or of another fit.
    FloatingPointError
        If the loss becomes NaN or infinite.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_classifier(adata, "bulk_labels")
    >>> bool(adata.uns["classifier"]["history"]["held_out_accuracy"].max() > 0.7)
    True
    """
    from ..engine._device import resolve_fabric  # noqa: PLC0415 (torch takes seconds)
    from ..training._fit_classifier import fit_classifier_on  # noqa: PLC0415

    keys = classifier_keys(key_added)
    check_names(key_added, groupby, written=(keys.split, keys.predicted), layer=layer)
    check_checkpoint(checkpoint)
    if max_epochs is not None:
        check_count("max_epochs", max_epochs)
    check_count("batch_size", batch_size, least=2)
    options = without_none(groupby=groupby, layer=layer, mask_var=mask_var, held_out=held_out)
    seed, fabric = resolve_seed(rng), resolve_fabric(fabric)
    seed = fabric.broadcast(seed)
    params = options | without_none(max_epochs=max_epochs, batch_size=batch_size, seed=seed)

    adata = copy_if_asked(adata, copy=copy)
    reader = Reader(adata, layer, groupby=groupby, mask_var=mask_var)
    check_writers(reader.matrix, fabric)
    check_fit_names(adata, keys, reader.matrix, keep=held_out)
    data = read_training_data(
        reader, held_out=held_out, seed=spawn_seeds(seed).split, fabric=fabric
    )

    classifier, history = fit_classifier_on(data, params, fabric, checkpoint)
    write_classifier(adata, keys, classifier, data, history, fabric)
    return adata if copy else None
