"""Write results to the file that holds the expression."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr

from ..engine._processes import is_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from lightning_fabric import Fabric

    from ..data._matrix import ExpressionMatrix

    Group: TypeAlias = Any  # h5py.Group or zarr.Group

COLUMNS = "column-order"  # the columns of a table that anndata reads
READ_ONLY = "which holds no AnnData or is read-only"
REMEDY = (
    "Open it for writing: ad.read_h5ad(path, backed='r+'), or zarr.open_group(path, mode='r+') for "
    "anndata.io.sparse_dataset; or perturb a subset in memory, adata[rows].to_memory()."
)


def writable_file(matrix: ExpressionMatrix) -> Group | None:
    """The AnnData in the file of a matrix; None without such a file, or if it is read-only.

    Raises
    ------
    ValueError
        If the file has the format of anndata 0.6, to which no column can be added.
    """
    element = matrix.element
    if element is None:
        return None
    # X, or layers/name.
    parts = element.name.strip("/").split("/")
    depth = 2 if parts[-2:-1] == ["layers"] else 1
    path = "/".join(parts[:-depth])
    if isinstance(element, (h5py.Dataset, h5py.Group)):
        root = element.file[path or "/"] if element.file.mode == "r+" else None
    elif element.store.read_only:
        root = None
    else:
        root = zarr.open_group(element.store, path=path, mode="r+", use_consolidated=False)
    # Files of anndata 0.7 and of R do not say that they hold an AnnData.
    if root is None or "obs" not in root or "var" not in root:
        return None
    if COLUMNS not in root["obs"].attrs:
        msg = (
            "The file has the format of anndata 0.6, to which results cannot be added. Write it in "
            "the present format, ad.read_h5ad(path).write_h5ad(path), or open it for reading, "
            "ad.read_h5ad(path, backed='r')."
        )
        raise ValueError(msg)
    return root


def check_writers(matrix: ExpressionMatrix, fabric: Fabric) -> None:
    """Raise ValueError if results cannot be written to the file: before time is spent."""
    file = writable_file(matrix)
    if fabric.world_size > 1 and isinstance(file, h5py.Group):
        msg = (
            f"{fabric.world_size} processes cannot write to one h5ad file. Open it for reading, "
            "ad.read_h5ad(path, backed='r'), or convert it to zarr, which supports several writers."
        )
        raise ValueError(msg)


def results_file(matrix: ExpressionMatrix) -> Group:
    """The AnnData in the file of a matrix; ValueError if it cannot be written to."""
    if not is_first():
        msg = (
            "The result is written to the file of the samples, by one process only. Call it on rank "
            "0: from lightning_fabric.utilities.rank_zero import rank_zero_only; "
            "rank_zero_only(sp.tl.perturb)(adata, ...)."
        )
        raise ValueError(msg)
    file = writable_file(matrix)
    if file is None:
        msg = f"The result is written to the file of the samples, {READ_ONLY}. {REMEDY}"
        raise ValueError(msg)
    return file


def own_handle(adata: AnnData, element: Any) -> Any:
    """A layer of the file of an AnnData that stays open when anndata closes this file.

    `adata[rows].to_memory()` closes it. X is opened again by anndata, a layer is not.
    """
    if not adata.isbacked:
        return element
    stored = element.group if isinstance(element, ad.abc.CSRDataset) else element
    if not isinstance(stored, (h5py.Dataset, h5py.Group)):
        return element
    reopened = h5py.File(stored.file.id.reopen())[stored.name]
    return reopened if stored is element else ad.io.sparse_dataset(reopened)


def store_results(
    adata: AnnData, matrix: ExpressionMatrix, *, obs: Sequence[str] = (), uns: Sequence[str] = ()
) -> None:
    """Write columns and entries of an AnnData to the file of the matrix, on rank 0, if possible."""
    file = writable_file(matrix)
    if file is None or not is_first():
        return
    for key in uns:
        store_fit(file, key, adata.uns[key])
    if obs:
        store_columns(file, {name: adata.obs[name].array for name in obs})
    commit(file)


def store_columns(file: Group, columns: Mapping[str, Any], chunk: int | None = None) -> None:
    """Write columns of `obs`; list them in the table only once they are complete.

    Parameters
    ----------
    file
        The AnnData in the file.
    columns
        Values by name.
    chunk
        Samples in a chunk of a zarr store; None for zarr's default.
    """
    obs = file["obs"]
    others = [name for name in obs.attrs[COLUMNS] if name not in columns]
    obs.attrs[COLUMNS] = others
    for name, values in columns.items():
        _write(obs, name, values, chunk if isinstance(file, zarr.Group) else None)
    obs.attrs[COLUMNS] = [*others, *columns]


def _write(group: Group, name: str, value: object, chunk: int | None = None) -> None:
    options = {} if chunk is None else {"dataset_kwargs": {"chunks": (chunk,)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata warns that its zarr format will change
        ad.io.write_elem(group, name, value, **options)


def drop_column(file: Group, name: str) -> None:
    """Delete a column of `obs`, if it exists."""
    obs = file["obs"]
    if name in obs:
        obs.attrs[COLUMNS] = [other for other in obs.attrs[COLUMNS] if other != name]
        del obs[name]


def store_fit(file: Group, key: str, fit: Mapping[str, Any]) -> None:
    """Write an entry of `uns`; parts that are already stored are not written again."""
    uns = file.require_group("uns")
    stored = ad.io.read_elem(uns[key]) if key in uns else None
    if not isinstance(stored, dict):
        _write(uns, key, dict(fit))
        return
    for name in set(stored) - set(fit):
        del uns[key][name]
    for name, value in fit.items():
        if name not in stored or not _same(stored[name], value):
            _write(uns[key], name, value)


def _same(stored: object, value: object) -> bool:
    if isinstance(stored, dict) and isinstance(value, dict):
        return stored.keys() == value.keys() and all(_same(stored[k], value[k]) for k in value)
    if isinstance(stored, pd.DataFrame):
        return stored.equals(value)
    fields = [np.asarray(values).dtype.names for values in (stored, value)]
    return fields[0] == fields[1] and np.array_equal(stored, value)  # type: ignore[arg-type]


def commit(file: Group) -> None:
    """Flush the file, and update the consolidated metadata that zarr readers use."""
    flush(file)
    if isinstance(file, zarr.Group) and _is_consolidated(file):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr warns that this is not part of its format 3
            zarr.consolidate_metadata(file.store, path=file.path)


def _is_consolidated(file: zarr.Group) -> bool:
    group = zarr.open_group(file.store, path=file.path, mode="r")
    return group.metadata.consolidated_metadata is not None


def flush(file: Group) -> None:
    """Hand written data to the operating system, so that it survives a killed process."""
    if isinstance(file, h5py.Group):
        file.file.flush()
