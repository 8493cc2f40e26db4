"""How the package speaks to its user: log lines, warnings, names and choices that are not there."""

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


def fall_silent() -> None:
    """Say nothing more in this process: another one, that does the same, says it."""
    logger.disabled = True


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that led here."""
    if logger.disabled:
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE_DIR):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def examples(names: Iterable[object]) -> str:
    """The first few names, quoted, and how many more there are."""
    quoted = [repr(str(name)) for name in names]
    more = len(quoted) - MAX_EXAMPLES
    return ", ".join(quoted[:MAX_EXAMPLES]) + (f" and {more:,} more" if more > 0 else "")


def unknown_name(
    what: str, name: object, available: Iterable[object], remedy: str = ""
) -> KeyError:
    """The error for a name that is not there, with the nearest ones that are."""
    names = [str(candidate) for candidate in available]
    lowered = {candidate.lower(): candidate for candidate in names}
    if near := difflib.get_close_matches(str(name).lower(), lowered, n=3):
        found = f"Nearest: {examples(lowered[candidate] for candidate in near)}."
    else:
        found = f"There are: {examples(names)}." if names else "There are none."
    return KeyError(f"{what} {name!r} not found. {found} {remedy}".rstrip())


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise ValueError if an option is none of those that there are."""
    if value not in (names := list(known)):
        msg = f"{name} must be one of {', '.join(map(repr, names))}, not {value!r}."
        raise ValueError(msg)
