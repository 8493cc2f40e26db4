"""The conventions, as tests: every public function is walked."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import scgan_perturb as sp
from scgan_perturb import metrics

PACKAGE = Path(sp.__file__).parent
ROOMS = {name: getattr(sp, name) for name in ("pp", "tl", "pl", "get", "datasets")}
FUNCTIONS = [
    pytest.param(name, getattr(room, function), id=f"{name}.{function}")
    for name, room in ROOMS.items()
    for function in room.__all__
    if inspect.isfunction(getattr(room, function))
]
PUBLIC = {
    f"{name}.{public}": getattr(room, public)
    for name, room in {**ROOMS, "metrics": metrics}.items()
    for public in room.__all__
} | {"settings": type(sp.settings)}
SOURCES = sorted(PACKAGE.rglob("*.py"))
# From the ground up: a room may import from the rooms before it, a file from no file that leads back.
FLOORS = (
    ("engine", "metrics"),
    ("data",),
    ("estimates", "pp", "datasets"),
    ("networks",),
    ("models",),
    ("training", "storage"),
    ("get",),
    ("evaluation",),
    ("tl", "pl"),
    ("_cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def sections(function) -> set[str]:
    lines = inspect.getdoc(function).splitlines()
    return {title for title, line in pairwise(lines) if line and set(line) == {"-"}}


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_at_most_three_arguments_are_positional_and_adata_is_the_first(room, function):
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 3
    if room != "datasets":
        assert positional[0] == "adata"


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_everything_is_annotated(room, function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_docstrings_have_their_sections(room, function):
    wanted = {"Returns", "Examples"}
    if inspect.signature(function).parameters:
        wanted |= {"Parameters", "Raises"}
    assert wanted <= sections(function)


@pytest.mark.parametrize("thing", PUBLIC.values(), ids=PUBLIC)
def test_every_public_name_has_an_example(thing):
    text = inspect.getdoc(thing).partition("Examples\n--------\n")[2]
    lines = [line.source for line in doctest.DocTestParser().get_examples(text)]
    assert any(not line.startswith(("import ", "from ")) for line in lines)


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_every_parameter_is_described(room, function):
    text = inspect.getdoc(function)
    described = set()
    for line in text.split("Parameters\n", 1)[-1].splitlines():
        if re.fullmatch(r"\w+(, \w+)*", line):
            described |= set(line.split(", "))
    assert set(inspect.signature(function).parameters) <= described


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_types_stand_in_signatures_only(room, function):
    parameters = "|".join(inspect.signature(function).parameters) or "none"
    assert not re.search(rf"^({parameters}) : ", inspect.getdoc(function), re.MULTILINE)


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_verbs_that_write_offer_a_copy(room, function):
    parameters = inspect.signature(function).parameters
    if room in {"tl", "pp"}:
        assert parameters["copy"].default is False
        assert inspect.signature(function).return_annotation == "AnnData | None"
        assert "Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:" in (
            inspect.getdoc(function)
        )
    else:
        assert "copy" not in parameters


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_common_arguments_have_common_defaults(room, function):
    common = {"layer": None, "mask_var": None, "rng": 0, "show": None, "return_fig": False}
    common |= {"key": "tspg", "accelerator": "auto"}
    if function is not sp.tl.evaluate:  # of a prediction the split is known, or nothing is
        common |= {"held_out": 0.2}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in common:
            assert parameter.default == common[name]


@pytest.mark.parametrize(("room", "function"), FUNCTIONS)
def test_a_verb_stands_in_the_room_that_offers_it(room, function):
    assert Path(inspect.getsourcefile(function)).parent == PACKAGE / room


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


# The package's own __init__ names its rooms for type checkers, and imports each when it is used.
MODULES = {module_name(path): path for path in SOURCES if path.name != "__main__.py"}
del MODULES["__init__"]


def imports_of(path: Path) -> set[str]:
    """Modules of this package that a file imports, at any place in it; for types as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.relative_to(PACKAGE).parent.parts
            base = [*folder[: len(folder) - node.level + 1], *filter(None, [node.module])]
            names = [".".join([*base, alias.name]) for alias in node.names]
            names = [name if name in MODULES else ".".join(base) for name in names]
            found |= {name if name in MODULES else f"{name}.__init__".lstrip(".") for name in names}
    return found & set(MODULES)


IMPORTS = {name: imports_of(path) for name, path in MODULES.items()}
IN_ROOMS = [name for name in MODULES if "." in name]


@pytest.mark.parametrize("name", IN_ROOMS)
def test_rooms_import_from_below_only(name):
    room = name.split(".")[0]
    others = {other.split(".")[0] for other in IMPORTS[name] if "." in other} - {room}
    assert {other for other in others if FLOOR[other] >= FLOOR[room]} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if "." not in name])
def test_what_stands_outside_the_rooms_imports_none_of_them(name):
    assert {other for other in IMPORTS[name] if "." in other} == set()


def test_no_file_leads_back_to_itself():
    left = dict(IMPORTS)
    while free := {name for name, below in left.items() if not below & set(left)}:
        left = {name: below for name, below in left.items() if name not in free}
    assert sorted(left) == []


def test_every_room_has_a_floor_and_every_import_is_seen():
    assert {name.split(".")[0] for name in IN_ROOMS} == set(FLOOR)
    assert {"data._blocks", "_messages"} <= IMPORTS["data._expression"]


@pytest.mark.parametrize(
    "room", ["engine", "estimates", "metrics", "models", "networks", "training"]
)
def test_the_numerical_core_knows_no_anndata(room):
    for path in (PACKAGE / room).glob("*.py"):
        assert "import anndata" not in path.read_text(encoding="utf-8")
        assert "from anndata" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320


def test_importing_the_package_imports_nothing_slow():
    code = (
        "import sys, scgan_perturb\n"
        "slow = {'torch', 'matplotlib', 'scanpy', 'anndata', 'sklearn', 'pandas', 'gseapy'}\n"
        "print(*sorted(slow & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_rooms_are_imported_without_torch():
    rooms = ", ".join(f"sp.{room}" for room in ROOMS)
    code = f"import sys; import scgan_perturb as sp; {rooms}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_metrics_need_no_torch():
    code = "import sys, scgan_perturb.metrics; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_rooms_are_listed_and_unknown_ones_are_an_error():
    assert {*ROOMS, "metrics", "settings"} <= set(dir(sp))
    with pytest.raises(AttributeError, match="has no attribute 'plots'"):
        sp.plots  # noqa: B018
