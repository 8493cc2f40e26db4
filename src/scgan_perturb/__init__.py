"""Show what would have to change in a sample's transcriptome for it to have another label."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING

from ._settings import settings

if TYPE_CHECKING:
    from types import ModuleType

    from . import datasets, get, metrics, pl, pp, tl

__all__ = ["datasets", "get", "metrics", "pl", "pp", "settings", "tl"]
__version__ = version("scgan_perturb")

_ROOMS = frozenset({"datasets", "get", "metrics", "pl", "pp", "tl"})


def __getattr__(name: str) -> ModuleType:
    # Rooms are imported when first used: torch and matplotlib take seconds.
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
