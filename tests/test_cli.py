"""The command line does what the functions do, and fails as a workflow manager wants it."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import scgan_perturb as sp
from scgan_perturb._cli import main
from scgan_perturb._cli._commands import COMMANDS
from scgan_perturb._cli._files import write_whole
from scgan_perturb._cli._fit_options import Engine, fit_arguments
from scgan_perturb._cli._main import make_parser, report
from scgan_perturb._cli._options import NOT_OFFERED, options_of
from scgan_perturb.engine import _device
from tests.conftest import make_adata, make_in_contexts

ROOT = Path(__file__).parents[1]
PNG_MAGIC = b"\x89PNG"
FUNCTIONS = [("tl", command.verb) for command in COMMANDS.values() if command.verb]
FUNCTIONS += [("pl", command.figure) for command in COMMANDS.values() if command.figure]
FUNCTIONS += [("tl", "Transport"), ("tl", "Paper")]
SETS = {"first": [f"gene{i}" for i in range(6)], "last": [f"gene{i}" for i in range(6, 12)]}


@pytest.fixture(scope="session")
def _files(tmp_path_factory, _fitted) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_adata().write_h5ad(folder / "cells.h5ad")
    _fitted.write_h5ad(folder / "fitted.h5ad")
    make_adata(seed=1).write_h5ad(folder / "new.h5ad")
    rows = ["\t".join([name, "", *genes]) for name, genes in SETS.items()]
    (folder / "sets.gmt").write_text("\n".join(rows))
    (folder / "text.h5ad").write_text("not HDF5")
    return folder


@pytest.fixture
def files(tmp_path, _files) -> Path:
    """A folder with samples, the same with a fit, new samples, and gene sets."""
    return Path(shutil.copytree(_files, tmp_path / "files"))


def call(folder: Path, arguments: str) -> int:
    """Run a command in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return main(shlex.split(arguments))
    finally:
        os.chdir(before)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same_table(path: Path, expected: pd.DataFrame) -> bool:
    found = pd.read_csv(path)
    expected = expected.astype({"group": str}) if "group" in expected else expected
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)
    return True


@pytest.mark.parametrize(("room", "name"), FUNCTIONS)
def test_options_are_those_of_the_functions(room, name):
    function = getattr(getattr(sp, room), name)
    parameters = inspect.signature(function).parameters
    options = options_of(function)
    assert list(options) == [own for own in parameters if own not in NOT_OFFERED]
    for argument, option in options.items():
        assert option.default == parameters[argument].default
        assert option.text in re.sub(r"[`~]|:\w+:", "", " ".join(inspect.getdoc(function).split()))


def test_options_of_the_engine_are_those_that_a_fit_takes():
    options = options_of(Engine)
    assert set(options) == set(_device.OPTIONS)
    # A fit computes in bfloat16 where the chip can, what else opens a device does not.
    opened = inspect.signature(_device.open_fabric).parameters
    for name in set(options) - {"accelerator", "precision"}:
        assert options[name].default == opened[name].default


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("--rng", "none", None),
        ("--rng", "3", 3),
        ("--held-out", "0.3", 0.3),
        ("--held-out", "split", "split"),
        ("--devices", "auto", "auto"),
        ("--devices", "2", 2),
        ("--shrinkage", "ledoit-wolf", "ledoit-wolf"),
        ("--shrinkage", "0.1", 0.1),
        ("--max-epochs", "2", 2),
        ("--precision", "32-true", "32-true"),
        ("--target", "1", ["1"]),
    ],
)
def test_a_value_is_read_as_its_type(option, text, value):
    words = ["fit", "a.h5ad", "b.h5ad", "--groupby", "tissue", option, text]
    given = vars(make_parser("fit").parse_args(words))
    found = given[option.removeprefix("--").replace("-", "_")]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert f"scgan-perturb {command} {COMMANDS[command].example}" in text
    assert not re.search(r"`|:func:|:class:", text)


