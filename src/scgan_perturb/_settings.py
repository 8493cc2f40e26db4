"""What a user may set once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

DATASET_DIR_VARIABLE = "SCGAN_PERTURB_DATASET_DIR"


def _default_dataset_dir() -> Path:
    """The folder the environment names, else a cache folder in the user's home."""
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
        Folder in which downloaded data are kept. Starts as the environment variable
        `SCGAN_PERTURB_DATASET_DIR`, else as `scgan_perturb` in `XDG_CACHE_HOME` or `~/.cache`.
    progress_bar
        Whether fits and downloads show their progress.
    checkpoint_interval
        Seconds between two states of a fit with `checkpoint=`; after the last epoch one is written
        in any case.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> sp.settings.progress_bar = False
    """

    dataset_dir: str | Path = field(default_factory=_default_dataset_dir)
    progress_bar: bool = True
    checkpoint_interval: float = 30.0


settings = Settings()
