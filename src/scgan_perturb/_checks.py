"""Checks of numbers from the user. Imports nothing slow."""

from __future__ import annotations

import math
from numbers import Integral, Real


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        msg = f"{name} must be a whole number of at least {least}, not {value!r}."
        raise ValueError(msg)


def check_number(name: str, value: object, *, least: float, most: float = math.inf) -> None:
    """Raise ValueError unless `value` is a finite number from `least` to `most`."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type,operator]
        upper = "" if most == math.inf else f" and at most {most}"
        msg = f"{name} must be a finite number of at least {least}{upper}, not {value!r}."
        raise ValueError(msg)
