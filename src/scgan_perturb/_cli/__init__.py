"""The command line: `scgan-perturb`, for workflow managers. Imports slow libraries only when a command runs."""

from ._main import main, run

__all__ = ["main", "run"]
