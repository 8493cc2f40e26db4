"""The recipes of a fit and their options. Imports nothing slow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from ._checks import check_count, check_number
from ._messages import check_choice

TRANSPORT, PAPER = "transport", "paper"
BATCH_SIZE = 128
CLASSIFIER_EPOCHS = 50  # of the paper's classifier, and of others at most


class _Recipe:
    """Checks and stored form of both recipes."""

    name: ClassVar[str]
    most: ClassVar[dict[str, float]]  # upper limits of options that have one
    counts: ClassVar[dict[str, int]] = {}  # options that are counts, with their lower limits

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():  # type: ignore[call-overload]
            if name in self.counts:
                check_count(name, value, least=self.counts[name])
            elif value != "ledoit-wolf":
                upper = {"most": self.most[name]} if name in self.most else {}
                check_number(name, value, least=0, **upper)

    @property
    def params(self) -> dict[str, Any]:
        """The recipe as a fit stores it: its name and its options."""
        return {"recipe": self.name, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True, kw_only=True)
class Transport(_Recipe):
    """Options of recipe "transport": transport between the distributions of classes.

    Nothing is trained but the classifier: the distributions are estimated from the training
    samples. A trained correction, with a discriminator or without, made samples no more real;
    the docs show what was tried.

    Parameters
    ----------
    sparsity
        Share of the genes that stay unchanged, below 1: those that the transport moves least,
        for each target. A higher share makes samples less real; the docs say by how much.

    Raises
    ------
    ValueError
        If an option is not a number in its range.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(sparsity=0.5))
    >>> adata.uns["tspg"]["params"]["sparsity"]
    0.5
    """

    sparsity: float = 0.0

    name: ClassVar[str] = TRANSPORT
    most: ClassVar[dict[str, float]] = {"sparsity": 0.999}


@dataclass(frozen=True, kw_only=True)
class Paper(_Recipe):
    """Options of recipe "paper": the published generator and discriminator, for one target.

    Parameters
    ----------
    weight_gan
        Weight of the discriminator's term (paper, equation 1).
    weight_adv
        Weight of the classifier's term (equation 2).
    weight_norm
        Weight of the size of the perturbation (equation 3).
    weight_td
        Weight of the distance to a draw of the target's distribution (equation 4).
    kappa
        Margin in logits over the best other class, beyond which the classifier's term is constant.
    shrinkage
        Share by which the target's covariance is shrunk towards a multiple of the identity, for
        targets with few samples. `"ledoit-wolf"` estimates the share.
    max_epochs
        Number of passes over the training samples.
    batch_size
        Largest number of samples in a batch.

    Raises
    ------
    ValueError
        If an option is not a number in its range.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> recipe = sp.tl.Paper(shrinkage="ledoit-wolf", max_epochs=2)
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=recipe)
    >>> adata.uns["tspg"]["params"]["recipe"]
    'paper'
    """

    weight_gan: float = 1.0
    weight_adv: float = 1.0
    weight_norm: float = 1.0
    weight_td: float = 1.0
    kappa: float = 0.0
    shrinkage: float | Literal["ledoit-wolf"] = 0.0
    max_epochs: int = 150
    batch_size: int = BATCH_SIZE

    name: ClassVar[str] = PAPER
    most: ClassVar[dict[str, float]] = {"shrinkage": 1}
    counts: ClassVar[dict[str, int]] = {"max_epochs": 1, "batch_size": 2}


RECIPES: dict[str, type[Transport | Paper]] = {TRANSPORT: Transport, PAPER: Paper}


def resolve_recipe(recipe: str | Transport | Paper) -> Transport | Paper:
    """The recipe of this name with its defaults; a recipe object is returned unchanged."""
    if isinstance(recipe, (Transport, Paper)):
        return recipe
    if not isinstance(recipe, str):
        msg = f"recipe must be 'transport', 'paper', sp.tl.Transport(...) or sp.tl.Paper(...), not {recipe!r}."
        raise ValueError(msg)
    check_choice("recipe", recipe, RECIPES)
    return RECIPES[recipe]()
