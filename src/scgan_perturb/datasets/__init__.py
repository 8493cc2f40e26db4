"""Named data: fetched once, checked by hash, kept in a cache folder."""

from ._pbmc68k import pbmc68k
from ._rnaseqdb import rnaseqdb

__all__ = ["pbmc68k", "rnaseqdb"]
