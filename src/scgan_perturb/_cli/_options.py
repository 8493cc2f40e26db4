"""Options of the command line, from a function's signature, type hints and docstring."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Never, Union, get_args, get_origin
from typing import get_type_hints as hints_of

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIRED = inspect.Parameter.empty
# Arguments that only Python can give, and those that are the input and output of a command.
NOT_OFFERED = {"adata", "path", "copy", "classifier", "classes", "background", "fabric"}
NOT_OFFERED |= {"ax", "show", "return_fig"}
# Types on the command line for names in type hints; Never if only Python can give the object.
NAMES: dict[str, Any] = {
    "AnnData": Path,
    "Path": str,
    "Rng": int | Literal["none"],
    "Any": Any,
    "Mapping": Mapping,
    "Sequence": Sequence,
    "nn": SimpleNamespace(Module=Never),
    **dict.fromkeys(["Axes", "Fabric", "Figure", "Paper", "SubFigure", "Transport"], Never),
}


class Option(NamedTuple):
    """An argument of a function: its type, its default, and the text of its docstring."""

    hint: Any
    default: object
    text: str


def options_of(function: Callable[..., object]) -> dict[str, Option]:
    """The arguments of a function or dataclass that the command line offers."""
    hints = hints_of(function, localns=NAMES)
    texts = parameter_texts(inspect.getdoc(function) or "")
    return {
        name: Option(hints[name], parameter.default, texts[name])
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in NOT_OFFERED
    }


def parameter_texts(doc: str) -> dict[str, str]:
    """The description of each parameter in a numpydoc docstring, without roles and backticks."""
    texts: dict[str, str] = {}
    for names, text in re.findall(r"^(\w[\w, ]*)\n((?: {4}.*\n?|\n)+)", doc, re.MULTILINE):
        plain = re.sub(r"(?::\w+:)?`~?([^`]*)`", r"\1", " ".join(text.split()))
        texts |= dict.fromkeys(names.split(", "), plain)
    return texts


def add_options(parser: argparse.ArgumentParser, title: str, options: Mapping[str, Option]) -> None:
    """Add a group of options. Options that are not given are absent from the result."""
    group = parser.add_argument_group(title)
    for name, option in options.items():
        reading, text = option_reading(option.hint), option.text
        if reading.get("action") == "append":
            text += " Repeat the option for several."
        if option.default not in (REQUIRED, None):
            text += f" (default: {option.default})"
        group.add_argument(
            option_name(name),
            required=option.default is REQUIRED,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
            **reading,
        )


def option_name(name: str) -> str:
    """The command line's name for an argument."""
    return f"--{name.replace('_', '-')}"


def option_reading(hint: Any) -> dict[str, Any]:
    """Arguments for argparse to read a value of this type."""
    union = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = {get_origin(kind) or kind: kind for kind in union if kind not in (NoneType, Never)}
    words = [str(word) for word in get_args(kinds.get(Literal))]
    if Sequence in kinds:
        return {"action": "append", "metavar": "TEXT"}
    if tuple in kinds:
        return {"type": size, "metavar": "WIDTH[,HEIGHT]"}
    if Path in kinds:
        return {"type": Path, "metavar": "FILE.h5ad"}
    number = next((kind for kind in (int, float) if kind in kinds), None)
    if number is None:
        return {"choices": words} if words else {"metavar": "TEXT"}
    others = ["TEXT"] if str in kinds else words
    read = partial(_number_or_word, number, others) if others else number
    return {"type": read, "metavar": "|".join([number.__name__.upper(), *others])}


def _number_or_word(number: type[int | float], words: Sequence[str], text: str) -> object:
    """A number, or one of the words: any word for `TEXT`, None for `none`."""
    try:
        return number(text)
    except ValueError:
        if text in words or "TEXT" in words:
            return None if text == "none" else text
        msg = f"invalid value: {text!r} is neither a number nor {' or '.join(words)}"
        raise argparse.ArgumentTypeError(msg) from None


def size(text: str) -> tuple[float, float | None]:
    """A width, and a height where one is given."""
    width, _, height = text.partition(",")
    return float(width), float(height) if height else None
