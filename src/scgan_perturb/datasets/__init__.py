"""Data sets, downloaded once into a cache folder and checked; and readers of files."""

from ._gct import read_gct
from ._gtex import gtex
from ._pbmc68k import pbmc68k
from ._rnaseqdb import rnaseqdb
from ._tcga import tcga, tcga_kidney
from ._tspg import read_tspg

__all__ = ["gtex", "pbmc68k", "read_gct", "read_tspg", "rnaseqdb", "tcga", "tcga_kidney"]
