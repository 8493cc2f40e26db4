"""Options of the command line, taken from the functions: names, types, defaults and texts.

They are read from the sources, as importing the functions would import torch.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _keys

if TYPE_CHECKING:
    from collections.abc import Collection

PACKAGE = Path(__file__).parents[1]
# What only Python can give: objects, and where the result goes.
NOT_OFFERED = {"adata", "copy", "classifier", "classes", "background", "fabric", "ax", "show"}
NOT_OFFERED |= {"return_fig"}
MANY = 4  # choices; more are listed in the text
FIGSIZE = (
    "Width and height in inches, such as 3.5,4, or the width alone for a height that grows with "
    "what is drawn. Left out, the plot has a width of its own."
)
NOT_SAID = (" or generator", " or genes of each set by its name;")


class Option(NamedTuple):
    """An argument of a function: its annotation and default as written, and what its text says."""

    annotation: ast.expr
    default: ast.expr | None
    value: object
    text: str


class Function(NamedTuple):
    """What the source of a public function says of it."""

    summary: str
    options: dict[str, Option]

    @property
    def required(self) -> list[str]:
        """Names of the arguments without a default."""
        return [name for name, option in self.options.items() if option.default is None]


def read_function(room: str, name: str) -> Function:
    """The public function of this name, read from its source."""
    tree = _parse(PACKAGE / room / f"{_file_of(room, name)}.py")
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    texts, constants = docstring_texts(doc), _constants(tree)
    positional, keywords = node.args.args, node.args.kwonlyargs
    missing = len(positional) - len(node.args.defaults)
    defaults = [*[None] * missing, *node.args.defaults, *node.args.kw_defaults]
    options = {
        argument.arg: Option(
            argument.annotation or ast.Name("str"),
            default,
            _value(default, constants),
            texts[argument.arg],
        )
        for argument, default in zip([*positional, *keywords], defaults, strict=True)
    }
    return Function(doc.split("\n", 1)[0], options)


def add_options(
    parser: argparse.ArgumentParser,
    function: Function,
    title: str,
    taken: Collection[str] = (),
) -> list[str]:
    """Add what the function can be told, without the names that are taken; returns the names."""
    names = [name for name in function.options if name not in {*NOT_OFFERED, *taken}]
    group = parser.add_argument_group(title)
    for name in names:
        option, reading = function.options[name], option_reading(function.options[name].annotation)
        group.add_argument(
            option_name(name),
            required=name in function.required,
            default=argparse.SUPPRESS,  # what is not given is not passed on
            help=option_help(name, option, reading).replace("%", "%%"),
            **reading,
        )
    return names


def option_name(name: str) -> str:
    """An argument's name, as it is written on a command line."""
    return f"--{name.replace('_', '-')}"


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _file_of(room: str, name: str) -> str:
    """The module that a room takes a function from."""
    for node in _parse(PACKAGE / room / "__init__.py").body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return str(node.module)
    msg = f"{room}/__init__.py imports no {name}."
    raise LookupError(msg)


def _constants(tree: ast.Module) -> dict[str, object]:
    """Names that a default may have: those of `_keys`, and plain values of the module."""
    found = dict(vars(_keys))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found |= {t.id: node.value.value for t in node.targets if isinstance(t, ast.Name)}
    return found


def _value(default: ast.expr | None, constants: dict[str, object]) -> object:
    if isinstance(default, ast.Name):
        return constants[default.id]
    return None if default is None else ast.literal_eval(default)


def docstring_texts(doc: str) -> dict[str, str]:
    """What a docstring of numpy's style says of each parameter."""
    section = (
        doc.partition("Parameters\n----------\n")[2]
        .partition("\nReturns\n")[0]
        .partition("\nRaises\n")[0]
    )
    texts: dict[str, str] = {}
    for names, text in re.findall(r"^(\w.*)\n((?:    .*\n|\n)+)", section, re.MULTILINE):
        texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts


def _plain(name: str, text: str) -> str:
    """A docstring's text, as it is read at a terminal."""
    for phrase in NOT_SAID:
        text = text.replace(phrase, "")
    text = re.sub(r":func:`~scgan_perturb\.([\w.]+)`", r"sp.\1", text)
    text = re.sub(r'f"\{(\w+)\}(\w*)"', r'"<\1>\2"', text).replace("`", "")
    if name == "rng":
        return text.replace("None", "none")
    if name == "figsize":
        return FIGSIZE
    return re.sub(r"(?<=\. )None (?=for|if)", "Leave out ", text).replace("None ", "leave out ")


def option_help(name: str, option: Option, reading: dict[str, Any]) -> str:
    """The text of an option, with what its type adds to it."""
    text = _plain(name, option.text)
    if reading.get("action") == "append":
        text += " Repeat the option for several."
    if "choices" in reading and "metavar" in reading:
        text += f" One of {', '.join(reading['choices'])}."
    return text if option.value is None else f"{text} (default: {option.value})"


def option_reading(annotation: ast.expr) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    members = _members(annotation)
    names = {ast.unparse(member) for member in members} - {"Transport", "Paper"}
    if len(names) == 1 and "Literal[" in ast.unparse(members[0]):
        choices = [str(n.value) for n in ast.walk(members[0]) if isinstance(n, ast.Constant)]
        return {"choices": choices} | ({"metavar": "TEXT"} if len(choices) > MANY else {})
    if names == {"bool"}:
        return {"action": argparse.BooleanOptionalAction}
    if names == {"Rng"}:
        return {"type": seed, "metavar": "INT|none"}
    if any(name.startswith("Sequence[") for name in names):
        return {"action": "append", "metavar": "TEXT"}
    for kind, read in (("float", number_or_text), ("int", count_or_text)):
        if kind in names and len(names) > 1:
            return {"type": read, "metavar": f"{kind.upper()}|TEXT"}
    kinds: dict[str, dict[str, Any]] = {
        "int": {"type": int, "metavar": "INT"},
        "float": {"type": float, "metavar": "FLOAT"},
        "AnnData": {"type": Path, "metavar": "FILE.h5ad"},
        "tuple[float, float | None]": {"type": size, "metavar": "WIDTH[,HEIGHT]"},
    }
    return kinds.get(" | ".join(names), {"metavar": "TEXT"})


def _members(annotation: ast.expr) -> list[ast.expr]:
    """The types of a union, without None."""
    if isinstance(annotation, ast.BinOp):
        return [*_members(annotation.left), *_members(annotation.right)]
    return [] if ast.unparse(annotation) == "None" else [annotation]


def seed(text: str) -> int | None:
    """A whole number, or None for `none`."""
    return None if text == "none" else int(text)


def size(text: str) -> tuple[float, float | None]:
    """A width, and a height where one is given."""
    wide, _, high = text.partition(",")
    return float(wide), float(high) if high else None


def count_or_text(text: str) -> int | str:
    """A whole number where it reads as one."""
    return int(text) if text.isdecimal() else text


def number_or_text(text: str) -> float | str:
    """A number where it reads as one."""
    try:
        return float(text)
    except ValueError:
        return text
