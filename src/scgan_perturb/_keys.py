"""Every name that is written into an AnnData."""

from __future__ import annotations

from dataclasses import dataclass

CLASSIFIER = "classifier"
TSPG, DEFAULT_LAYER = "tspg", "xadv"
GENE_SET = "gene_set"
ALL = "all"  # the group of all ranked samples together
CONTEXTS = "contexts"  # entry of a ranking: the same within each context

METHODS = ("tsne", "umap", "pca")  # of embedding

IDENTITY = "identity"  # entry of a stored fit: hashes of its data
EVALUATION, EVALUATION_PARAMS = "evaluation", "evaluation_params"  # entries of a stored fit
# Names of methods in it: the evaluated ones, then those they are compared with.
MODEL, PREDICTION = "this model", "this prediction"
UNTOUCHED, FLOOR = "untouched source", "real target"
GLOBAL_SHIFT, CONTEXT_SHIFT = "global mean shift", "mean of the contexts' shifts"
# Methods that return real samples of other individuals.
COPIES = ("matched target sample", "nearest target sample", "random target sample")

VALIDATION_LOSS = "validation_loss"  # columns of a classifier's history
ACCURACY, CALIBRATION_ERROR = "held_out_accuracy", "held_out_calibration_error"

TRAIN = "train"
TEST = "test"


@dataclass(frozen=True)
class ClassifierKeys:
    """Where a fitted classifier is written."""

    uns: str
    split: str
    predicted: str


@dataclass(frozen=True)
class TspgKeys:
    """Where a fitted generator and its results are written."""

    uns: str
    layer: str
    split: str
    predicted: str
    probability: str
    state: str
    rank_genes: str
    enrichment: str

    def embedding(self, method: str) -> tuple[str, str]:
        """Keys in `obsm` of the originals' and the perturbed samples' coordinates."""
        return f"{self.uns}_{method}", f"{self.uns}_{method}_xadv"


def classifier_keys(key_added: str = CLASSIFIER) -> ClassifierKeys:
    """Keys of the classifier `key_added`."""
    return ClassifierKeys(
        uns=key_added, split=f"{key_added}_split", predicted=f"{key_added}_predicted"
    )


def tspg_keys(key_added: str | None = None) -> TspgKeys:
    """Keys of a fit. None is the default fit, which writes the layer `xadv`."""
    key = TSPG if key_added is None else key_added
    return TspgKeys(
        uns=key,
        layer=DEFAULT_LAYER if key == TSPG else key,
        split=f"{key}_split",
        predicted=f"{key}_predicted",
        probability=f"{key}_target_probability",
        state=f"{key}_state",
        rank_genes=f"{key}_rank_genes",
        enrichment=f"{key}_enrichment",
    )
