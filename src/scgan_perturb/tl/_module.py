"""A torch module of the user's own, as the classifier to convince."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from ..models._module_classifier import ModuleClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models._fitted import FittedClassifier


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
    own: tuple[nn.Module, Sequence[object]], fitted: FittedClassifier
) -> ModuleClassifier:
    """The user's module, for the genes and classes of the fit."""
    module, labels = own
    return ModuleClassifier(
        module, labels, classes=fitted.classes, genes=fitted.genes, scaler=fitted.scaler
    )
