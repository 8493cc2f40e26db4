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
# A room may import from those below it only.
BELOW = {
    "data": set(),
    "metrics": set(),
    "models": {"data"},
    "get": {"data", "models"},
    "evaluation": {"data", "models", "metrics", "get"},
    "pp": {"data"},
    "datasets": {"data"},
    "tl": {"data", "models", "metrics", "get", "evaluation"},
    "pl": {"data", "get", "evaluation"},
    "_cli": {"tl", "get", "pl"},
}


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


def imported_rooms(path: Path) -> set[str]:
    """Rooms of this package that a file imports, or imports from, at any place in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names}
    return found & set(BELOW)


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent != PACKAGE], ids=lambda p: p.stem)
def test_rooms_import_from_below_only(path):
    assert imported_rooms(path) <= BELOW[path.parent.name]


@pytest.mark.parametrize("room", ["models", "metrics"])
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


def test_a_stored_fit_can_be_looked_at_without_torch():
    code = "import sys; import scgan_perturb as sp; sp.get, sp.pp, sp.datasets; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_metrics_need_no_torch():
    code = "import sys, scgan_perturb.metrics; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_rooms_are_listed_and_unknown_ones_are_an_error():
    assert {*ROOMS, "settings"} <= set(dir(sp))
    with pytest.raises(AttributeError, match="has no attribute 'plots'"):
        sp.plots  # noqa: B018
