"""Samples that are held and written at a time: as few as suit the small data of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgan_perturb.data import _blocks
from scgan_perturb.estimates import _moments
from scgan_perturb.models import _apply
from scgan_perturb.storage import _perturb_on_disk
from scgan_perturb.training import _epochs, _train_classifier
from scgan_perturb.training import _fit as _recipes

if TYPE_CHECKING:
    import pytest


def hold_few(patch: pytest.MonkeyPatch, rows: int, run: int) -> None:
    """Hold so many samples in memory, shuffled in runs of so many."""
    for module in (_epochs, _recipes, _train_classifier):
        patch.setattr(module, "HELD_ROWS", rows)
    patch.setattr(_epochs, "RUN_ROWS", run)
    patch.setattr(_moments, "BLOCK", rows)
    patch.setattr(_blocks.blocks, "__defaults__", (rows,))


def write_few(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Perturb so many samples at a time and write them at once, in memory as on disk.

    In memory as well: products of few rows round as those of many do on some processors only.
    """
    patch.setattr(_apply, "block_rows", lambda n_genes: rows)
    patch.setattr(_perturb_on_disk, "STRIDE", 1)
