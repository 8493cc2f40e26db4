"""Plotting: draws what `get` hands it."""

from ._embedding import pca, tsne, umap
from ._heatmap import perturbation_heatmap
from ._history import history

__all__ = ["history", "pca", "perturbation_heatmap", "tsne", "umap"]
