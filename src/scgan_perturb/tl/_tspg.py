"""Fit the transcriptome state perturbation generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .._keys import CLASSIFIER, IDENTITY, classifier_keys, tspg_keys
from .._recipes import BATCH_SIZE, CLASSIFIER_EPOCHS, PAPER, resolve_recipe
from .._seeds import Rng, resolve_seed, spawn_seeds
from ..data._labels import resolve_classes, several
from ..data._reader import Reader
from ..data._training_data import read_training_data
from ..models._perturbation_model import model_to_parts
from ..storage._apply import Job
from ..storage._arguments import (
    check_checkpoint,
    check_names,
    copy_if_asked,
    warn_of_unused_checkpoint,
    without_none,
)
from ..storage._classifier import split_column, split_to_use, stored_classifier, write_classifier
from ..storage._file import check_writers
from ..storage._free_names import check_fit_names
from ..storage._identity import fit_identity
from ..storage._log import log_perturbation
from ..storage._output import output_for
from ..training._roles import assign_roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from anndata import AnnData
    from lightning_fabric import Fabric
    from torch import nn

    from .._keys import TspgKeys
    from .._recipes import Paper, Transport
    from ..data._training_data import TrainingData
    from ..training._roles import Roles


def fit_tspg(
    adata: AnnData,
    groupby: str,
    target: object | Sequence[object] | None = None,
    *,
    source: object | Sequence[object] | None = None,
    context: str | Sequence[str] | None = None,
    classifier: str | nn.Module = CLASSIFIER,
    classes: Sequence[object] | None = None,
    recipe: Literal["transport", "paper"] | Transport | Paper = "transport",
    layer: str | None = None,
    mask_var: str | None = None,
    held_out: float | str = 0.2,
    checkpoint: str | Path | None = None,
    fabric: Fabric | Mapping[str, Any] | None = None,
    rng: Rng = 0,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Fit a generator that perturbs samples towards a target label, and apply it to all samples.

    With recipe "transport" G maps a sample from the distribution of its class, which the
    classifier f predicts, to the distribution of the target. Both are estimated from the training
    samples; nothing but f is trained, and one G serves one target or many. The layer holds one
    draw of each perturbed sample, a sample that could exist: the first of up to 9 draws that f
    calls the target. Recipe "paper" is the transcriptome state perturbation generator as
    published: G is trained such that f calls its samples the target and a discriminator calls
    them real (paper, section 2.2, equations 1 to 5).

    Parameters
    ----------
    adata
        Normalised expression, samples × genes; dense or sparse, in memory, in an h5ad file or zarr
        store, or a Dask array. Results go to the file as well if it is open for writing; of one
        that is not, the layer is left out.
    groupby
        Column of `adata.obs` with the labels.
    target
        Label to perturb towards; several for one model of many targets, None for all labels. Of
        several the first is applied, the others by :func:`~scgan_perturb.tl.perturb`.
    source
        Label or labels whose samples are perturbed; None for all samples. A sample is then taken
        as one of a source, unless f is sure (95 %) that it is of the target.
    context
        Column or columns of `adata.obs` with what stays as it is: a cell type, a donor, a batch.
        The change is estimated within each context, and contexts learn from each other, the more
        the more alike they are. A context without training samples of the target gets what the
        label does in the others. None for no contexts. Not with recipe "paper".
    classifier
        Name in `adata.uns` of the classifier. The default is fitted where it is missing or does
        not fit these labels, genes and values, for recipe "paper" in 50 epochs. Or a torch module of your own that takes float32
        samples × genes (those of `mask_var`, in their order, in the units of the layer) and gives
        logits: the generator has to convince it, and it gives the predicted classes of perturbed
        samples. The default classifier still tells the generator the class of each sample.
    classes
        Labels in the order of the logits of your own module.
    recipe
        `"transport"`: transport between the distributions of classes; or `"paper"`: networks,
        losses and learning rates of the paper, one target. For other options than the defaults,
        :class:`~scgan_perturb.tl.Transport` or :class:`~scgan_perturb.tl.Paper`.
    layer
        Layer to read; None for `adata.X`.
    mask_var
        Boolean column of `adata.var` that marks the genes to perturb; None for all.
    held_out
        Share of each class kept out of training, or a column of `adata.obs` that says
        `"train"` or `"test"` for each sample. A classifier fitted with the same share lends
        its split.
    checkpoint
        Folder for the state of training, of the classifier and of the generator of recipe
        "paper"; created if missing. The same call again resumes where the last one was stopped,
        even if it was killed, and ends with the same bits on a CPU; a state of other data or
        settings is refused. A fit that trains neither, of recipe "transport" with a classifier
        that is there, warns that the folder is not used. None for no checkpoint.
    fabric
        What trains: a :class:`lightning_fabric.Fabric`, or a dict of its options `accelerator`,
        `precision`, `devices`, `num_nodes` and `strategy`, such as `{"devices": 4}`. None trains on
        one GPU where there is one. Unless given, `precision` is the faster one of `"32-true"` and
        `"bf16-mixed"`. Several processes give the result of one, up to
        rounding; the docs say how to start them on a cluster.
    rng
        Seed or generator; None for another result each time. A split that a classifier lends
        stays that of the classifier.
    key_added
        Name of the result; None for `"tspg"` with the layer `"xadv"`.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.layers['xadv' | key_added]` : :class:`numpy.ndarray` or :class:`scipy.sparse.csr_matrix` (dtype float32)
        Perturbed expression, samples × genes, in the units of the input. Genes outside
        `mask_var` and samples outside `source` are unchanged. CSR by recipe "transport" where the
        input in memory is sparse. An array of the file, or a Dask array, where the input is one;
        of a Dask array the next two fields are left out.
    `adata.obs['tspg_split' | f'{key_added}_split']` : :class:`pandas.Series` (category)
        Whether a sample could train (`train`) or was held out (`test`).
    `adata.obs['tspg_predicted' | f'{key_added}_predicted']` : :class:`pandas.Series` (category)
        The class that f gives the perturbed sample; missing for samples outside `source`.
    `adata.obs['tspg_target_probability' | f'{key_added}_target_probability']` : :class:`pandas.Series` (dtype float32)
        The probability that f gives the target for the perturbed sample.
    `adata.uns['tspg' | key_added]` : :class:`dict`
        `params`, `genes`, `classes`, `scale_min`, `scale_max`, `target_mean` and `target_means`
        (input units), `weights` of generator and classifier, and `history`, see
        :func:`~scgan_perturb.get.history`.

    Where a classifier was fitted, also the fields that :func:`fit_classifier` sets.

    Raises
    ------
    KeyError
        If a column, layer, mask or named classifier is not there.
    ValueError
        If the target is not a class or has fewer than two training samples, targets are too many
        for the recipe, labels are missing or all the same, values are NaN or infinite, gene names
        repeat, no genes are left, or the checkpoint is damaged or of another fit.
    FloatingPointError
        If a loss of the classifier or of recipe "paper" becomes NaN or infinite.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> adata.layers["xadv"].shape
    (700, 765)
    """
    from ..engine._device import accelerator_of, resolve_fabric  # noqa: PLC0415 (torch takes seconds)
    from ..models._module_classifier import check_module, module_classifier  # noqa: PLC0415
    from ..training._fit import Fit, check_context, check_targets, fit_generator  # noqa: PLC0415
    from ..training._fit_classifier import fit_classifier_on  # noqa: PLC0415

    keys = tspg_keys(key_added)
    written = (keys.split, keys.predicted, keys.probability)
    check_names(keys.uns, groupby, written=written, layer=layer, output=keys.layer)
    check_checkpoint(checkpoint)
    module = check_module(classifier, classes)
    names = classifier_keys(_classifier_name(classifier, keys))
    recipe = resolve_recipe(recipe)
    context = () if context is None else tuple(map(str, several(context)))
    check_context(recipe.name, context)
    options = without_none(groupby=groupby, layer=layer, mask_var=mask_var, held_out=held_out)
    options["seed"] = resolve_seed(rng)
    launched = resolve_fabric(fabric)
    accelerator, fabric = accelerator_of(fabric), launched
    options["seed"] = fabric.broadcast(options["seed"])

    adata = copy_if_asked(adata, copy=copy)
    reader = Reader(adata, layer, groupby=groupby, context=context, mask_var=mask_var)
    check_writers(reader.matrix, fabric)
    check_fit_names(adata, keys, reader.matrix, keep=held_out)
    held_out = split_to_use(reader, names.uns, held_out)
    split_seed = spawn_seeds(options["seed"]).split
    data = read_training_data(reader, held_out=held_out, seed=split_seed, fabric=fabric)

    roles = assign_roles(data, target, source)
    check_targets(recipe.name, len(roles.targets))

    frozen, new_history = stored_classifier(data, names.uns, options), None
    if frozen is None:
        check_fit_names(adata, names, reader.matrix, keep=held_out)
        defaults: dict[str, Any] = {"batch_size": BATCH_SIZE}
        if recipe.name == PAPER:
            defaults["max_epochs"] = CLASSIFIER_EPOCHS
        frozen, new_history = fit_classifier_on(data, defaults | options, fabric, checkpoint)
    else:
        warn_of_unused_checkpoint(checkpoint, names.uns, recipe.name)
    to_convince = None if module is None else module_classifier(module, frozen)

    params = recipe.params | options | _label_params(data, roles, source)
    fit = Fit(data, roles, frozen, to_convince or frozen, recipe, params, fabric, checkpoint)
    model, history = fit_generator(fit)

    job = Job(
        model,
        reader.positions,
        roles.perturbed,
        data.context_codes,
        fit={**model_to_parts(model), "history": history, IDENTITY: fit_identity(data)},
        columns={keys.split: split_column(data.is_train)},
        depends_on=(str(layer), data.summary.digest, str(source), str(context)),
        fabric=fabric,
        accelerator=accelerator,
        classifier=to_convince,
    )
    perturbed = output_for(reader, keys).write(job)
    if new_history is not None:
        write_classifier(adata, names, frozen, data, new_history, fabric)

    others = roles.held_out[data.labels[roles.held_out] != model.target_class]
    samples = "held-out samples of other classes"
    log_perturbation(keys, model, perturbed, others, samples, is_fit=True)
    return adata if copy else None


def _classifier_name(classifier: str | nn.Module, keys: TspgKeys) -> str:
    """The name of the classifier; ValueError if it is the name of the fit."""
    name = classifier if isinstance(classifier, str) else CLASSIFIER
    if keys.uns == name:
        msg = f"key_added={keys.uns!r} is the name of the classifier. Choose another name."
        raise ValueError(msg)
    return name


def _label_params(data: TrainingData, roles: Roles, source: object) -> dict[str, Any]:
    """The labels of a fit, as they are stored: the first target is the one that is applied."""
    targets = data.classes[roles.targets].astype(str).astype(object)
    labels: dict[str, Any] = {"target": targets[0], "targets": targets}
    if source is not None:
        labels["source"] = data.classes[resolve_classes(source, data.classes, what="source")]
    if data.reader.context:
        labels["context"] = np.array(data.reader.context, dtype=object)
        labels["contexts"] = data.contexts
        labels["n_train"] = data.n_train
    return labels
