"""Checks of arguments that several verbs take."""

from __future__ import annotations

import numpy as np


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a whole number of at least 1."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        msg = f"{name} must be a whole number of at least 1, not {value!r}."
        raise ValueError(msg)
