"""Random seeds: one number from the user, one for each use."""

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
    """The seed to record: an int as it is, one drawn from a Generator, a new one for None.

    Raises
    ------
    ValueError
        If it is none of these, or an int that is negative or too large to be stored.
    """
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
    """Independent seeds for all that one call draws at random."""
    words = np.random.SeedSequence(seed).generate_state(len(Seeds._fields), np.uint64)
    # Below 2**32, the largest that every library takes.
    return Seeds(*(int(word) >> 32 for word in words))
