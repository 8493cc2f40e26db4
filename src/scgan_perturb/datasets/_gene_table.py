"""A text table of genes × samples, read a block of genes at a time."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd

from .._messages import examples
from ..data._text_files import DamagedError, open_bytes, split_fields, split_values, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VAR_NAMES = ("symbol", "gene_id")
# Genes that are read at a time: 12 MB of float32 for the 11,688 samples of GTEx v7.
BLOCK_GENES = 256
# Limits of a line: a small gzip file can hold one of many GB.
LONGEST_HEADER = 1 << 24
LONGEST_NAMES, LONGEST_NUMBER = 1 << 16, 64


@dataclass
class GeneTable:
    """A table whose header has been read. A line is a gene: its names, then a value a sample."""

    path: Path  # for error messages
    file: IO[bytes]  # at the first gene
    samples: list[str]
    n_names: int  # columns before the first sample
    n_genes: int | None = None  # as the file announces
    n_skipped: int = 0  # columns before the names

    def __post_init__(self) -> None:
        if not self.samples:
            msg = f"{self.path} has no samples."
            raise DamagedError(msg)
        refuse_duplicates(self.path, "samples", pd.Index(self.samples))

    def blocks(self) -> Iterator[tuple[list[list[str]], np.ndarray]]:
        """Names and float32 values (genes × samples), 256 genes at a time."""
        n_read = 0
        longest = LONGEST_NAMES + LONGEST_NUMBER * len(self.samples)
        every_line = iter(partial(self.file.readline, longest), b"")
        while lines := list(islice(every_line, BLOCK_GENES)):
            lines = [line for line in lines if line.strip()]
            n_read += len(lines)
            if self.n_genes is not None and n_read > self.n_genes:
                break
            if lines:
                yield self._parse(lines)
        if self.n_genes is not None and n_read != self.n_genes:
            found = f"{n_read:,}. The file is cut off"
            if n_read > self.n_genes:
                found = f"{n_read:,} or more. The file is damaged"
            msg = (
                f"{self.path} announces {self.n_genes:,} genes and has {found}; download it again."
            )
            raise DamagedError(msg)

    def _parse(self, lines: list[bytes]) -> tuple[list[list[str]], np.ndarray]:
        names, values = [], []
        for line in lines:
            fields, rest, n_values = split_values(line, self.n_names, len(self.samples))
            if n_values != len(self.samples):
                gene = (fields[self.n_skipped :] or fields or [rest])[0][:60].decode(
                    errors="replace"
                )
                msg = (
                    f"{self.path}: {gene!r} has {n_values:,} values for {len(self.samples):,} "
                    "samples. The file is cut off or damaged; download it again."
                )
                raise DamagedError(msg)
            names.append([unquoted(name.decode()) for name in fields[self.n_skipped :]])
            values.append(rest)
        return names, self._numbers(names, values)

    def _numbers(self, names: list[list[str]], values: list[bytes]) -> np.ndarray:
        try:
            numbers = read_numbers(values, len(self.samples))
            wrong = ~np.isfinite(numbers).all(axis=1)
        except ValueError:
            wrong = np.array([not _all_numbers(line, len(self.samples)) for line in values])
        if wrong.any():
            which = examples(name[0] for name, bad in zip(names, wrong, strict=True) if bad)
            msg = f"{self.path}: not every value of {which} is a finite number."
            raise DamagedError(msg)
        return numbers


def read_numbers(
    lines: list[bytes], n_values: int, *, gaps: tuple[str, ...] | None = None
) -> np.ndarray:
    """Float32 values, lines × `n_values`; NaN for each of the texts in `gaps`."""
    # As one long column: pandas' reader is slow at many columns.
    column = pd.read_csv(
        io.BytesIO(b"\n".join([*lines, b""]).replace(b"\t", b"\n")),
        header=None,
        dtype=np.float32,
        keep_default_na=False,
        na_values=gaps,
        na_filter=gaps is not None,
        skip_blank_lines=False,
        quoting=csv.QUOTE_NONE,
    )
    return column.to_numpy().reshape(len(lines), n_values)


def _all_numbers(line: bytes, n_values: int) -> bool:
    try:
        return bool(np.isfinite(read_numbers([line], n_values)).all())
    except ValueError:
        return False


def read_header(file: IO[bytes]) -> list[str]:
    """The fields of the next line, without tabs at its end."""
    return split_fields(file.readline(LONGEST_HEADER).decode().rstrip("\t\r\n"))


def read_columns(path: Path, columns: list[str]) -> pd.DataFrame:
    """Some columns of a tab-separated file, as text. The first column becomes the index."""
    with open_bytes(path) as file:
        header = read_header(file)
        if missing := [name for name in columns if name not in header]:
            msg = f"{path} has no column {examples(missing)}, but {examples(header)}."
            raise DamagedError(msg)
        table = pd.read_csv(
            file,
            sep="\t",
            names=header,
            index_col=False,
            usecols=columns,
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
        )
    table = table.set_index(columns[0])[columns[1:]]
    refuse_duplicates(path, "names", table.index)
    return table


def refuse_duplicates(path: Path, what: str, names: pd.Index) -> None:
    """Raise ValueError if a name occurs twice."""
    if names.has_duplicates:
        msg = f"{path} names {what} twice: {examples(names[names.duplicated()].unique())}."
        raise DamagedError(msg)


def name_genes(var: pd.DataFrame, var_names: str) -> pd.DataFrame:
    """`var` with the columns `gene_id` and `symbol`, indexed by one of them; each name once."""
    ids, symbols = var["gene_id"].astype(str), var["symbol"].astype(str)
    unusable = (symbols == "") | symbols.duplicated() | symbols.isin(ids)
    names = ids if var_names == "gene_id" else symbols.mask(unusable, ids)
    return var.set_axis(pd.Index(names.to_numpy()), axis=0)
