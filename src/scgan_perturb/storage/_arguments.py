"""Checks of arguments that several verbs take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._keys import DEFAULT_LAYER, TSPG
from .._messages import warn
from .._recipes import TRANSPORT
from ..data._adata import check_adata
from ..data._on_disk import as_disk_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def check_names(
    key: str, groupby: object, *, written: Sequence[str], layer: str | None, output: str = ""
) -> None:
    """Raise ValueError if a result would overwrite an input, or a name cannot be stored."""
    if not isinstance(key, str) or not key or "/" in key:
        msg = f"key_added must be a name without '/', which files cannot store, not {key!r}."
        raise ValueError(msg)
    if output == "X" or (output == DEFAULT_LAYER and key != TSPG):
        msg = f"key_added={key!r} is the name of another matrix. Choose another name."
        raise ValueError(msg)
    if not isinstance(groupby, str):
        msg = f"groupby must be the name of a column of adata.obs, not {groupby!r}."
        raise ValueError(msg)
    if groupby in written:
        msg = f"groupby={groupby!r} would be overwritten by the result. Copy it to another column."
        raise ValueError(msg)
    if layer is not None and layer in ("X", output):
        msg = f"layer={layer!r} cannot be read here: " + (
            "leave layer out to read adata.X, or rename the layer."
            if layer == "X"
            else "the result is written there. Choose another key_added or layer."
        )
        raise ValueError(msg)


def check_checkpoint(folder: str | Path | None) -> None:
    """Raise ValueError if a folder for checkpoints cannot be made, before time is spent."""
    if folder is None:
        return
    path = Path(folder).absolute()
    first = next(part for part in (path, *path.parents) if part.exists())
    if not first.is_dir():
        inside = "" if first == path else f"would be inside {str(first)!r}, which "
        msg = (
            f"checkpoint={str(folder)!r} {inside}is a file; name a folder. It is created if it is "
            "missing."
        )
        raise ValueError(msg)
    if not os.access(first, os.W_OK):
        msg = f"checkpoint={str(folder)!r} cannot be written to. Name another folder."
        raise ValueError(msg)


def warn_of_unused_checkpoint(folder: str | Path | None, classifier: str, recipe: str) -> None:
    """Warn that a fit trains nothing, so that a checkpoint would be empty."""
    if folder is not None and recipe == TRANSPORT:
        warn(
            f"checkpoint={str(folder)!r} is not used: recipe {TRANSPORT!r} trains nothing but the "
            f"classifier, and that of adata.uns[{classifier!r}] is taken as it is. Leave "
            "checkpoint out; sp.tl.fit_classifier takes one."
        )


def without_none(**options: Any) -> dict[str, Any]:
    """Options as a fit stores them: without those that are None."""
    return {name: value for name, value in options.items() if value is not None}


def copy_if_asked(adata: AnnData, *, copy: bool) -> AnnData:
    """The AnnData or a copy of it; ValueError for a copy of a matrix on disk, or no AnnData."""
    check_adata(adata)
    if copy and (adata.isbacked or as_disk_matrix(adata.X) is not None):
        msg = "copy=True would read a matrix on disk into memory. Leave it out, or copy the file."
        raise ValueError(msg)
    return adata.copy() if copy else adata


def leave_view(adata: AnnData) -> None:
    """Copy a view into an AnnData that can be written to, with a warning at the user's line."""
    if adata.is_view:
        warn("adata is a view of another AnnData. It was copied, so that results can be written.")
        adata.obs = adata.obs.copy()
