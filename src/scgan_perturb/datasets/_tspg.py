"""Read the files that the method's original code takes."""

from __future__ import annotations

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from .._messages import examples, logger, warn
from ..data._text_files import open_bytes, read_lines, split_fields, split_values, unquoted
from ._gene_table import read_numbers, refuse_duplicates

GAPS = ("NA", "NaN", "nan", "")


def read_tspg(
    matrix: str | Path, labels: str | Path, gene_sets: str | Path | None = None
) -> ad.AnnData:
    """Read the files that the method's original code (TSPG) takes.

    Text may be compressed with gzip, and may be as R's `write.table` writes it: quoted, and without
    a cell above the names of the samples.

    Parameters
    ----------
    matrix
        Expression, samples × genes. Either tab-separated text, with the genes' names in the first
        line and the samples' in the first column; or a `.npy` file `X.npy`, with the names beside it
        in `X.rownames.txt` and `X.colnames.txt` (or `X_rownames.txt` and `X_colnames.txt`), one a
        line.
    labels
        Tab-separated text without a header: sample, label. Samples are matched by name; the original
        code relies on their order.
    gene_sets
        One set a line: its name, then its genes, separated by tabs, spaces or commas. For a GMT file,
        which has a description after the name, use :func:`scgan_perturb.pp.gene_set`.

    Returns
    -------
    AnnData of samples × genes, float32. `obs["label"]` has the labels. `var` has a boolean column
    for each gene set, named after it, for use as `mask_var`. As in the original code, missing values
    are replaced with the smallest value of the matrix; a warning says how many.

    Raises
    ------
    FileNotFoundError
        If a file does not exist, or a `.npy` file has no file of names beside it.
    ValueError
        If a file has another format, the names do not fit the matrix, a sample has no label, a name
        occurs twice, or none of a set's genes is in the matrix.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.read_tspg(
    ...     "example.train.emx.txt", "example.train.labels.txt", "example.genesets.txt"
    ... )  # doctest: +SKIP
    >>> sp.tl.fit_tspg(adata, "label", "class-00", mask_var="gene-set-000")  # doctest: +SKIP
    """
    matrix, labels = Path(matrix).expanduser(), Path(labels).expanduser()
    x, samples, genes = _read_npy(matrix) if matrix.suffix == ".npy" else _read_text(matrix)
    refuse_duplicates(matrix, "samples", samples)
    refuse_duplicates(matrix, "genes", genes)
    adata = ad.AnnData(
        _without_gaps(x),
        obs=pd.DataFrame({"label": _read_labels(labels, samples)}, index=samples),
        var=pd.DataFrame(index=genes),
    )
    if gene_sets is not None:
        _mark_gene_sets(adata, Path(gene_sets).expanduser())
    return adata


def _read_text(path: Path) -> tuple[np.ndarray, pd.Index, pd.Index]:
    with open_bytes(path) as file:
        header = split_fields(file.readline().decode().rstrip("\t\r\n"))
        lines = [line for line in file if line.strip()]
        genes = _genes_of(header, lines[0]) if lines else []
        if not genes:
            msg = f"{path} is not a tab-separated table of samples × genes."
            raise ValueError(msg)
        samples, values = [], []
        for line in lines:
            name, rest, n_values = split_values(line, 1, len(genes))
            samples.append(unquoted((name or [rest])[0].decode()))
            values.append(rest)
            if n_values != len(genes):
                msg = f"{path} names {len(genes):,} genes in its first line; {samples[-1]!r} has {n_values:,} values."
                raise ValueError(msg)
    try:
        # A copy, because arrays from pandas 3 are read-only.
        x = read_numbers(values, len(genes), gaps=GAPS).copy()
    except ValueError as error:
        msg = f"{path} is not a tab-separated table of numbers: {error}."
        raise ValueError(msg) from error
    return x, pd.Index(samples), pd.Index(genes)


def _genes_of(header: list[str], line: bytes) -> list[str]:
    """Names of the genes in the first line: after a cell above the samples, which R leaves out."""
    _, _, n_values = split_values(line, 1, len(header) - 1)
    has_corner = header[0] == "" or n_values != len(header)
    return header[1:] if has_corner else header


def _read_npy(path: Path) -> tuple[np.ndarray, pd.Index, pd.Index]:
    try:
        x = np.load(path, allow_pickle=False).astype(np.float32)
    except (ValueError, EOFError) as error:
        msg = f"{path} is not a .npy file of numbers: {error}"
        raise ValueError(msg) from error
    names = []
    for what in ("rownames", "colnames"):
        beside = [path.with_name(f"{path.stem}{mark}{what}.txt") for mark in "._"]
        found = next((file for file in beside if file.is_file()), None)
        if found is None:
            msg = f"{path} needs its {what} in {beside[0].name} beside it. There is no such file."
            raise FileNotFoundError(msg)
        names.append(pd.Index([unquoted(n.strip()) for n in read_lines(found) if n.strip()]))
    if x.shape != (len(names[0]), len(names[1])):
        msg = (
            f"{path} has the shape {x.shape}, but its files of names have {len(names[0]):,} rows "
            f"(samples) and {len(names[1]):,} columns (genes)."
        )
        raise ValueError(msg)
    return x, names[0], names[1]


def _without_gaps(x: np.ndarray) -> np.ndarray:
    missing = np.isnan(x)
    if missing.all():
        msg = "The matrix has no values."
        raise ValueError(msg)
    if missing.any():
        smallest = x[~missing].min()
        warn(f"{missing.sum():,} missing values were replaced with the smallest, {smallest:g}.")
        x[missing] = smallest
    return x


def _read_labels(path: Path, samples: pd.Index) -> pd.Categorical:
    rows = [split_fields(line) for line in read_lines(path) if line.strip()]
    if rows and len(rows[0]) == 1 and all(len(row) > 1 for row in rows[1:]):
        rows = rows[1:]  # R's header, which names the labels only
    if wrong := [row[0] for row in rows if len(row) < 2 or not row[1].strip()]:
        msg = f"{path} is not a tab-separated list of samples and labels: {examples(wrong)} has no label."
        raise ValueError(msg)
    table = pd.Series([row[1].strip() for row in rows], index=[row[0].strip() for row in rows])
    refuse_duplicates(path, "samples", table.index)
    if missing := [sample for sample in samples if sample not in table.index]:
        msg = f"{path} has no label for {len(missing):,} of the {len(samples):,} samples ({examples(missing)})."
        raise ValueError(msg)
    return pd.Categorical(table[samples])


def _mark_gene_sets(adata: ad.AnnData, path: Path) -> None:
    """Write a boolean column for each set."""
    lines = [line.replace('"', "").strip() for line in read_lines(path)]
    sets = [re.split(r"[\s,]+", line) for line in lines if line]
    refuse_duplicates(path, "gene sets", pd.Index([name for name, *_ in sets]))
    missing: dict[str, None] = {}
    columns = {}
    for name, *genes in sets:
        if "/" in name:
            msg = f"{path}: an h5ad file cannot hold the column {name!r}. Rename the set, without '/'."
            raise ValueError(msg)
        columns[name] = adata.var_names.isin(genes)
        if not columns[name].any():
            msg = f"{path}: none of the {len(genes):,} genes of {name!r} is in the matrix ({examples(adata.var_names[:3])})."
            raise ValueError(msg)
        missing |= dict.fromkeys(gene for gene in genes if gene not in adata.var_names)
    adata.var = pd.DataFrame(columns, index=adata.var_names)
    if missing:
        logger.info("Gene sets: %s genes not found: %s.", f"{len(missing):,}", examples(missing))
