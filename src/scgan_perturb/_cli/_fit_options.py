"""Options of the command `fit` that the function takes as objects: the recipe and the engine."""

from __future__ import annotations

import argparse
import ast
import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .._recipes import RECIPES, TRANSPORT
from ._options import Option, docstring_texts, option_help, option_name, option_reading

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGINE: dict[str, tuple[str, object, str]] = {
    "accelerator": ("str", "auto", "Device as Lightning Fabric names it: auto, cpu, cuda, mps."),
    "precision": (
        "Literal['auto', '32-true', 'bf16-mixed']",
        "auto",
        "Precision of dense layers in training.",
    ),
    "devices": ("int | Literal['auto']", 1, "Devices of a machine that train together."),
    "num_nodes": ("int", 1, "Machines that train together."),
    "strategy": ("Literal['auto', 'ddp']", "auto", "How devices train together."),
}


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the recipes and of the engine."""
    _add(parser, "options of the recipe", _recipe_options())
    engine = {name: _option(*described) for name, described in ENGINE.items()}
    _add(parser, "options of the engine", engine)


def gather_fit_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `sp.tl.fit_tspg`, with the recipe's object and the engine's dict.

    Raises
    ------
    ValueError
        If an option does not belong to the recipe.
    """
    recipe = RECIPES[options.get("recipe", TRANSPORT)]
    known, every = {field.name for field in fields(recipe)}, set(_recipe_options())
    given = {name: value for name, value in options.items() if name in every}
    for name in given:
        if name not in known:
            msg = f"{option_name(name)} is no option of recipe {recipe.name!r}; leave it out."
            raise ValueError(msg)
    fabric = {name: value for name, value in options.items() if name in ENGINE}
    others = {n: v for n, v in options.items() if n not in {*every, *ENGINE, "recipe"}}
    recipes = {"recipe": recipe(**given)} if given or "recipe" in options else {}
    return others | recipes | ({"fabric": fabric} if fabric else {})


def _add(parser: argparse.ArgumentParser, title: str, options: Mapping[str, Option]) -> None:
    group = parser.add_argument_group(title)
    for name, option in options.items():
        reading = option_reading(option.annotation)
        text = option_help(name, option, reading).replace("%", "%%")
        group.add_argument(option_name(name), default=argparse.SUPPRESS, help=text, **reading)


def _recipe_options() -> dict[str, Option]:
    """The options of all recipes, each with its default in every recipe that has it."""
    found: dict[str, Option] = {}
    for recipe in RECIPES.values():
        texts = docstring_texts(inspect.cleandoc(recipe.__doc__ or ""))
        for field in fields(recipe):
            default = f"{recipe.name}: {'automatic' if field.default is None else field.default}"
            before = found.get(field.name)
            if before is None:
                found[field.name] = _option(str(field.type), default, texts[field.name])
            else:
                found[field.name] = before._replace(value=f"{before.value}; {default}")
    return found


def _option(annotation: str, value: object, text: str) -> Option:
    return Option(ast.parse(annotation, mode="eval").body, None, value, text)
