"""GCT files: genes × samples, with the shape announced."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anndata as ad
import numpy as np
import pandas as pd

from .._messages import check_choice
from ..data._text_files import DamagedError, open_bytes
from ._gene_table import VAR_NAMES, GeneTable, name_genes, read_header, refuse_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "#1.2"
SHAPE = re.compile(rb"\s*(\d{1,12})\s+(\d{1,12})\s*")
MOST_COMPRESSED = 1032  # gzip makes at most this many bytes of one


def read_gct(path: str | Path, *, var_names: Literal["symbol", "gene_id"] = "symbol") -> ad.AnnData:
    """Read a GCT file (version 1.2), plain or compressed with gzip.

    The values are returned as they are in the file. Take logarithms yourself if you need them.

    Parameters
    ----------
    path
        Path of the file: genes × samples, with Name and Description as its first columns, as in
        GTEx's files of all tissues, or after a column id, as in those of single tissues.
    var_names
        Name genes by their symbol (the column Description) or by their id (Name). Where several
        genes share a symbol, the first has the symbol as its name and the others have their ids.

    Returns
    -------
    AnnData of samples × genes, float32, with `var["gene_id"]` and `var["symbol"]`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a GCT file of version 1.2, is cut off or damaged, has another shape than
        it announces, or names a sample or an id twice; or if `var_names` is not a valid choice.

    Examples
    --------
    >>> import numpy as np
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.read_gct("gene_tpm.gct.gz")  # doctest: +SKIP
    >>> adata.X = np.log2(adata.X + 1)  # doctest: +SKIP
    """
    check_choice("var_names", var_names, VAR_NAMES)
    path = Path(path).expanduser()
    with open_gct(path) as table:
        x = np.empty((len(table.samples), table.n_genes or 0), dtype=np.float32)
        names: list[list[str]] = []
        for block, values in table.blocks():
            x[:, len(names) : len(names) + len(block)] = values.T
            names += block
    return ad.AnnData(
        x,
        obs=pd.DataFrame(index=table.samples),
        var=name_genes(describe_genes(path, names), var_names),
    )


@contextmanager
def open_gct(path: Path) -> Iterator[GeneTable]:
    """A GCT file whose header has been read."""
    with open_bytes(path) as file:
        version = file.readline(200).decode(errors="replace").strip()
        if version != VERSION:
            msg = f"{path} is not a GCT file of version 1.2: it begins with {version[:40]!r}, not {VERSION!r}."
            raise DamagedError(msg)
        shape = SHAPE.fullmatch(file.readline(200))
        columns = read_header(file)
        lowered = [column.lower() for column in columns]
        n_skipped = int(lowered[0] == "id")  # GTEx's files of single tissues count the genes
        if shape is None:
            msg = f"{path} is not a GCT file: its second line is not the number of genes and of samples."
            raise DamagedError(msg)
        if lowered[n_skipped:][:2] != ["name", "description"]:
            msg = f"{path} is not a GCT file: its third line does not begin with Name and Description."
            raise DamagedError(msg)
        n_genes, n_samples = map(int, shape.groups())
        samples = columns[n_skipped + 2 :]
        if len(samples) != n_samples:
            msg = f"{path} announces {n_samples:,} samples and has {len(samples):,}. The file is damaged; download it again."
            raise DamagedError(msg)
        if n_genes * n_samples > path.stat().st_size * MOST_COMPRESSED:
            msg = f"{path} announces {n_genes:,} genes, more than it can hold. The file is cut off; download it again."
            raise DamagedError(msg)
        yield GeneTable(path, file, samples, n_skipped + 2, n_genes, n_skipped)


def describe_genes(path: Path, names: list[list[str]]) -> pd.DataFrame:
    """Ids and symbols, as columns, by id."""
    var = pd.DataFrame(names, columns=["gene_id", "symbol"])
    var.index = pd.Index(var["gene_id"].to_numpy())
    refuse_duplicates(path, "genes", var.index)
    return var
