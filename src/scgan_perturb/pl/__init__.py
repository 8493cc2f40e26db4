"""Plots of what `get` returns."""

from ._context_heatmap import context_heatmap
from ._embedding import pca, tsne, umap
from ._enrichment import enrichment
from ._evaluation import evaluation
from ._heatmap import perturbation_heatmap
from ._history import history
from ._rank_genes import rank_genes
from ._report import report

__all__ = [
    "context_heatmap",
    "enrichment",
    "evaluation",
    "history",
    "pca",
    "perturbation_heatmap",
    "rank_genes",
    "report",
    "tsne",
    "umap",
]
