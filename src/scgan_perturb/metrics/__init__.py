"""Distances between sets of samples, and baselines: arrays in, numbers out; no AnnData."""

from ._baselines import class_mean_shift
from ._distances import energy_distance

__all__ = ["class_mean_shift", "energy_distance"]
