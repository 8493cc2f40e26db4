"""Read inputs; write outputs completely or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

from .._messages import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData


def read_h5ad(path: Path) -> AnnData:
    """An AnnData from a file; the file is closed afterwards."""
    import anndata as ad  # noqa: PLC0415 (takes a second)

    if not path.is_file():
        msg = f"There is no file {str(path)!r}."
        raise FileNotFoundError(msg)
    try:
        return ad.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise many kinds
        msg = f"{str(path)!r} cannot be read as an .h5ad file: {error}"
        raise ValueError(msg) from error


def check_outputs(
    paths: Sequence[Path], suffixes: Collection[str], reference: Path | None = None
) -> None:
    """Raise ValueError if an output could not be written, before anything is computed."""
    for path in paths:
        if path.suffix not in suffixes:
            msg = f"Output {str(path)!r} must end in {' or '.join(suffixes)}."
        elif not path.parent.is_dir():
            msg = (
                f"Output {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}."
            )
        elif path.is_dir() or not os.access(path.parent, os.W_OK):
            msg = f"Output {str(path)!r} cannot be written: it is a folder, or its folder is read-only."
        elif reference is not None and path.resolve() == reference.resolve():
            msg = f"Output {str(path)!r} is the reference. Write to another file."
        else:
            continue
        raise ValueError(msg)


def write_whole(writers: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write each file under a temporary name beside its path; rename them once all are complete."""
    parts = {path: path.with_name(f".{uuid4().hex[:12]}{path.suffix}") for path in writers}
    try:
        for path, write in writers.items():
            write(parts[path])
        for path, part in parts.items():
            logger.info("%s %s", "Replaced" if path.exists() else "Wrote", path)
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
