"""Tab-separated text as R, Excel and others write it: gzip, byte order marks, quotes, line ends."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP, BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
CHUNK = 1 << 20


class DamagedError(ValueError):
    """A file is cut off, damaged, or of another format."""


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a text file, decompressed where it is a gzip file, without a byte order mark."""
    with path.open("rb") as raw:
        file: io.BufferedReader = raw
        try:
            if file.peek(len(GZIP)).startswith(GZIP):
                file = io.BufferedReader(gzip.GzipFile(fileobj=raw), CHUNK)  # type: ignore[type-var]
            if file.peek(len(BOM)).startswith(BOM):
                file.read(len(BOM))
            yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            msg = f"{path} is cut off or damaged ({error}); download it again."
            raise DamagedError(msg) from error
        except UnicodeDecodeError as error:
            msg = f"{path} is not UTF-8 text. Save it as UTF-8."
            raise DamagedError(msg) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without their ends."""
    with open_bytes(path) as file:
        # Not splitlines, which also breaks at characters that a text may hold.
        return [line.removesuffix("\r") for line in file.read().decode().split("\n")]


def split_fields(line: str) -> list[str]:
    """The fields of a line, without quotes."""
    return [unquoted(field) for field in line.rstrip("\r\n").split("\t")]


def unquoted(text: str) -> str:
    """A text without the quotes around it."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"').replace('\\"', '"') if is_quoted else text


def split_values(line: bytes, n_names: int, n_values: int) -> tuple[list[bytes], bytes, int]:
    """Names, values as text, and number of values of a line, without tabs beyond the last value."""
    *names, rest = line.rstrip(b"\r\n").split(b"\t", n_names)
    n_found = 1 + rest.count(b"\t") if len(names) == n_names else 0
    while n_found > n_values and rest.endswith(b"\t"):
        rest, n_found = rest[:-1], n_found - 1
    return names, rest.replace(b'"', b""), n_found
