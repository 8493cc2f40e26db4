"""Stop training when a network has learnt: by its loss on validation samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._keys import VALIDATION_LOSS

if TYPE_CHECKING:
    from ._checkpoint import Record

# Chosen on inner validation samples of real data, docs/method.md.
VALIDATION_SHARE, MAX_VALIDATED = 0.1, 2048  # of the training samples
# Epochs without a lower loss; of large data, whose epochs are long, as many as make the steps.
PATIENCE, LEAST_PATIENCE, PATIENT_STEPS = 5, 2, 500
LEAST_GAIN = 2e-3  # of the loss: where all samples are right it falls for ever


def validation_share(n_samples: int) -> float:
    """Share of the training samples that validate."""
    return min(VALIDATION_SHARE, MAX_VALIDATED / n_samples)


def best_epoch(history: list[Record]) -> int:
    """Position of the first epoch with the lowest loss."""
    return min(range(len(history)), key=lambda epoch: history[epoch][VALIDATION_LOSS])


def has_learnt(history: list[Record], n_steps: int) -> bool:
    """Whether epochs of so many steps have not lowered the loss for long enough."""
    patience = min(PATIENCE, max(LEAST_PATIENCE, math.ceil(PATIENT_STEPS / n_steps)))
    losses = [record[VALIDATION_LOSS] for record in history]
    before, recent = losses[:-patience], losses[-patience:]
    return bool(before) and min(recent) > min(before) - LEAST_GAIN
