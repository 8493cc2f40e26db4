"""Fitted models as plain arrays: what is kept in an AnnData, saved to a folder, and applied."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import sparse

from .._messages import examples
from .._recipes import PAPER
from ..data._expression import blocks, is_finite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch
    from torch import nn

    from ..data._expression import Expression, Matrix
    from ..data._scaling import GeneScaler
    from ._apply import Block

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class FittedClassifier:
    """The target model f with the genes, ranges and classes it was trained on.

    Parameters
    ----------
    genes
        Names of the genes, in the order of the columns.
    classes
        Labels, in the order of the logits.
    scaler
        Range of each gene over the training samples.
    weights
        float32 arrays by name.
    params
        Settings of the fit: text, numbers, truth values, arrays of text.
    """

    genes: np.ndarray = field(repr=False)
    classes: np.ndarray
    scaler: GeneScaler = field(repr=False)
    weights: Weights = field(repr=False)
    params: dict[str, Any] = field(default_factory=dict)

    def network(self) -> nn.Module:
        """Classifier f on the CPU, frozen, in evaluation mode."""
        import torch  # noqa: PLC0415 (a stored model can be read without torch)

        from ._networks import Classifier, from_arrays  # noqa: PLC0415

        with torch.device("meta"):
            network = Classifier(int(self.scaler.varying.sum()), len(self.classes))
        return from_arrays(network, self.weights)

    def predict_proba(
        self, expression: Matrix, *, accelerator: str | torch.device = "auto"
    ) -> np.ndarray:
        """Class probabilities, float32 of samples × classes.

        Parameters
        ----------
        expression
            Samples × `genes`, in input units.
        accelerator
            Device, as Lightning Fabric names them.
        """
        from ._apply import predicted  # noqa: PLC0415

        expression = check_expression(expression, len(self.genes))
        return predicted(self.network(), self.scaler, len(self.classes), expression, accelerator)

    def predict(
        self,
        expression: Expression,
        *,
        rows: slice | None = None,
        accelerator: str | torch.device = "auto",
    ) -> np.ndarray:
        """Positions of the likeliest classes of all samples, or of some that are consecutive.

        The expression may be on disk, and is not checked.
        """
        from ._apply import called  # noqa: PLC0415

        rows = slice(0, expression.shape[0]) if rows is None else rows
        return called(self.network(), self.scaler, expression, rows, accelerator)


@dataclass(frozen=True)
class PerturbationModel:
    """A fitted generator: perturbs expression towards its target.

    Got from :func:`~scgan_perturb.get.model`, or read with :meth:`load`.

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
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
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
        if str(target) not in self.targets:
            msg = (
                f"The model was fitted for target {examples(self.targets)}, not {str(target)!r}. "
                "Fit one with sp.tl.fit_tspg(adata, groupby, [target, ...])."
            )
            raise ValueError(msg)
        return replace(self, params={**self.params, "target": str(target)})

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

    def network(self) -> nn.Module:
        """Scaled samples to perturbed ones and logits of f; on the CPU, frozen, for evaluation."""
        import torch  # noqa: PLC0415 (a stored model can be read without torch)

        from ._networks import Generator, from_arrays  # noqa: PLC0415
        from ._perturber import PaperPerturber, TransportPerturber  # noqa: PLC0415
        from ._transport_generator import TransportGenerator  # noqa: PLC0415

        n_genes = int(self.scaler.varying.sum())
        if self.params.get("recipe") == PAPER:
            with torch.device("meta"):
                generator: nn.Module = Generator(n_genes)
            return PaperPerturber(from_arrays(generator, self.weights), self.classifier.network())
        with torch.device("meta"):
            generator = TransportGenerator(
                n_genes,
                len(self.classifier.classes),
                len(self.targets),
                len(np.atleast_2d(self.weights.get("axes", ()))),
            )
        return TransportPerturber(
            cast("TransportGenerator", from_arrays(generator, self.weights)),
            self.classifier.network(),
            self.targets.index(self.target),
        )

    def perturb(
        self, expression: Matrix, *, accelerator: str | torch.device = "auto"
    ) -> np.ndarray:
        """x_adv = clip(x + G(x), 0, 1) in input units (paper, section 2.2).

        Values beyond the training range are clipped to it; genes that were constant in
        training are returned as they are.

        Parameters
        ----------
        expression
            Samples × `genes`, in input units, dense or sparse.
        accelerator
            Device, as Lightning Fabric names them.

        Returns
        -------
        float32 array of samples × `genes`, input units.

        Raises
        ------
        ValueError
            If the number of genes differs, or a value is NaN or infinite.
        """
        expression = check_expression(expression, len(self.genes))
        result = np.empty(expression.shape, dtype=np.float32)
        for block in self.perturb_blocks(expression, accelerator=accelerator):
            result[block.rows] = block.expression
        return result

    def perturb_blocks(
        self, expression: Matrix, *, accelerator: str | torch.device = "auto"
    ) -> Iterator[Block]:
        """What :meth:`perturb` gives, a block of samples at a time, with what f says of them."""
        from ._apply import perturbed  # noqa: PLC0415

        return perturbed(self.network(), self.scaler, expression, accelerator)

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `weights.safetensors` into a folder, made if need be."""
        from ._files import save_model  # noqa: PLC0415

        save_model(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> PerturbationModel:
        """Read what :meth:`save` wrote; nothing in the files is executed.

        Raises
        ------
        FileNotFoundError
            If the folder lacks one of the two files.
        ValueError
            If a file is damaged or does not fit the other.
        """
        from ._files import load_model  # noqa: PLC0415

        return load_model(folder)


def check_expression(expression: Matrix, n_genes: int) -> Matrix:
    """The expression as an array or CSR, if it is finite and of so many genes.

    Raises
    ------
    ValueError
        If the number of genes differs, or a value is NaN or infinite.
    """
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
