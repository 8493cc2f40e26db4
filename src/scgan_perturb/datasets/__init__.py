"""Named data, fetched once, checked and kept in a cache folder; and readers of data at hand."""

from ._gct import read_gct
from ._gtex import gtex
from ._pbmc68k import pbmc68k
from ._rnaseqdb import rnaseqdb
from ._tcga import tcga, tcga_kidney
from ._tspg import read_tspg

__all__ = ["gtex", "pbmc68k", "read_gct", "read_tspg", "rnaseqdb", "tcga", "tcga_kidney"]