SLOW = {"torch", "lightning_fabric", "scanpy", "sklearn"}
HELPS = {"--help": SLOW | {"matplotlib", "anndata", "pandas", "numpy"}}  # the first, see below
HELPS |= {f"{name} --help": SLOW for name in COMMANDS}


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """The modules that the help of each command imports, one after the other in a new process."""
    code = """
import json, sys
from scgan_perturb._cli import main
found = {}
for words in sys.argv[1:]:
    try:
        main(words.split())
    except SystemExit:
        pass
    found[words] = list(sys.modules)
print()
print(json.dumps(found))
"""
    command = [sys.executable, "-c", code, *HELPS]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return {words: set(names) for words, names in json.loads(run.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize(("words", "slow"), HELPS.items(), ids=HELPS)
def test_help_imports_nothing_slow(imported, words, slow):
    assert sorted(slow & imported[words]) == []


def test_fit_is_tl_fit_tspg(files):
    options = "--groupby tissue --target lung --target liver --rng 3 --sparsity 0.5"
    assert call(files, f"fit fitted.h5ad out.h5ad out.csv {options}") == 0
    adata = ad.read_h5ad(files / "fitted.h5ad")
    recipe = sp.tl.Transport(sparsity=0.5)
    sp.tl.fit_tspg(adata, "tissue", ["lung", "liver"], recipe=recipe, rng=3)
    found = ad.read_h5ad(files / "out.h5ad")
    np.testing.assert_array_equal(found.layers["xadv"], adata.layers["xadv"])
    assert found.uns["tspg"]["params"]["sparsity"] == 0.5
    assert list(found.uns["tspg"]["params"]["targets"]) == ["lung", "liver"]
    table = pd.read_csv(files / "out.csv", index_col=0)
    np.testing.assert_allclose(table, sp.get.perturbation(adata), atol=1e-6)
    assert list(table.index) == list(adata.obs_names)


def test_results_can_have_another_name(files):
    options = "--groupby tissue --target lung"
    assert call(files, f"fit fitted.h5ad mine.h5ad mine.csv {options} --key-added mine") == 0
    assert "mine" in ad.read_h5ad(files / "mine.h5ad").layers
    assert call(files, "rank mine.h5ad genes.csv --key mine") == 0
    assert (
        call(files, "enrich mine.h5ad sets.csv --key mine --key-added it --gene-sets sets.gmt") == 0
    )


def test_perturb_is_tl_perturb(files, fitted):
    assert call(files, "perturb new.h5ad out.h5ad --reference fitted.h5ad --target lung") == 0
    adata = make_adata(seed=1)
    sp.tl.perturb(adata, "lung", reference=fitted)
    found = ad.read_h5ad(files / "out.h5ad")
    np.testing.assert_array_equal(found.layers["xadv"], adata.layers["xadv"])


def test_evaluate_is_tl_evaluate(files, fitted):
    assert call(files, "evaluate fitted.h5ad e.csv e.h5ad e.png --n-bootstrap 5 --metric mmd") == 0
    sp.tl.evaluate(fitted, n_bootstrap=5)
    assert same_table(files / "e.csv", sp.get.evaluation_df(fitted, source=None, context=None))
    assert "evaluation" in ad.read_h5ad(files / "e.h5ad").uns["tspg"]
    assert (files / "e.png").read_bytes().startswith(PNG_MAGIC)


@pytest.mark.parametrize(("names", "key"), [("", "xadv"), ("--key-added mine", "mine")])
def test_evaluate_reads_a_prediction_by_its_own_name(files, fitted, names, key):
    options = "--prediction xadv --groupby tissue --target lung --held-out tspg_split"
    options += f" --n-bootstrap 0 {names}"
    assert call(files, f"evaluate fitted.h5ad e.csv e.h5ad e.png {options}") == 0
    sp.tl.evaluate(
        fitted,
        prediction="xadv",
        groupby="tissue",
        target="lung",
        held_out="tspg_split",
        n_bootstrap=0,
        key_added=key,
    )
    table = sp.get.evaluation_df(fitted, source=None, context=None, key=key)
    assert same_table(files / "e.csv", table)
    assert "evaluation" in ad.read_h5ad(files / "e.h5ad").uns[key]
    assert (files / "e.png").read_bytes().startswith(PNG_MAGIC)


def test_rank_is_tl_rank_genes(files, fitted):
    assert call(files, "rank fitted.h5ad r.h5ad r.csv r.png --split test --group liver") == 0
    sp.tl.rank_genes(fitted, split="test")
    assert same_table(files / "r.csv", sp.get.rank_genes_df(fitted))
    assert same_table(files / "r.csv", sp.get.rank_genes_df(ad.read_h5ad(files / "r.h5ad")))
    assert (files / "r.png").read_bytes().startswith(PNG_MAGIC)


@pytest.mark.parametrize(
    ("options", "context"),
    [
        pytest.param("--context each", "each", id="each"),
        pytest.param("--context NK --context B", ["NK", "B"], id="several"),
    ],
)
def test_rank_writes_the_table_of_contexts(files, ranked_in_contexts, options, context):
    ranked_in_contexts.write_h5ad(files / "contexts.h5ad")
    assert call(files, f"rank contexts.h5ad r.csv r.h5ad {options}") == 0
    expected = sp.get.rank_genes_df(ranked_in_contexts, context=context)
    assert same_table(files / "r.csv", expected.astype({"context": str}))
    assert "contexts" in ad.read_h5ad(files / "r.h5ad").uns["tspg_rank_genes"]


def test_contexts_of_a_fit_are_read_by_the_commands_that_follow(files):
    cells = make_in_contexts()
    cells.write_h5ad(files / "in_contexts.h5ad")
    new = make_in_contexts(seed=1)
    new.write_h5ad(files / "new.h5ad")
    options = "--groupby condition --target stim --source ctrl --held-out 0.4"
    fit = f"fit in_contexts.h5ad f.h5ad {options} --context cell_type --context donor"
    assert call(files, fit) == 0
    sp.tl.fit_tspg(
        cells,
        "condition",
        "stim",
        source="ctrl",
        context=["cell_type", "donor"],
        held_out=0.4,
    )
    found = ad.read_h5ad(files / "f.h5ad")
    assert sp.get.model(found).context == ("cell_type", "donor")
    np.testing.assert_array_equal(found.layers["xadv"], cells.layers["xadv"])
    assert call(files, "perturb new.h5ad p.h5ad --reference f.h5ad") == 0
    sp.tl.perturb(new, reference=cells)
    perturbed = ad.read_h5ad(files / "p.h5ad")
    np.testing.assert_array_equal(perturbed.layers["xadv"], new.layers["xadv"])
    assert call(files, "evaluate f.h5ad e.csv --n-bootstrap 0") == 0
    sp.tl.evaluate(cells, n_bootstrap=0)
    assert same_table(files / "e.csv", sp.get.evaluation_df(cells, source=None, context=None))
    assert call(files, "rank p.h5ad r.csv --context each") == 0
    contexts = set(pd.read_csv(files / "r.csv")["context"])
    assert contexts == set(sp.get.model(found).contexts)


@pytest.mark.parametrize(("figsize", "width"), [("3.5", 525), ("4,3", 600)])
def test_a_figure_has_the_size_asked_for(files, figsize, width):
    assert call(files, f"rank fitted.h5ad r.png --figsize {figsize}") == 0
    found = [int.from_bytes((files / "r.png").read_bytes()[at : at + 4]) for at in (16, 20)]
    assert found[0] == width
    assert found[1] == 450 or "," not in figsize


def test_enrich_is_tl_enrich_and_ranks_where_nobody_did(files, fitted):
    options = "--gene-sets sets.gmt --method prerank --n-permutations 20"
    assert call(files, f"enrich fitted.h5ad e.csv e.png {options}") == 0
    sp.tl.rank_genes(fitted)
    sp.tl.enrich(fitted, SETS, method="prerank", n_permutations=20)
    assert same_table(files / "e.csv", sp.get.enrichment_df(fitted))
    assert (files / "e.png").read_bytes().startswith(PNG_MAGIC)


def test_enrich_keeps_a_ranking_that_is_there(files, fitted):
    sp.tl.rank_genes(fitted, split="test")
    fitted.write_h5ad(files / "ranked.h5ad")
    assert call(files, "enrich ranked.h5ad e.h5ad --gene-sets sets.gmt") == 0
    assert ad.read_h5ad(files / "e.h5ad").uns["tspg_rank_genes"]["params"]["split"] == "test"


def test_embed_is_tl_embed(files, fitted):
    assert call(files, "embed fitted.h5ad e.h5ad --method pca --n-perturbed 7") == 0
    sp.tl.embed(fitted, method="pca", n_perturbed=7)
    found = ad.read_h5ad(files / "e.h5ad").obsm["tspg_pca_xadv"]
    np.testing.assert_array_equal(found, fitted.obsm["tspg_pca_xadv"])


def test_report_is_pl_report_and_computes_nothing(files, fitted, tmp_path):
    options = "--obs-names sample3 --obs-names sample4 --n-genes 2"
    assert call(files, "rank fitted.h5ad ranked.h5ad") == 0
    assert call(files, f"report ranked.h5ad r.html {options}") == 0
    sp.tl.rank_genes(fitted)
    sp.pl.report(fitted, tmp_path / "r.html", obs_names=["sample3", "sample4"], n_genes=2)
    text = (files / "r.html").read_text("utf-8")
    assert text == (tmp_path / "r.html").read_text("utf-8")
    assert "sp.tl.evaluate(adata)" in text  # not computed


UNUSABLE = {
    "no such file": ("fit none.h5ad o.h5ad --groupby tissue", "There is no file 'none.h5ad'"),
    "not an h5ad": ("fit text.h5ad o.h5ad --groupby tissue", "'text.h5ad' cannot be read as an"),
    "no such reference": ("perturb new.h5ad o.h5ad --reference none.h5ad", "no file 'none.h5ad'"),
    "unknown groupby": (
        "fit cells.h5ad o.h5ad --groupby tisue",
        "'tisue' not found. Nearest: 'tissue'",
    ),
    "unknown target": (
        "fit cells.h5ad o.h5ad --groupby tissue --target Lung",
        "'Lung' is not a class. The classes are: 'liver', 'lung'",
    ),
    "not of the model": ("perturb fitted.h5ad o.h5ad --target thyroid", "not 'thyroid'"),
    "bad number": (
        "fit cells.h5ad o.h5ad --groupby tissue --held-out 2",
        "held_out must be",
    ),
    "no fit": ("rank cells.h5ad o.csv", "Fit 'tspg' not found"),
    "no gene sets": ("enrich fitted.h5ad o.csv --gene-sets no.gmt", "no GMT file 'no.gmt'"),
    "suffix": ("evaluate fitted.h5ad o.csv o.txt", "'o.txt' must end in .h5ad or .csv or .png"),
    "no figure of a fit": ("fit cells.h5ad o.png --groupby tissue", "must end in .h5ad or .csv"),
    "no report of a figure": ("report fitted.h5ad o.png", "'o.png' must end in .html"),
    "no report without a fit": ("report cells.h5ad o.html", "Fit 'tspg' not found"),
    "no such folder": ("rank fitted.h5ad no/o.csv", "there is no folder 'no'"),
    "folder is a file": ("rank fitted.h5ad cells.h5ad/o.csv", "no folder 'cells.h5ad'"),
    "output is the reference": (
        "perturb new.h5ad fitted.h5ad --reference fitted.h5ad",
        "is the reference",
    ),
    "unknown group in a figure": ("rank fitted.h5ad o.csv o.png --group x", "Group 'x' not found"),
    "no contexts": ("rank fitted.h5ad o.csv --context each", "has no contexts. Fit with contexts"),
    "table without file": ("rank fitted.h5ad o.png --context x", "--context: options of the table"),
    "figure without file": (
        "rank fitted.h5ad o.csv --group liver",
        "--group: options of the figure",
    ),
}


@pytest.mark.parametrize(("arguments", "text"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_told_in_a_line_and_changes_no_file(files, capsys, arguments, text):
    before = contents(files)
    assert call(files, arguments) == 1
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "error:" in line]
    assert line.startswith(f"scgan-perturb {arguments.split()[0]}: error: ")
    assert text in line
    assert "Traceback" not in said
    assert contents(files) == before


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "paint a.h5ad b.h5ad",
        "fit cells.h5ad --groupby tissue",
        "fit cells.h5ad o.h5ad",
        "fit cells.h5ad o.h5ad --groupby tissue --max-epochs few",
        "fit cells.h5ad o.h5ad --groupby tissue --rng few",
        "fit cells.h5ad o.h5ad --groupby tissue --devices few",
        "fit cells.h5ad o.h5ad --groupby tissue --recipe mine",
        "rank fitted.h5ad o.png --figsize wide",
        "fit cells.h5ad o.h5ad --groupb tissue",
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(shlex.split(arguments))


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "scgan-perturb rank: interrupted; no output was written.\n"),
        (ZeroDivisionError(), 3, "Traceback"),
        (KeyError("our mistake"), 3, "Traceback"),
        (OSError("No space left on device"), 1, "error: No space left on device\n"),
    ],
)
def test_exit_codes_tell_what_happened(capsys, error, code, text):
    with pytest.raises(type(error)) as caught:
        raise error
    assert report("rank", caught.value) == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(("rank", "writes"), [(0, True), (1, False)])
