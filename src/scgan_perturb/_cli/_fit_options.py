"""Options of the command `fit` for the objects that `sp.tl.fit_tspg` takes: recipe and fabric."""

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
        Lightning Fabric accelerator: `"auto"`, `"cpu"`, `"cuda"`.
    precision
        Precision of dense layers in training.
    devices
        Number of devices of each machine that train together.
    num_nodes
        Number of machines that train together.
    strategy
        Lightning Fabric strategy.
    """

    accelerator: str = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp"] = "auto"


def recipe_options() -> dict[str, Option]:
    """The options of all recipes. The default of each names the recipe that it belongs to."""
    found: dict[str, Option] = {}
    for recipe in RECIPES.values():
        for name, option in options_of(recipe).items():
            default = f"{recipe.name}: {option.default}"
            earlier = found.get(name, option._replace(default=""))
            found[name] = earlier._replace(default=f"{earlier.default}; {default}".lstrip("; "))
    return found


def fit_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `sp.tl.fit_tspg`, with a recipe object and the dict `fabric`."""
    recipe, of_recipes, of_engine = (
        RECIPES[options.get("recipe", TRANSPORT)],
        recipe_options(),
        options_of(Engine),
    )
    given = {name: value for name, value in options.items() if name in of_recipes}
    for name in given.keys() - options_of(recipe).keys():
        msg = f"{option_name(name)} is not an option of recipe {recipe.name!r}; leave it out."
        raise ValueError(msg)
    engine = {name: value for name, value in options.items() if name in of_engine}
    taken = {*of_recipes, *of_engine}
    arguments = {name: value for name, value in options.items() if name not in taken}
    arguments |= {"recipe": recipe(**given)} if given else {}
    return arguments | ({"fabric": engine} if engine else {})
