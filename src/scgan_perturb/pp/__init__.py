"""Preprocessing: gene sets."""

from ._gene_set import gene_set

__all__ = ["gene_set"]