def test_of_processes_that_train_together_the_first_writes(files, monkeypatch, rank, writes):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
    assert call(files, "rank fitted.h5ad out.csv") == 0
    assert (files / "out.csv").exists() == writes


def test_recipe_and_engine_are_given_as_objects():
    given = {"groupby": "tissue", "recipe": "paper", "kappa": 2.0, "devices": 2, "num_nodes": 3}
    assert fit_arguments(given) == {
        "groupby": "tissue",
        "recipe": sp.tl.Paper(kappa=2.0),
        "fabric": {"devices": 2, "num_nodes": 3},
    }
    assert fit_arguments({"groupby": "tissue"}) == {"groupby": "tissue"}


def test_an_option_of_the_other_recipe_is_an_error(files, capsys):
    command = "fit cells.h5ad out.h5ad --groupby tissue --recipe paper --sparsity 0.5"
    assert call(files, command) == 1
    assert "--sparsity is not an option of recipe 'paper'" in capsys.readouterr().err


def test_outputs_are_replaced_and_so_is_the_input_where_it_is_named(files, caplog):
    (files / "r.csv").write_text("old")
    before = (files / "cells.h5ad").read_bytes()
    assert call(files, "rank fitted.h5ad fitted.h5ad r.csv") == 0
    assert "tspg_rank_genes" in ad.read_h5ad(files / "fitted.h5ad").uns
    assert (files / "r.csv").read_text().startswith("group,gene,mean")
    assert "Replaced r.csv" in caplog.text
    assert (files / "cells.h5ad").read_bytes() == before


