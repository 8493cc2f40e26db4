"""Arguments, errors and exit codes of the command line."""

from __future__ import annotations

import argparse
import signal
import sys
import textwrap
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .. import __doc__ as about
from .. import __version__
from .._messages import PACKAGE_DIR, logger
from .._settings import settings
from ._commands import COMMANDS, Command, figure_options, run_command, table_options, verb_options
from ._options import REQUIRED, add_options, option_name

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "scgan-perturb"
OK, UNUSABLE, FAILED, INTERRUPTED = 0, 1, 3, 130
FILES = """
The suffix of an output decides its format; one run can write several. All outputs are written, or
none. Existing files are replaced. The input is not changed, unless it is named as an output.
"""
NONE = "Where a text says None, leave the option out. (For --rng, write none.)"
EXIT_CODES = """
exit codes:
  0    done
  1    the data, files or options cannot be used; one line on standard error says why
  2    the command line is wrong
  3    the program failed: a traceback
  130  interrupted, by Ctrl-C or SIGTERM
With any other code than 0, no output was written. Log lines go to standard error.
"""


def run() -> NoReturn:
    """Run as a program. SIGTERM interrupts it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`, by default that of the process; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    settings.progress_bar = sys.stderr.isatty()
    try:
        given = vars(make_parser(*arguments[:1]).parse_args(arguments))
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            run_command(given.pop("command"), given.pop("input"), given.pop("output"), given)
    except (KeyboardInterrupt, Exception) as error:
        return report("".join(arguments[:1]), error)
    return OK


def make_parser(chosen: str = "") -> argparse.ArgumentParser:
    """The parser of all commands. Only the chosen command has options: finding them takes a second."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=about,
        epilog=f"{_wrap(FILES)}\n{EXIT_CODES}\n{PROGRAM} COMMAND --help describes its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        of_command = commands.add_parser(
            name,
            help=command.summary,
            description=f"{_wrap(command.summary)}\n\nexample:\n  {PROGRAM} {name} {command.example}",
            epilog=f"{_wrap(NONE)}\n\n{_wrap(FILES)}\nExit codes: {PROGRAM} --help",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name == chosen:
            _add_arguments(of_command, name, command)
    return parser


def _add_arguments(parser: argparse.ArgumentParser, name: str, command: Command) -> None:
    groups = verb_options(name)
    required = [
        f"{option_name(option)} TEXT"
        for options in groups.values()
        for option, description in options.items()
        if description.default is REQUIRED
    ]
    parser.usage = " ".join(
        [PROGRAM, name, "INPUT.h5ad OUTPUT [OUTPUT ...]", *required, "[options]"]
    )
    written = "; ".join(f"{suffix}: {text}" for suffix, text in command.outputs.items())
    parser.add_argument("input", type=Path, metavar="INPUT.h5ad", help="AnnData to read")
    parser.add_argument(
        "output", type=Path, nargs="+", metavar="OUTPUT", help=f"file or files to write. {written}"
    )
    if command.of_table:
        groups["options of the table"] = table_options(name)
    if command.figure:
        groups["options of the figure"] = figure_options(name)
    for title, options in groups.items():
        add_options(parser, title, options)


def report(command: str, error: BaseException) -> int:
    """Write to standard error why a command failed; returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        code, text = INTERRUPTED, "interrupted; no output was written."
    elif _is_written_for_users(error):
        code, text = UNUSABLE, f"error: {error.args[0] if isinstance(error, KeyError) else error}"
    else:
        traceback.print_exception(error)
        return FAILED
    sys.stderr.write(f"{PROGRAM} {command}: {' '.join(text.split())}\n")
    return code


def _is_written_for_users(error: BaseException) -> bool:
    """Whether the error is one of this package or about a file; all others are bugs."""
    known = (KeyError, ValueError, TypeError, FloatingPointError)
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, OSError) or (isinstance(error, known) and last.startswith(PACKAGE_DIR))


def _log_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Log a warning, without the line of code."""
    logger.warning("warning: %s", message)


def _wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 80)
