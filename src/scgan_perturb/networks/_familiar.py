"""Samples unlike those of any class that trained."""

from __future__ import annotations

import torch

from ._draws import FAR, NOISE, normal, stream_of

# Mean square of a sample's noise, or of its factors, up to which it is believed. Chosen on tissues that
# did not train; of samples of known bulk tissues about nine in ten are below 2.5.
FAMILIAR = 2.5


def believed(
    factors: torch.Tensor,
    rest: torch.Tensor,
    present: torch.Tensor,
    keys: torch.Tensor,
    seed: int,
    draw: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shrink the noise and the factors of unfamiliar samples, and draw what is then missing."""
    n_present = present.sum(1).clamp_min(1)
    excess = (rest.square().sum(1) / n_present / FAMILIAR).clamp_min(1).square()
    far = torch.maximum(excess, (factors.square().mean(1) / FAMILIAR).square())
    rows = (far > 1).nonzero().flatten()
    if len(rows) == 0:
        return factors, rest
    own, excess, far = keys[rows], excess[rows, None], far[rows, None]
    drawn = normal(own, rest.shape[1], stream_of(seed, draw, NOISE))
    rest[rows] = rest[rows] / excess + (1 - 1 / excess).sqrt() * drawn * present[rows]
    drawn = normal(own, factors.shape[1], stream_of(seed, draw, FAR))
    factors[rows] = factors[rows] / far + (1 - 1 / far).sqrt() * drawn
    return factors, rest