def test_an_output_that_is_a_link_is_replaced_not_what_it_points_to(files):
    (files / "link.h5ad").symlink_to(files / "fitted.h5ad")
    before = (files / "fitted.h5ad").read_bytes()
    assert call(files, "rank link.h5ad link.h5ad") == 0
    assert (files / "fitted.h5ad").read_bytes() == before
    assert not (files / "link.h5ad").is_symlink()


def test_no_output_appears_where_one_of_them_fails(tmp_path):
    def fail(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(
            {tmp_path / "a.csv": lambda path: path.write_text("a"), tmp_path / "b.csv": fail}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("default::UserWarning")
def test_warnings_are_log_lines(files, fitted_by_paper, caplog):
    fitted_by_paper.write_h5ad(files / "paper.h5ad")
    call(files, "evaluate paper.h5ad o.h5ad --n-bootstrap 0")
    assert "warning: Plain baselines" in caplog.text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_progress_bar_is_for_terminals(files, stream):
    with redirect_stderr(stream()):
        call(files, "rank cells.h5ad o.csv")
    assert sp.settings.progress_bar is (stream is Terminal)


def test_the_installed_command_is_the_module():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, function = project["scripts"]["scgan-perturb"].split(":")
    assert getattr(import_module(module), function) is import_module("scgan_perturb._cli").run


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "scgan_perturb", "rank", "none.h5ad", "o.csv"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "scgan-perturb rank: error: There is no file 'none.h5ad'.\n"
    assert run.stdout == ""


def test_sigterm_is_an_interruption():
    code = (
        "import os, signal, sys\nfrom scgan_perturb._cli import _main\n"
        "_main.run_command = lambda *arguments: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.argv = ['scgan-perturb', 'rank', 'a.h5ad', 'b.csv']\n_main.run()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 130
    assert run.stderr == "scgan-perturb rank: interrupted; no output was written.\n"


def documented_commands() -> list[str]:
    """Command lines of the pages, and of the workflow for Nextflow without the names in it."""
    pages = [ROOT / "README.md", ROOT / "docs" / "command_line.md", ROOT / "docs" / "tspg.md"]
    workflow = (ROOT / "tutorials" / "nextflow" / "main.nf").read_text(encoding="utf-8")
    workflow = re.sub(r"\$\{params\.\w+_options\}", "", workflow)
    texts = [page.read_text(encoding="utf-8").replace("\\\n", " ") for page in pages]
    texts.append(re.sub(r"\$\{[^}]*\}", "name", workflow))
    found = [re.findall(r"^ *(scgan-perturb .*)$", text, re.MULTILINE) for text in texts]
    assert all(found)
    lines = [line for lines in found for line in lines]
    return lines + [f"scgan-perturb {name} {c.example}" for name, c in COMMANDS.items()]


def test_commands_of_the_pages_can_be_given():
    for line in documented_commands():
        words = shlex.split(line)[1:]
        if "--help" not in words:
            make_parser(words[0]).parse_args(words)
