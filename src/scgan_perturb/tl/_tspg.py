"""Fit the transcriptome state perturbation generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .._keys import CLASSIFIER, classifier_keys, tspg_keys
from .._messages import logger
from .._settings import settings
from ..data._expression import dense, read_expression
from ..data._labels import several
from ..data._rows import ScaledRows
from ..data._training_data import read_training_data
from ..models._device import open_fabric
from ..models._fitted import PerturbationModel
from ..models._losses import LossWeights
from ..models._networks import to_arrays
from ..models._parts import model_to_parts
from ..models._target import TargetDistribution
from ..models._train_tspg import TspgOptions, TspgTrainer, train_tspg
from ._apply import apply_model, write_perturbed
from ._arguments import check_count, check_names, check_number
from ._classifier import history_frame, share, split_column, write_classifier
from ._reuse import classifier_for, held_out_to_use
from ._roles import assign_roles
from ._seeds import Rng, resolve_seed, spawn_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pandas as pd
    from anndata import AnnData

    from .._keys import TspgKeys
    from ..data._training_data import TrainingData
    from ..models._fitted import FittedClassifier
    from ._apply import Perturbed
    from ._roles import Roles

MAX_EPOCHS = 150
BATCH_SIZE = 128
RECIPES = ("paper",)


def fit_tspg(
    adata: AnnData,
    groupby: str,
    target: object,
    *,
    source: object | Sequence[object] | None = None,
    classifier: str = CLASSIFIER,
    recipe: Literal["paper"] = "paper",
    layer: str | None = None,
    mask_var: str | None = None,
    held_out: float | str = 0.2,
    max_epochs: int = MAX_EPOCHS,
    batch_size: int = BATCH_SIZE,
    weight_gan: float = 1.0,
    weight_adv: float = 1.0,
    weight_norm: float = 1.0,
    weight_td: float = 1.0,
    kappa: float = 0.0,
    shrinkage: float | Literal["ledoit-wolf"] = 0.0,
    accelerator: str = "auto",
    rng: Rng = 0,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Fit a generator that perturbs samples towards a target label, and apply it to all samples.

    The transcriptome state perturbation generator (paper, section 2.2): a generator G proposes
    a perturbation for each sample, a discriminator D asks that the result look real, the frozen
    classifier f that it be called the target (equations 1 to 5).

    Parameters
    ----------
    adata
        Normalised expression, samples × genes; dense or sparse.
    groupby
        Column of `adata.obs` with the labels.
    target
        Label to perturb towards.
    source
        Label or labels whose samples train and are perturbed; None for all samples.
    classifier
        Name in `adata.uns` of the classifier to convince. The default is fitted where it is
        missing or does not fit these labels, genes and values.
    recipe
        `"paper"`: networks, losses and learning rates of the paper.
    layer
        Layer to read; None for `adata.X`.
    mask_var
        Boolean column of `adata.var` that marks the genes to perturb; None for all.
    held_out
        Share of each class kept out of training, or a column of `adata.obs` that says
        `"train"` or `"test"` for each sample. A classifier fitted with the same share lends
        its split.
    max_epochs
        Passes over the training samples.
    batch_size
        Samples a step, at most.
    weight_gan, weight_adv, weight_norm, weight_td
        Weights of the generator's loss terms (equations 1 to 4).
    kappa
        Lead over the best other class, in logits, that G is asked for (equation 2).
    shrinkage
        Share by which the target's covariance is shrunk towards a multiple of the identity,
        for targets with few samples; `"ledoit-wolf"` estimates it.
    accelerator
        Device as Lightning Fabric names them: `"auto"`, `"cpu"`, `"cuda"`, `"mps"`.
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

    `adata.layers['xadv' | key_added]` : :class:`numpy.ndarray` (dtype float32)
        Perturbed expression, samples × genes, in the units of the input. Genes outside
        `mask_var` and samples outside `source` are unchanged.
    `adata.obs['tspg_split' | f'{key_added}_split']` : :class:`pandas.Series` (category)
        Whether a sample could train (`train`) or was held out (`test`).
    `adata.obs['tspg_predicted' | f'{key_added}_predicted']` : :class:`pandas.Series` (category)
        The class that f gives the perturbed sample; missing for samples outside `source`.
    `adata.obs['tspg_target_probability' | f'{key_added}_target_probability']` : :class:`pandas.Series` (dtype float32)
        The probability that f gives the target for the perturbed sample.
    `adata.uns['tspg' | key_added]` : :class:`dict`
        `params`, `genes`, `classes`, `scale_min`, `scale_max` and `target_mean` (input units),
        `weights` of generator and classifier, and `history`, a row an epoch.

    Where a classifier was fitted, also the fields that :func:`fit_classifier` sets.

    Raises
    ------
    KeyError
        If a column, layer, mask or named classifier is not there.
    ValueError
        If the target is not a class or has fewer than two training samples, labels are missing
        or all the same, values are NaN or infinite, gene names repeat, or no genes are left.
    FloatingPointError
        If a loss becomes NaN or infinite.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> adata.layers["xadv"].shape
    (700, 765)
    """
    keys = tspg_keys(key_added)
    check_names(
        keys.uns,
        groupby,
        written=(keys.split, keys.predicted, keys.probability),
        layer=layer,
        output=keys.layer,
    )
    if keys.uns == classifier:
        msg = f"key_added={key_added!r} is the name of the classifier. Choose another one."
        raise ValueError(msg)
    params = fit_params(
        groupby=groupby,
        target=target,
        source=source,
        recipe=recipe,
        layer=layer,
        mask_var=mask_var,
        held_out=held_out,
        max_epochs=max_epochs,
        batch_size=batch_size,
        weight_gan=weight_gan,
        weight_adv=weight_adv,
        weight_norm=weight_norm,
        weight_td=weight_td,
        kappa=kappa,
        shrinkage=shrinkage,
        seed=resolve_seed(rng),
    )
    adata = adata.copy() if copy else adata
    data = read_training_data(
        adata,
        groupby,
        layer=layer,
        mask_var=mask_var,
        held_out=held_out_to_use(adata, classifier, groupby, held_out),
        seed=spawn_seeds(params["seed"]).split,
    )
    roles = assign_roles(data, target, source)
    frozen, new_history = classifier_for(adata, classifier, data, params, accelerator)
    model, history = fit_generator(data, roles, frozen, params, accelerator)
    perturbed = apply_model(
        model, read_expression(adata, layer), data.positions, roles.perturbed, accelerator
    )
    if new_history is not None:
        write_classifier(adata, classifier_keys(classifier), frozen, data, new_history, accelerator)
    write_perturbed(adata, keys, perturbed)
    adata.obs[keys.split] = split_column(data.is_train)
    adata.uns[keys.uns] = {**model_to_parts(model), "history": history}
    log_fit(keys, model, perturbed, roles)
    return adata if copy else None


