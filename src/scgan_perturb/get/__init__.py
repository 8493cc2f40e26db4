"""Read results back: DataFrames, AnnData, model objects."""

from ..models._fitted import PerturbationModel
from ._embedding import embedding
from ._history import history
from ._model import model
from ._perturbation import perturbation, perturbed_adata, transition

__all__ = [
    "PerturbationModel",
    "embedding",
    "history",
    "model",
    "perturbation",
    "perturbed_adata",
    "transition",
]
