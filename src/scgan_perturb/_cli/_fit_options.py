"""Options of the command `fit` that `sp.tl.fit_tspg` takes as objects: recipe and engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .._recipes import RECIPES, TRANSPORT
from ._options import Option, option_name, options_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Options of the dict `fabric`.

    Parameters
    ----------
    accelerator
        Device as Lightning Fabric names it: `"auto"`, `"cpu"`, `"cuda"`, `"mps"`.
    precision
        Precision of dense layers in training.
    devices
        Devices of a machine that train together.
    num_nodes
        Machines that train together.
    strategy
        How devices train together.
    """

    accelerator: str = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp"] = "auto"


def recipe_options() -> dict[str, Option]:
    """The options of all recipes, each with its default in every recipe that has it."""
    found: dict[str, Option] = {}
    for recipe in RECIPES.values():
        for name, option in options_of(recipe).items():
            default = f"{recipe.name}: {option.default}"
            earlier = found.get(name, option._replace(default=""))
            found[name] = earlier._replace(default=f"{earlier.default}; {default}".lstrip("; "))
    return found


def fit_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `sp.tl.fit_tspg`, with the recipe's object and the engine's dict.

    Raises
    ------
    ValueError
        If an option does not belong to the recipe.
    """
    recipe, of_recipes, of_engine = (
        RECIPES[options.get("recipe", TRANSPORT)],
        recipe_options(),
        options_of(Engine),
    )
    given = {name: value for name, value in options.items() if name in of_recipes}
    for name in given.keys() - options_of(recipe).keys():
        msg = f"{option_name(name)} is no option of recipe {recipe.name!r}; leave it out."
        raise ValueError(msg)
    engine = {name: value for name, value in options.items() if name in of_engine}
    taken = {*of_recipes, *of_engine}
    arguments = {name: value for name, value in options.items() if name not in taken}
    arguments |= {"recipe": recipe(**given)} if given else {}
    return arguments | ({"fabric": engine} if engine else {})
