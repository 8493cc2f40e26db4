"""The commands: the functions that they call and the files that they write."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._keys import TSPG, tspg_keys
from ..engine._processes import is_first
from ._files import check_outputs, read_h5ad, write_whole
from ._fit_options import Engine, fit_arguments, recipe_options
from ._options import Option, option_name, options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    from anndata import AnnData


class Command(NamedTuple):
    """Functions of `tl`, `get` and `pl` that compute, tabulate and draw; and texts for the help.

    An empty name stands for no function.
    """

    summary: str
    verb: str
    table: str
    figure: str
    outputs: dict[str, str]
    example: str
    of_table: tuple[str, ...] = ()  # options of the table that the command offers


DATA = "the data with the result in it"
PERTURBED = {
    ".h5ad": "the data with model and perturbed samples in it",
    ".csv": "the change of each gene in each sample, in the units of the input, a row a sample",
}
COMMANDS = {
    "fit": Command(
        "Fit a generator that perturbs samples towards a target label, and perturb all samples.",
        "fit_tspg",
        "perturbation",
        "",
        PERTURBED,
        "cells.h5ad fitted.h5ad --groupby tissue --target Lung",
    ),
    "perturb": Command(
        "Perturb samples with a generator that was fitted before.",
        "perturb",
        "perturbation",
        "",
        PERTURBED,
        "new.h5ad perturbed.h5ad --reference fitted.h5ad --target Lung",
    ),
    "evaluate": Command(
        "Measure how real perturbed samples are, beside baselines and real samples.",
        "evaluate",
        "evaluation_df",
        "evaluation",
        {".h5ad": DATA, ".csv": "a row a source and method", ".png": "the figure"},
        "fitted.h5ad evaluation.csv evaluation.png",
    ),
    "rank": Command(
        "Rank genes by their mean perturbation, for each source class and for all together.",
        "rank_genes",
        "rank_genes_df",
        "rank_genes",
        {".h5ad": DATA, ".csv": "a row a gene of each group", ".png": "the figure"},
        "fitted.h5ad ranked.h5ad genes.csv genes.png",
        ("context",),
    ),
    "enrich": Command(
        "Find gene sets that hold more of the perturbed genes than chance would.",
        "enrich",
        "enrichment_df",
        "enrichment",
        {".h5ad": DATA, ".csv": "a row a gene set", ".png": "the figure"},
        "ranked.h5ad sets.csv sets.png --gene-sets hallmark.gmt",
    ),
    "embed": Command(
        "Embed originals and perturbed samples in two dimensions, for a report.",
        "embed",
        "",
        "",
        {".h5ad": DATA},
        "ranked.h5ad embedded.h5ad",
    ),
    "report": Command(
        "Write all results that a file holds to one page for colleagues without Python.",
        "",
        "",
        "report",
        {".html": "a page that opens in any browser, without a network"},
        "fitted.h5ad report.html",
    ),
}
FIGURES = {".png", ".html"}
WHOLE_TABLE = {
    "evaluation_df": {"source": None, "context": None},
    "rank_genes_df": {"group": None},
}


def verb_options(name: str) -> dict[str, dict[str, Option]]:
    """The options of a command's computation, by their heading in its help."""
    from .. import tl  # noqa: PLC0415 (takes a second)

    verb = COMMANDS[name].verb
    groups = {f"options of sp.tl.{verb}": options_of(getattr(tl, verb))} if verb else {}
    if name == "fit":
        groups["options of the recipe"] = recipe_options()
        groups["options of the engine"] = options_of(Engine)
    return groups


def figure_options(name: str) -> dict[str, Option]:
    """The options of a command's figure that are not options of its computation."""
    if not (figure := COMMANDS[name].figure):
        return {}
    from .. import pl  # noqa: PLC0415 (takes a second)

    taken = {"name"}.union(*verb_options(name).values())
    options = options_of(getattr(pl, figure))
    return {option: about for option, about in options.items() if option not in taken}


