"""Convert a text table of genes × samples to an h5ad file of samples × genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._settings import settings
from ._gene_table import BLOCK_GENES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from ._gene_table import GeneTable

# 256 kB of float32: as wide as a block of genes, so that each is compressed once, and low enough
# that neither one sample nor one gene needs the whole file read.
CHUNK_SAMPLES = 256
N_GENES_AT_FIRST = 4096  # where the table does not announce their number


def convert(
    table: GeneTable,
    path: Path,
    *,
    obs: pd.DataFrame,
    describe_genes: Callable[[list[list[str]]], pd.DataFrame],
    transform: Callable[[np.ndarray], np.ndarray],
) -> Path:
    """Write the transformed table to `path`, all of it or nothing; memory holds 256 genes only.

    `describe_genes` makes `var` from the genes' names.
    """
    import h5py  # noqa: PLC0415
    from anndata.io import write_elem  # noqa: PLC0415
    from tqdm import tqdm  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    n_samples = len(table.samples)
    names: list[list[str]] = []
    try:
        with h5py.File(part, "w") as file:
            x = file.create_dataset(
                "X",
                shape=(n_samples, table.n_genes or N_GENES_AT_FIRST),
                maxshape=(n_samples, None),
                dtype=np.float32,
                chunks=(min(CHUNK_SAMPLES, n_samples), BLOCK_GENES),
                compression="gzip",
                compression_opts=1,
            )
            x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            with tqdm(
                total=table.n_genes,
                unit=" genes",
                desc=path.name,
                disable=not settings.progress_bar,
            ) as bar:
                for block, values in table.blocks():
                    stop = len(names) + len(block)
                    if stop > x.shape[1]:
                        x.resize(2 * stop, axis=1)
                    x[:, len(names) : stop] = transform(values).T
                    names += block
                    bar.update(len(block))
            x.resize(len(names), axis=1)
            write_elem(file, "obs", obs)
            write_elem(file, "var", describe_genes(names))
            for group in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
                write_elem(file, group, {})
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
