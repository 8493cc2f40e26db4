"""A fitted classifier as plain arrays, which an AnnData can store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ..data._blocks import blocks, is_finite
from ..data._scaling import GeneScaler

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from ..data._blocks import Matrix
    from ..data._matrix import ExpressionMatrix

Weights = dict[str, np.ndarray]
CLASSIFIER = "classifier."


@dataclass(frozen=True)
class FittedClassifier:
    """The target model f with the genes, ranges and classes it was trained on."""

    genes: np.ndarray = field(repr=False)  # in the order of the columns
    classes: np.ndarray  # in the order of the logits
    scaler: GeneScaler = field(repr=False)  # ranges over the training samples
    weights: Weights = field(repr=False)
    params: dict[str, Any] = field(default_factory=dict)  # text, numbers, bools, arrays of text

    def network(self) -> nn.Module:
        """Classifier f on the CPU, frozen, in evaluation mode."""
        import torch  # noqa: PLC0415 (a stored model can be read without torch)

        from ..networks._networks import Classifier, from_arrays  # noqa: PLC0415

        with torch.device("meta"):
            network = Classifier(int(self.scaler.varying.sum()), len(self.classes))
        return from_arrays(network, self.weights)

    def predict_proba(
        self, expression: Matrix, *, accelerator: str | torch.device = "auto"
    ) -> np.ndarray:
        """Class probabilities, float32 of samples × classes, for samples × genes in input units."""
        from ._apply import predict_probabilities  # noqa: PLC0415

        expression = check_expression(expression, len(self.genes))
        return predict_probabilities(
            self.network(), self.scaler, len(self.classes), expression, accelerator
        )

    def predict(
        self,
        expression: ExpressionMatrix | Matrix,
        *,
        rows: slice | None = None,
        accelerator: str | torch.device = "auto",
    ) -> np.ndarray:
        """Positions of the likeliest classes of some samples; checks nothing, for data on disk."""
        from ._apply import predict_classes  # noqa: PLC0415

        rows = slice(0, expression.shape[0]) if rows is None else rows
        return predict_classes(self.network(), self.scaler, expression, rows, accelerator)


def check_expression(expression: Matrix, n_genes: int) -> Matrix:
    """The expression as an array or CSR; ValueError for other genes, NaN or infinite values."""
    is_sparse = sparse.issparse(expression)
    expression = sparse.csr_matrix(expression) if is_sparse else np.asarray(expression)
    if np.ndim(expression) != 2 or expression.shape[1] != n_genes:
        msg = (
            f"The expression must be samples × {n_genes:,} genes, not of shape {expression.shape}."
        )
        raise ValueError(msg)
    if not all(is_finite(expression[rows]) for rows in blocks(expression.shape[0])):
        msg = "The expression holds NaN or infinite values; fill or remove them first."
        raise ValueError(msg)
    return expression


def classifier_to_parts(classifier: FittedClassifier) -> dict[str, Any]:
    """A classifier as a dict to store."""
    return {
        "params": classifier.params,
        "genes": classifier.genes,
        "classes": classifier.classes,
        "scale_min": classifier.scaler.minimum,
        "scale_max": classifier.scaler.maximum,
        "weights": prefixed(CLASSIFIER, classifier.weights),
    }


def classifier_from_parts(parts: Mapping[str, Any]) -> FittedClassifier:
    """Inverse of :func:`classifier_to_parts`; ValueError if a part is missing or does not fit."""
    try:
        genes = as_names(parts["genes"])
        is_count = bool(parts["params"].get("counts", False))
        scaler = GeneScaler(as_floats(parts["scale_min"]), as_floats(parts["scale_max"]), is_count)
        classifier = FittedClassifier(
            genes,
            as_names(parts["classes"]),
            scaler,
            unprefixed(CLASSIFIER, parts["weights"]),
            dict(parts["params"]),
        )
    except (LookupError, TypeError, AttributeError) as error:
        msg = f"Not a stored model: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not genes.shape == scaler.minimum.shape == scaler.maximum.shape:
        msg = "Not a stored model: its genes and their ranges differ in number."
        raise ValueError(msg)
    if not (np.isfinite(scaler.minimum) & np.isfinite(scaler.maximum)).all():
        msg = "Not a stored model: a gene's range is NaN or infinite."
        raise ValueError(msg)
    for what, names in (("genes", genes), ("classes", classifier.classes)):
        if len(set(names)) < len(names):
            msg = f"Not a stored model: its {what} are not all different."
            raise ValueError(msg)
    for name, default in (("groupby", None), ("layer", "X")):
        if not isinstance(classifier.params.get(name, default), str):
            msg = f"Not a stored model: its {name} is no name."
            raise ValueError(msg)
    return classifier


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: array for name, array in weights.items()}


def unprefixed(prefix: str, weights: Mapping[str, Any]) -> Weights:
    return {
        n.removeprefix(prefix): as_floats(a) for n, a in weights.items() if n.startswith(prefix)
    }


def as_names(values: Any) -> np.ndarray:
    return np.array([str(value) for value in values], dtype=object)


def as_floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)