def table_options(name: str) -> dict[str, Option]:
    """The options of a command's table."""
    if not (offered := COMMANDS[name].of_table):
        return {}
    from .. import get  # noqa: PLC0415 (takes a second)

    options = options_of(getattr(get, COMMANDS[name].table))
    return {option: options[option] for option in offered}


def run_command(name: str, source: Path, outputs: list[Path], given: Mapping[str, Any]) -> None:
    """Read, compute, write."""
    command, of_figure, of_table = COMMANDS[name], figure_options(name), table_options(name)
    drawing = {option: value for option, value in given.items() if option in of_figure}
    tabulating = {option: value for option, value in given.items() if option in of_table}
    taken = {*drawing, *tabulating}
    options = {option: value for option, value in given.items() if option not in taken}
    options = fit_arguments(options) if name == "fit" else options
    check_outputs(outputs, command.outputs, options.get("reference"))
    _check_used(drawing, "figure", FIGURES, outputs)
    _check_used(tabulating, "table", {".csv"}, outputs)
    adata = read_h5ad(source)
    if "reference" in options:
        options["reference"] = read_h5ad(options["reference"])
    from .. import tl  # noqa: PLC0415 (takes a second)

    if name == "enrich":
        _rank_where_missing(adata, options.get("key", TSPG))
    if command.verb:
        getattr(tl, command.verb)(adata, **options)
    if is_first():  # all processes that trained together have the same result
        writers = _writers(command, adata, result_names(name, options), drawing, tabulating)
        write_whole({path: writers[path.suffix] for path in outputs})


def _check_used(
    options: Mapping[str, Any], what: str, suffixes: set[str], outputs: list[Path]
) -> None:
    """Raise ValueError if options are of an output that is not written."""
    if options and not suffixes & {path.suffix for path in outputs}:
        names = ", ".join(option_name(option) for option in options)
        suffix = ".png" if suffixes == FIGURES else ".csv"
        msg = f"{names}: options of the {what}. Name a {suffix} file as output, or leave them out."
        raise ValueError(msg)


def _rank_where_missing(adata: AnnData, key: str) -> None:
    from .. import tl  # noqa: PLC0415

    if key in adata.uns and tspg_keys(key).rank_genes not in adata.uns:
        tl.rank_genes(adata, key=key)


def result_names(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The names of the result, as arguments of the functions that read it."""
    names = {"key": options.get("key", TSPG)}
    if name == "fit":
        names = {"key": options.get("key_added", TSPG)}
    elif name == "evaluate" and "prediction" in options:
        names = {"key": options.get("key_added", options["prediction"])}
    elif name == "enrich" and "key_added" in options:
        names["name"] = options["key_added"]
    return names


def _writers(
    command: Command,
    adata: AnnData,
    names: dict[str, str],
    drawing: dict[str, Any],
    tabulating: dict[str, Any],
) -> dict[str, Callable[[Path], object]]:
    """Functions that write a file, by its suffix."""
    return {
        ".h5ad": adata.write_h5ad,
        ".csv": partial(_write_table, command.table, adata, names | tabulating),
        ".png": partial(_write_figure, command.figure, adata, names | drawing),
        ".html": partial(_write_report, adata, names | drawing),
    }


def _write_table(table: str, adata: AnnData, options: dict[str, Any], path: Path) -> None:
    from .. import get  # noqa: PLC0415

    frame = getattr(get, table)(adata, **options, **WHOLE_TABLE.get(table, {}))
    frame.to_csv(path, index=table == "perturbation")


def _write_report(adata: AnnData, options: dict[str, Any], path: Path) -> None:
    _pl().report(adata, path, **options)


def _pl() -> ModuleType:
    """The plots, drawn without a display."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from .. import pl  # noqa: PLC0415

    return pl


def _write_figure(figure: str, adata: AnnData, options: dict[str, Any], path: Path) -> None:
    pl = _pl()
    import matplotlib.pyplot as plt  # noqa: PLC0415

    drawn = getattr(pl, figure)(adata, **options, return_fig=True)
    drawn.savefig(path, dpi=150)
    plt.close(drawn)
