"""The command line: `scgan-perturb`, for workflow managers. Imports nothing slow until it works."""

from ._main import main, run

__all__ = ["main", "run"]
