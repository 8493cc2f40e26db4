"""Checks of arguments that several verbs take."""

from __future__ import annotations

import numpy as np


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        msg = f"{name} must be a whole number of at least {least}, not {value!r}."
        raise ValueError(msg)
