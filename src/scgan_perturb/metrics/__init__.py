"""Distances between sets of samples: arrays in, numbers out. Knows no AnnData, no networks."""

from ._distances import energy_distance

__all__ = ["energy_distance"]
