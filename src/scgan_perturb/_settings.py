"""Settings of the package."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

DATASET_DIR_VARIABLE = "SCGAN_PERTURB_DATASET_DIR"


def _default_dataset_dir() -> Path:
    """The folder in the environment variable, else a cache folder in the user's home."""
    if folder := os.environ.get(DATASET_DIR_VARIABLE):
        return Path(folder)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "scgan_perturb"


@dataclass
class Settings:
    """Settings of the package, changed by assignment.

    Attributes
    ----------
    dataset_dir
        Folder for downloaded data. The default is the environment variable
        `SCGAN_PERTURB_DATASET_DIR`, else `scgan_perturb` in `XDG_CACHE_HOME` or `~/.cache`.
    progress_bar
        Show the progress of fits and downloads.
    checkpoint_interval
        Seconds between two checkpoints of a fit with `checkpoint=`. The last epoch always writes
        one.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> sp.settings.progress_bar = False
    """

    dataset_dir: str | Path = field(default_factory=_default_dataset_dir)
    progress_bar: bool = True
    checkpoint_interval: float = 30.0


settings = Settings()
