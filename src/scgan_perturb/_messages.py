"""Messages to the user: log lines, warnings, and errors for unknown names and choices."""

from __future__ import annotations

import difflib
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGE_DIR = str(Path(__file__).parent)
MAX_EXAMPLES = 5


class _UserHandler(logging.Handler):
    """Prints to standard error, unless the user has set up logging herself."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            print(self.format(record), file=sys.stderr)


logger = logging.getLogger("scgan_perturb")
logger.setLevel(logging.INFO)
logger.addHandler(_UserHandler())


def silence() -> None:
    """Silence this process: rank 0 logs and warns."""
    logger.disabled = True


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the user's line: the innermost one outside this package."""
    if logger.disabled:
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE_DIR):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def examples(names: Iterable[object]) -> str:
    """The first five names, quoted, and the number of the others."""
    quoted = [repr(str(name)) for name in names]
    more = len(quoted) - MAX_EXAMPLES
    return ", ".join(quoted[:MAX_EXAMPLES]) + (f" and {more:,} more" if more > 0 else "")


def unknown_name(
    what: str, name: object, available: Iterable[object], remedy: str = ""
) -> KeyError:
    """The error for an unknown name; its message holds the nearest known names."""
    names = [str(candidate) for candidate in available]
    lowered = {candidate.lower(): candidate for candidate in names}
    if near := difflib.get_close_matches(str(name).lower(), lowered, n=3):
        known = f"Nearest: {examples(lowered[candidate] for candidate in near)}."
    else:
        known = f"Available: {examples(names)}." if names else "None is available."
    return KeyError(f"{what} {name!r} not found. {known} {remedy}".rstrip())


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of the known choices."""
    if value not in (names := list(known)):
        msg = f"{name} must be one of {', '.join(map(repr, names))}, not {value!r}."
        raise ValueError(msg)
