"""Random numbers that depend on a sample's own values: on nothing else but the seed."""

from __future__ import annotations

import torch

# Odd constants of splitmix64 (Steele, Lea, Flood 2014) and their like, as signed numbers.
GOLDEN, MIX = -7046029254386353131, (-4658895280553007687, -7723592293110705685)
KEY_STEP, KEY_START, STREAM_STEP = 7870000140006736074, 2685821657736338717, 7809847782465536323
SHIFTS = (30, 27)
FACTORS, NOISE, FAR, PRESENCE, BLUR = range(5)  # streams
BITS = 23  # of a uniform number: with one more, float32 would round the greatest to 1


def keys_of(expression: torch.Tensor) -> torch.Tensor:
    """A key for each sample that depends on its values and their genes, int64 of samples.

    Parameters
    ----------
    expression
        Samples × genes, float32 in input units: these have the same bits on each device.
    """
    bits = (expression + 0.0).contiguous().view(torch.int32).long()  # -0 becomes 0
    odd = torch.arange(expression.shape[1], device=bits.device) * KEY_STEP + KEY_START
    return (_mixed(bits) * odd).sum(1)


def stream_of(seed: int, draw: int, stream: int) -> int:
    """A number for one use of random numbers in one draw, signed 64 bits."""
    wide = (seed * 1_000_003 + draw) * 1_009 + stream
    return (wide * STREAM_STEP + 2**63) % 2**64 - 2**63


def uniform(keys: torch.Tensor, columns: torch.Tensor, stream: int) -> torch.Tensor:
    """Uniform numbers inside (0, 1), float32, for keys and columns that broadcast."""
    mixed = _mixed(keys + (columns * 2 + 1) * GOLDEN + stream)
    return (((mixed >> (64 - BITS)) & (2**BITS - 1)).float() + 0.5) / 2**BITS


def normal(keys: torch.Tensor, n_columns: int, stream: int) -> torch.Tensor:
    """Standard normal numbers, samples × columns."""
    columns = torch.arange(n_columns, device=keys.device)
    return torch.special.ndtri(uniform(keys[:, None], columns, stream))


def _mixed(h: torch.Tensor) -> torch.Tensor:
    for shift, odd in zip(SHIFTS, MIX, strict=True):
        # A shift of a signed number repeats its sign; the mask takes that away.
        h = (h ^ ((h >> shift) & ((1 << (64 - shift)) - 1))) * odd
    return h
