"""Random seeds: one from the user, and one for each use."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

Rng: TypeAlias = int | np.random.Generator | None


class Seeds(NamedTuple):
    """Independent seeds of the split, the classifier, the generator, embedding and evaluation."""

    split: int
    classifier: int
    tspg: int
    embed: int
    evaluate: int


def resolve_seed(rng: Rng) -> int:
    """The seed to record: the int itself, a number from the Generator, or for None a new one."""
    if isinstance(rng, (int, np.integer)):
        if not 0 <= rng < 2**63:
            msg = f"rng must be at least 0 and below 2**63, not {rng}."
            raise ValueError(msg)
        return int(rng)
    if rng is not None and not isinstance(rng, np.random.Generator):
        msg = f"rng must be a whole number, a numpy Generator or None, not {rng!r}."
        raise ValueError(msg)
    return int(np.random.default_rng(rng).integers(2**63))


def spawn_seeds(seed: int) -> Seeds:
    """Independent seeds for each random part of a call."""
    words = np.random.SeedSequence(seed).generate_state(len(Seeds._fields), np.uint64)
    # Below 2**32, the limit of some libraries.
    return Seeds(*(int(word) >> 32 for word in words))
