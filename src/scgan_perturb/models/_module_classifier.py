"""A user's classifier for the generator to convince, in place of the fitted one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .._messages import examples
from ..data._labels import find_label, label_text
from ._apply import predict_probabilities
from ._fitted_classifier import check_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..data._blocks import Matrix
    from ..data._scaling import GeneScaler
    from ._fitted_classifier import FittedClassifier


class ModuleClassifier:
    """A copy of a differentiable module, with the interface of a fitted classifier.

    The module maps float32 samples × genes in input units to logits, samples × labels. The labels
    include all `classes` of the fit. ValueError if not, or if the output has another shape or no
    gradient.
    """

    def __init__(
        self,
        module: nn.Module,
        labels: Sequence[object],
        *,
        classes: np.ndarray,
        genes: np.ndarray,
        scaler: GeneScaler,
    ) -> None:
        positions = [find_label(label, classes) for label in labels]
        names = [
            label_text(label) if i < 0 else str(classes[i])
            for i, label in zip(positions, labels, strict=True)
        ]
        if missing := [label for label in map(str, classes) if label not in names]:
            msg = (
                f"The classifier does not know {examples(missing)}; "
                f"its classes are {examples(names)}."
            )
            raise ValueError(msg)
        others = [label for label in names if label not in set(map(str, classes))]
        # The classes of the fit first, in their order, so that positions agree.
        self.classes = np.array([*map(str, classes), *others], dtype=object)
        self.genes, self.scaler = genes, scaler
        self._module = copy.deepcopy(module).cpu().eval().requires_grad_(False)
        self._order = [names.index(label) for label in self.classes]
        self._check(len(names))

    def network(self) -> nn.Module:
        """Scaled samples, varying genes only, to logits in the order of `classes`."""
        return _OnScaled(copy.deepcopy(self._module), self.scaler, self._order)

    def predict_proba(
        self, expression: Matrix, *, accelerator: str | torch.device = "auto"
    ) -> np.ndarray:
        """Class probabilities, float32 of samples × classes, of samples × genes in input units."""
        expression = check_expression(expression, len(self.genes))
        return predict_probabilities(
            self.network(), self.scaler, len(self.classes), expression, accelerator
        )

    def _check(self, n_labels: int) -> None:
        x = torch.rand(2, int(self.scaler.varying.sum()), requires_grad=True)
        network = _OnScaled(self._module, self.scaler, slice(None))
        try:
            logits = network(x)
        except RuntimeError as error:
            msg = f"The classifier cannot read samples × {len(self.genes):,} genes: {error}"
            raise ValueError(msg) from error
        if logits.shape != (2, n_labels):
            msg = (
                f"The classifier gives {tuple(logits.shape)} for 2 samples, not logits of "
                f"2 × {n_labels} classes."
            )
            raise ValueError(msg)
        if not logits.requires_grad:
            msg = (
                "The classifier has no gradient with respect to its input; G cannot learn from it."
            )
            raise ValueError(msg)


class _OnScaled(nn.Module):
    """Applies a module of input units to scaled samples of the varying genes."""

    low: torch.Tensor
    span: torch.Tensor
    columns: torch.Tensor

    def __init__(self, module: nn.Module, scaler: GeneScaler, order: list[int] | slice) -> None:
        super().__init__()
        self.module, self.order = module, order
        self.register_buffer("low", torch.from_numpy(scaler.minimum))
        self.register_buffer("span", torch.from_numpy(scaler.maximum - scaler.minimum))
        self.register_buffer("columns", torch.from_numpy(np.flatnonzero(scaler.varying)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled samples to logits."""
        whole = torch.zeros(len(x), len(self.low), device=x.device)
        # Genes that were constant in training keep that value.
        whole = whole.index_copy(1, self.columns, x)
        return self.module(whole * self.span + self.low)[:, self.order]


def check_module(
    classifier: str | nn.Module, classes: Sequence[object] | None
) -> tuple[nn.Module, Sequence[object]] | None:
    """A module with its classes, or None for the name of a fitted classifier."""
    if isinstance(classifier, nn.Module) and classes is not None:
        return classifier, classes
    if not isinstance(classifier, nn.Module) and classes is None:
        return None
    if classes is None:
        msg = "classifier is a module: name its labels, in the order of its logits, in classes=."
    else:
        msg = f"classes= belongs to a torch module in classifier=, which is {classifier!r}."
    raise ValueError(msg)


def module_classifier(
    given: tuple[nn.Module, Sequence[object]], fitted: FittedClassifier
) -> ModuleClassifier:
    """The user's module, for the genes and classes of the fit."""
    module, labels = given
    if fitted.scaler.is_count:
        msg = (
            "A classifier of your own cannot be used with counts, which are normalised within the "
            "fit. Normalise first: sc.pp.normalize_total(adata); sc.pp.log1p(adata)."
        )
        raise ValueError(msg)
    return ModuleClassifier(
        module, labels, classes=fitted.classes, genes=fitted.genes, scaler=fitted.scaler
    )
