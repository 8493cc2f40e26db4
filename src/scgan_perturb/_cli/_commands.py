"""The commands: which functions each calls, and what it writes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._keys import TSPG, tspg_keys
from ._files import check_outputs, read_h5ad, write_whole
from ._fit_options import gather_fit_options
from ._options import option_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData


class Command(NamedTuple):
    """Functions of `tl`, `get` and `pl` that compute, tabulate and draw, and what to say of it."""

    verb: str
    table: str
    figure: str  # empty where there is none
    outputs: dict[str, str]
    example: str


DATA = "the data with the result in it"
PERTURBED = {
    ".h5ad": "the data with model and perturbed samples in it",
    ".csv": "the change of each gene in each sample, in the units of the input, a row a sample",
}
COMMANDS = {
    "fit": Command(
        "fit_tspg",
        "perturbation",
        "",
        PERTURBED,
        "cells.h5ad fitted.h5ad --groupby tissue --target Lung",
    ),
    "perturb": Command(
        "perturb",
        "perturbation",
        "",
        PERTURBED,
        "new.h5ad perturbed.h5ad --reference fitted.h5ad --target Lung",
    ),
    "evaluate": Command(
        "evaluate",
        "evaluation_df",
        "evaluation",
        {".h5ad": DATA, ".csv": "a row a source and method", ".png": "the figure"},
        "fitted.h5ad evaluation.csv evaluation.png",
    ),
    "rank": Command(
        "rank_genes",
        "rank_genes_df",
        "rank_genes",
        {".h5ad": DATA, ".csv": "a row a gene of each group", ".png": "the figure"},
        "fitted.h5ad ranked.h5ad genes.csv genes.png",
    ),
    "enrich": Command(
        "enrich",
        "enrichment_df",
        "enrichment",
        {".h5ad": DATA, ".csv": "a row a gene set", ".png": "the figure"},
        "ranked.h5ad sets.csv sets.png --gene-sets hallmark.gmt",
    ),
}
ROWS = {
    "evaluation_df": {"source": None, "context": None},
    "rank_genes_df": {"group": None},
}  # all of the table


def run_command(
    name: str,
    source: Path,
    outputs: list[Path],
    options: dict[str, Any],
    figure_options: dict[str, Any],
) -> None:
    """Read, compute, write.

    Raises
    ------
    ValueError, KeyError, OSError
        If the data or the options cannot be used, as the functions raise them.
    """
    command = COMMANDS[name]
    options = gather_fit_options(options) if name == "fit" else options
    check_outputs(outputs, command.outputs, options.get("reference"))
    if figure_options and ".png" not in {path.suffix for path in outputs}:
        names = ", ".join(option_name(option) for option in figure_options)
        msg = f"{names}: options of the figure. Name a .png file to write, or leave them out."
        raise ValueError(msg)
    adata = read_h5ad(source)
    if "reference" in options:
        options = {**options, "reference": read_h5ad(options["reference"])}
    from .. import tl  # noqa: PLC0415 (takes seconds

    if name == "enrich":
        _rank_where_missing(adata, options.get("key", TSPG))
    getattr(tl, command.verb)(adata, **options)
    from ..engine._processes import is_first  # noqa: PLC0415 (takes seconds

    if not is_first():
        return  # what all processes that trained together have, the first one writes
    writers = _writers(command, adata, _names(name, options), figure_options)
    write_whole({path: writers[path.suffix] for path in outputs})


def _rank_where_missing(adata: AnnData, key: str) -> None:
    from .. import tl  # noqa: PLC0415

    if key in adata.uns and tspg_keys(key).rank_genes not in adata.uns:
        tl.rank_genes(adata, key=key)


def _names(command: str, options: dict[str, Any]) -> dict[str, str]:
    """What the result is called, as those that read it want to be told."""
    if command == "fit":
        return {"key": options.get("key_added", TSPG)}
    names = {"key": options.get("key", TSPG)}
    return names | ({"name": options["key_added"]} if "key_added" in options else {})


def _writers(
    command: Command, adata: AnnData, names: dict[str, str], figure_options: dict[str, Any]
) -> dict[str, Callable[[Path], object]]:
    """What writes a file, by its suffix."""
    return {
        ".h5ad": adata.write_h5ad,
        ".csv": partial(_write_table, command.table, adata, names),
        ".png": partial(_write_figure, command.figure, adata, names | figure_options),
    }


def _write_table(table: str, adata: AnnData, options: dict[str, Any], path: Path) -> None:
    from .. import get  # noqa: PLC0415

    frame = getattr(get, table)(adata, **options, **ROWS.get(table, {}))
    frame.to_csv(path, index=table == "perturbation")


def _write_figure(figure: str, adata: AnnData, options: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")  # no window, wherever it runs
    import matplotlib.pyplot as plt  # noqa: PLC0415

    from .. import pl  # noqa: PLC0415

    drawn = getattr(pl, figure)(adata, **options, return_fig=True)
    drawn.savefig(path, dpi=150)
    plt.close(drawn)
