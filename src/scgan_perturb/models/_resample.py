"""Models with class statistics of resampled training samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from .._recipes import PAPER
from ..data._rows import ScaledRows
from ..estimates._latent import calibrated
from ..estimates._marginals import with_moments
from ..estimates._moments import group_moments
from ..networks._counted import CountedRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..data._blocks import Matrix
    from ..estimates._samples import Rows
    from ..networks._perturber import TransportPerturber
    from ._perturbation_model import PerturbationModel


def resampled_models(
    model: PerturbationModel, expression: Matrix, groups: np.ndarray, *, n_models: int, seed: int
) -> Iterator[PerturbationModel]:
    """Bootstrap: the marginals' shares, locations and scales of samples drawn with replacement.

    The shapes of the marginals and the factors stay the same, because the rest makes up nearly all
    of a perturbation. ValueError for recipe "paper", which has no marginals.
    """
    if model.params.get("recipe") == PAPER:
        msg = "Intervals need a fit with recipe='transport'; this one has recipe='paper'."
        raise ValueError(msg)
    network = cast("TransportPerturber", model.network())
    generator = network.generator
    rng = np.random.default_rng(seed)
    n_groups = len(generator.covariance)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    for _ in range(n_models):
        drawn = np.concatenate([rng.choice(m, len(m)) for m in members])
        rows: Rows = ScaledRows(expression, drawn, model.scaler, torch.device("cpu"))
        if network.prepared.lattice is not None:
            rows = CountedRows(rows, network.prepared.lattice)
        moments, _ = group_moments(
            rows, torch.from_numpy(groups[drawn]), n_groups, generator.marginals.always
        )
        marginals = with_moments(generator.marginals, moments)
        latent = calibrated(generator.latent, marginals.share)
        parts = {**vars(marginals), **vars(latent)}
        weights = {name: values.numpy() for name, values in parts.items()}
        yield replace(model, weights={**model.weights, **weights})
