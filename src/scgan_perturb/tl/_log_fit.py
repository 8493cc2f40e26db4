"""What a fit of a generator tells the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._messages import logger
from ._classifier import share

if TYPE_CHECKING:
    from .._keys import TspgKeys
    from ..data._training_data import TrainingData
    from ..models._perturbation_model import PerturbationModel
    from ..storage._apply import Perturbed
    from ..training._roles import Roles


def log_fit(
    keys: TspgKeys,
    model: PerturbationModel,
    perturbed: Perturbed | None,
    data: TrainingData,
    roles: Roles,
) -> None:
    """Say how often the classifier is convinced, and what was written."""
    first = f", the first of {len(model.targets)} targets" if len(model.targets) > 1 else ""
    if perturbed is None:
        logger.info(
            "Perturbation to %s%s is fitted. The file is open for reading only, so that no layer "
            "was written: open it with backed='r+' and call sp.tl.perturb.\n"
            "    added: adata.obs[%r], adata.uns[%r]",
            model.target,
            first,
            keys.split,
            keys.uns,
        )
        return
    if perturbed.predicted is None:
        logger.info(
            "Perturbation to %s%s is fitted; the layer is computed when it is asked for.\n"
            "    added: adata.layers[%r], adata.obs[%r], adata.uns[%r]",
            *(model.target, first, keys.layer, keys.split, keys.uns),
        )
        return
    others = roles.held_out[data.labels[roles.held_out] != model.target_class]
    logger.info(
        "Perturbation to %s%s: the classifier calls %s %s once perturbed. That alone does not make "
        "them real: call sp.tl.evaluate.\n"
        "    added: adata.layers[%r], adata.obs[%r], adata.obs[%r], adata.obs[%r], adata.uns[%r]",
        model.target,
        first,
        share(perturbed.predicted[others] == model.target, "held-out samples of other classes"),
        model.target,
        keys.layer,
        keys.split,
        keys.predicted,
        keys.probability,
        keys.uns,
    )
