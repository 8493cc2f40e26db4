"""A fitted generator as plain arrays, which an AnnData or a folder can store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._messages import examples
from .._recipes import PAPER
from ..data._contexts import context_codes
from ..data._labels import find_label, label_text, single
from ._files import load_parts, save_parts
from ._fitted_classifier import (
    FittedClassifier,
    Weights,
    as_floats,
    check_expression,
    classifier_from_parts,
    classifier_to_parts,
    prefixed,
    unprefixed,
)
from ._old_fits import check_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from ..data._blocks import Matrix
    from ..data._scaling import GeneScaler
    from ..networks._perturber import TransportPerturber
    from ._apply import Block
    from ._module_classifier import ModuleClassifier

GENERATOR = "generator."
N_DRAWS_EXPECTED = 16  # their mean has a quarter of the spread of one draw


@dataclass(frozen=True)
class PerturbationModel:
    """A fitted generator: perturbs expression towards its target.

    :func:`~scgan_perturb.get.model` and :meth:`load` return it.

    Parameters
    ----------
    classifier
        The target model, with genes, gene ranges and classes.
    target_means
        Mean expression of each target's training samples, input units, n_targets × n_genes.
    weights
        Weights of the generator, float32 arrays by name.
    params
        Settings of the fit, the target among them.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> model = sp.get.model(adata)
    >>> model.perturb(adata.X[:3]).shape
    (3, 765)
    """

    classifier: FittedClassifier
    target_means: np.ndarray = field(repr=False)
    weights: Weights = field(repr=False)
    params: dict[str, Any]

    @property
    def target(self) -> str:
        """Label that samples are perturbed towards."""
        return str(self.params["target"])

    @property
    def targets(self) -> tuple[str, ...]:
        """Labels that samples can be perturbed towards, see :meth:`towards`."""
        return tuple(map(str, np.atleast_1d(self.params.get("targets", self.target))))

    @property
    def target_mean(self) -> np.ndarray:
        """Mean expression of the target's training samples, input units, n_genes."""
        return self.target_means[self.targets.index(self.target)]

    def towards(self, target: object) -> PerturbationModel:
        """The same model, perturbing towards another of its targets.

        Raises
        ------
        ValueError
            If the model was not fitted for this target.
        """
        position = find_label(single(target, "target"), self.targets)
        if position < 0:
            msg = (
                f"The model was fitted for target {examples(self.targets)}, not "
                f"{label_text(target)!r}. Fit one with sp.tl.fit_tspg(adata, groupby, [target, ...])."
            )
            raise ValueError(msg)
        return replace(self, params={**self.params, "target": self.targets[position]})

    @property
    def context(self) -> tuple[str, ...]:
        """Columns of `obs` with what stays as it is; empty without."""
        return tuple(map(str, np.atleast_1d(self.params.get("context", []))))

    @property
    def contexts(self) -> np.ndarray:
        """Names of the contexts that trained: values of these columns, joined by " / "."""
        return np.atleast_1d(np.asarray(self.params.get("contexts", []), dtype=object))

    def context_codes(
        self, context: Sequence[object] | np.ndarray | None, n_samples: int
    ) -> np.ndarray:
        """Positions of contexts in :attr:`contexts`; -1 of those that did not train.

        ValueError if contexts are missing, or their number is not that of the samples.
        """
        return context_codes(context, self.context, self.contexts, n_samples)

    @property
    def genes(self) -> np.ndarray:
        """Names of the genes, in the order of the columns."""
        return self.classifier.genes

    @property
    def scaler(self) -> GeneScaler:
        """Range of each gene over the training samples."""
        return self.classifier.scaler

    @property
    def target_class(self) -> int:
        """Position of the target among the classes."""
        return int(np.flatnonzero(self.classifier.classes == self.target)[0])

    def network(self, classifier: FittedClassifier | ModuleClassifier | None = None) -> nn.Module:
        """Scaled samples and keys to perturbed samples and logits; on the CPU, frozen.

        The logits are those of the classifier to convince; None for that of the model.
        """
        from ._perturber_of import perturber_of  # noqa: PLC0415 (a stored model can be read without torch)

        return perturber_of(
            self.classifier,
            classifier or self.classifier,
            self.weights,
            self.params,
            n_contexts=max(len(self.contexts), 1),
            targets=self.targets,
        )

    def perturb(
        self,
        expression: Matrix,
        *,
        context: Sequence[str] | np.ndarray | None = None,
        accelerator: str | torch.device = "auto",
    ) -> np.ndarray:
        """x_adv in input units (paper, section 2.2).

        With recipe "transport" it is one draw, which depends on the seed of the fit and on the
        sample's own values: a sample has the same result in any company. Values beyond the training
        range are clipped to it; genes that were constant in training are returned unchanged.

        Parameters
        ----------
        expression
            Samples × `genes`, in input units, dense or sparse.
        context
            The context of each sample, if the model was fitted with `context`: one of
            :attr:`contexts`. A sample of another one gets the effect of the most similar one.
        accelerator
            Lightning Fabric accelerator.

        Returns
        -------
        float32 array of samples × `genes`, input units.

        Raises
        ------
        ValueError
            If the number of genes differs, a value is NaN or infinite, or contexts are missing.
        """
        expression = check_expression(expression, len(self.genes))
        codes = self.context_codes(context, expression.shape[0])
        result = np.empty(expression.shape, dtype=np.float32)
        for block in self.perturb_blocks(expression, codes, accelerator=accelerator):
            result[block.rows] = block.expression
        return result

    def expected(
        self,
        expression: Matrix,
        *,
        context: Sequence[str] | np.ndarray | None = None,
        n_draws: int = N_DRAWS_EXPECTED,
        accelerator: str | torch.device = "auto",
    ) -> np.ndarray:
        """Mean of the perturbed samples over draws: what to expect, where x_adv is one draw.

        Recipe "paper" draws nothing: its result is that of :meth:`perturb`.

        Parameters
        ----------
        expression, context, accelerator
            As for :meth:`perturb`, as are the errors.
        n_draws
            Number of draws.

        Returns
        -------
        float32 array of samples × `genes`, input units.
        """
        from ._apply import expected_blocks  # noqa: PLC0415

        if self.params.get("recipe") == PAPER:
            return self.perturb(expression, accelerator=accelerator)
        expression = check_expression(expression, len(self.genes))
        codes = self.context_codes(context, expression.shape[0])
        network = cast("TransportPerturber", self.network())
        parts = expected_blocks(network, self.scaler, expression, codes, accelerator, n_draws)
        return np.concatenate([*parts, np.empty((0, len(self.genes)), np.float32)])

    def perturb_blocks(
        self,
        expression: Matrix,
        context_codes: np.ndarray,
        *,
        accelerator: str | torch.device = "auto",
        classifier: FittedClassifier | ModuleClassifier | None = None,
    ) -> Iterator[Block]:
        """Like :meth:`perturb`, a block at a time, with class probabilities.

        The probabilities are those of the classifier to convince; None for that of the model.
        """
        from ._apply import perturb_blocks  # noqa: PLC0415

        return perturb_blocks(
            self.network(classifier), self.scaler, expression, context_codes, accelerator
        )

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `weights.safetensors` into a folder, which is created if needed."""
        save_parts(model_to_parts(self), folder)

    @classmethod
    def load(cls, folder: str | Path) -> PerturbationModel:
        """Read a model that :meth:`save` wrote; nothing in the files is executed.

        Raises
        ------
        FileNotFoundError
            If the folder lacks one of the two files.
        ValueError
            If a file is damaged or does not fit the other.
        """
        return load_parts(folder, _checked_model)


def model_to_parts(model: PerturbationModel) -> dict[str, Any]:
    """A model as a dict to store: its classifier, target means and generator."""
    parts = classifier_to_parts(model.classifier)
    return {
        **parts,
        "params": model.params,
        "target_mean": model.target_mean,
        "target_means": model.target_means,
        "weights": {**prefixed(GENERATOR, model.weights), **parts["weights"]},
    }


def model_from_parts(parts: Mapping[str, Any]) -> PerturbationModel:
    """Inverse of :func:`model_to_parts`; ValueError if a part is missing or does not fit.

    OldFitError if version 0.1.0 fitted the model by recipe "transport".
    """
    classifier = classifier_from_parts(parts)
    try:
        model = PerturbationModel(
            classifier,
            as_floats(parts["target_means"]),
            unprefixed(GENERATOR, parts["weights"]),
            classifier.params,
        )
        fits = model.target in model.targets and set(model.targets) <= set(classifier.classes)
        fits &= model.target_means.shape == (len(model.targets), len(model.genes))
        fits &= bool(np.isfinite(model.target_means).all())
        if model.context:
            shape = (len(classifier.classes), len(model.contexts))
            fits &= np.shape(model.params["n_train"]) == shape
        check_version(model.params, model.weights)
        # The transport generator stores the positions of the targets as well.
        if fits and "targets" in model.weights:
            positions = [list(classifier.classes).index(name) for name in model.targets]
            fits = np.array_equal(model.weights["targets"], positions)
    except (LookupError, TypeError) as error:
        msg = f"Not a stored model: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not fits:
        msg = (
            "Not a stored model: its targets are not classes, or targets or contexts lack numbers."
        )
        raise ValueError(msg)
    return model


def _checked_model(parts: Mapping[str, Any]) -> PerturbationModel:
    """A model; ValueError if its weights do not fit its networks."""
    model = model_from_parts(parts)
    model.network()
    return model