def fit_params(*, target: object, source: object, recipe: str, **params: Any) -> dict[str, Any]:
    """The parameters of a fit, checked as far as they can be without the data, as stored."""
    if recipe not in RECIPES:
        msg = f"recipe must be one of {', '.join(map(repr, RECIPES))}, not {recipe!r}."
        raise ValueError(msg)
    check_count("max_epochs", params["max_epochs"])
    check_count("batch_size", params["batch_size"], least=2)
    for name in ("weight_gan", "weight_adv", "weight_norm", "weight_td", "kappa"):
        check_number(name, params[name], least=0)
    if params["shrinkage"] != "ledoit-wolf":
        check_number("shrinkage", params["shrinkage"], least=0, most=1)
    stored = {"target": str(target), "recipe": recipe, **params}
    if source is not None:
        stored["source"] = np.array([str(label) for label in several(source)], dtype=object)
    return {name: value for name, value in stored.items() if value is not None}


def fit_generator(
    data: TrainingData,
    roles: Roles,
    frozen: FittedClassifier,
    params: dict[str, Any],
    accelerator: str,
) -> tuple[PerturbationModel, pd.DataFrame]:
    """Train the generator; returns the model and its history, a row an epoch."""
    fabric = open_fabric(accelerator)

    def scaled(rows: np.ndarray) -> ScaledRows:
        return ScaledRows(data.expression, rows, data.scaler, fabric.device)

    target_samples = scaled(roles.target)
    trainer = TspgTrainer(
        TargetDistribution(target_samples.all(), params["shrinkage"]),
        fabric.to_device(frozen.network()),
        roles.target_class,
        n_genes=target_samples.n_genes,
        options=TspgOptions(
            max_epochs=params["max_epochs"],
            batch_size=params["batch_size"],
            kappa=params["kappa"],
            weights=LossWeights(
                *(params[f"weight_{term}"] for term in ("gan", "adv", "norm", "td"))
            ),
        ),
        seed=spawn_seeds(params["seed"]).tspg,
        fabric=fabric,
    )
    rows = scaled(roles.train)
    network, history = train_tspg(
        trainer,
        rows,
        rows if len(roles.real) == len(roles.train) else scaled(roles.real),
        scaled(roles.held_out),
        description=f"to {params['target']}",
        progress_bar=settings.progress_bar,
    )
    target_mean = dense(data.expression[roles.target]).mean(axis=0)
    return PerturbationModel(frozen, target_mean, to_arrays(network), params), history_frame(
        history
    )


def log_fit(keys: TspgKeys, model: PerturbationModel, perturbed: Perturbed, roles: Roles) -> None:
    """Say how often the classifier is convinced, and what was written."""
    logger.info(
        "Perturbation to %s: the classifier calls %s %s once perturbed. That alone does not make "
        "them real: compare them with real %s samples.\n"
        "    added: adata.layers[%r], adata.obs[%r], adata.obs[%r], adata.obs[%r], adata.uns[%r]",
        model.target,
        share(
            perturbed.predicted[roles.held_out] == model.target, "held-out samples of other classes"
        ),
        model.target,
        model.target,
        keys.layer,
        keys.split,
        keys.predicted,
        keys.probability,
        keys.uns,
    )
