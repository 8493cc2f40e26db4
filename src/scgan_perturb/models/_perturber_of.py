"""The network that applies a fitted generator, from its stored weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from .._recipes import PAPER
from ..networks._networks import Generator, from_arrays
from ..networks._perturber import PaperPerturber, TransportPerturber
from ..networks._transport_generator import TransportGenerator
from ._apply import damage_named
from ._fitted_classifier import as_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from ._fitted_classifier import FittedClassifier, Weights
    from ._module_classifier import ModuleClassifier


def perturber_of(
    classifier: FittedClassifier,
    to_convince: FittedClassifier | ModuleClassifier,
    weights: Weights,
    params: Mapping[str, Any],
    *,
    targets: Sequence[str],
    n_contexts: int,
) -> nn.Module:
    """The network on the CPU, frozen.

    Parameters
    ----------
    classifier, to_convince
        f, and the classifier to convince: f or another one.
    weights, params
        Weights of the generator and settings of the fit.
    targets
        Labels that samples can be perturbed towards.
    n_contexts
        Number of contexts.
    """
    n_genes = int(classifier.scaler.varying.sum())
    if params.get("recipe") == PAPER:
        with torch.device("meta"):
            paper = Generator(n_genes)
        return PaperPerturber(from_arrays(paper, weights), to_convince.network())
    with torch.device("meta"):
        generator = TransportGenerator(
            n_genes,
            len(classifier.classes),
            len(targets),
            np.shape(weights.get("presence", np.empty((0, 0))))[-1],
            n_contexts,
            np.size(weights.get("levels", 0)),
        )
    f = classifier.network()
    with damage_named():
        return TransportPerturber(
            cast("TransportGenerator", from_arrays(generator, weights)),
            f,
            f if to_convince is classifier else to_convince.network(),
            targets.index(str(params["target"])),
            int(params.get("seed", 0)),
            _sources(classifier, params),
        )


def _sources(classifier: FittedClassifier, params: Mapping[str, Any]) -> list[int] | None:
    """Positions of the sources among the classes; None for all."""
    if "source" not in params:
        return None
    sources = as_names(np.atleast_1d(params["source"]))
    return [i for i, label in enumerate(classifier.classes) if str(label) in sources]
