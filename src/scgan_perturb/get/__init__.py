"""Read results back: DataFrames, AnnData, model objects."""

from ..models._perturbation_model import PerturbationModel
from ._context_genes import context_genes_df
from ._embedding import embedding
from ._enrichment import enrichment_df
from ._evaluation import evaluation_df
from ._history import history
from ._model import model
from ._perturbation import perturbation, perturbed_adata, transition
from ._rank_genes import rank_genes_df
from ._transition_genes import transition_genes

__all__ = [
    "PerturbationModel",
    "context_genes_df",
    "embedding",
    "enrichment_df",
    "evaluation_df",
    "history",
    "model",
    "perturbation",
    "perturbed_adata",
    "rank_genes_df",
    "transition",
    "transition_genes",
]
