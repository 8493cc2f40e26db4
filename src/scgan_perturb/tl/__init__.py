"""Tools: fit, perturb, evaluate, embed, rank genes, test gene sets. The only room that writes results into an AnnData."""

from .._recipes import Paper, Transport
from ._classifier import fit_classifier
from ._embed import embed
from ._enrich import enrich
from ._evaluate import evaluate
from ._perturb import perturb
from ._rank_genes import rank_genes
from ._tspg import fit_tspg

__all__ = [
    "Paper",
    "Transport",
    "embed",
    "enrich",
    "evaluate",
    "fit_classifier",
    "fit_tspg",
    "perturb",
    "rank_genes",
]
