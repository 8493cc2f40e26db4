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
from ._commands import COMMANDS, Command, run_command
from ._fit_options import add_fit_options
from ._options import add_options, option_name, read_function

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "scgan-perturb"
OK, UNUSABLE, FAILED, INTERRUPTED = 0, 1, 3, 130
FILES = """
Outputs are known by their suffix; name several for several from one run. They appear whole or not
at all, and replace files that are there. The input is not changed, unless it is named as an output.
"""
EXIT_CODES = """
exit codes:
  0    done
  1    the data, files or options cannot be used: one line on standard error says why
  2    the command line is wrong
  3    the program failed: a traceback
  130  interrupted, by Ctrl-C or SIGTERM
After any but 0 no output was written. Log lines go to standard error.
"""


def run() -> NoReturn:
    """Run as a program of its own, for which SIGTERM is as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say, those of the process by default; returns the exit code."""
    given = vars(make_parser().parse_args(argv))
    command, source, outputs = (given.pop(name) for name in ("command", "input", "output"))
    drawing = {name: given.pop(name) for name in given.pop("drawing") if name in given}
    settings.progress_bar = sys.stderr.isatty()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            run_command(command, source, outputs, given, drawing)
    except KeyboardInterrupt:
        return _end(command, INTERRUPTED, "interrupted; nothing was written.")
    except Exception as error:  # the exit code says what kind it is
        if _is_said_by_us(error):
            text = error.args[0] if isinstance(error, KeyError) else error
            return _end(command, UNUSABLE, f"error: {text}")
        traceback.print_exc()
        return FAILED
    return OK


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=about,
        epilog=f"{_wrap(FILES)}\n{EXIT_CODES}\n{PROGRAM} COMMAND --help tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        _add_command(commands, name, command)
    return parser


def _add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command
) -> None:
    verb = read_function("tl", command.verb)
    required = [f"{option_name(n)} TEXT" for n in verb.required if n != "adata"]
    parser = commands.add_parser(
        name,
        help=verb.summary,
        usage=" ".join([PROGRAM, name, "INPUT.h5ad OUTPUT [OUTPUT ...]", *required, "[options]"]),
        description=f"{_wrap(verb.summary)}\n\nexample:\n  {PROGRAM} {name} {command.example}",
        epilog=f"{_wrap(FILES)}\nExit codes: {PROGRAM} --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    written = "; ".join(f"{suffix}: {text}" for suffix, text in command.outputs.items())
    parser.add_argument("input", type=Path, metavar="INPUT.h5ad", help="AnnData to read")
    parser.add_argument(
        "output", type=Path, nargs="+", metavar="OUTPUT", help=f"file or files to write. {written}"
    )
    add_options(parser, verb, f"options of sp.tl.{command.verb}")
    if name == "fit":
        add_fit_options(parser)
    drawing: list[str] = []
    if command.figure:
        figure = read_function("pl", command.figure)
        drawing = add_options(parser, figure, "options of the figure", {*verb.options, "name"})
    parser.set_defaults(drawing=drawing)


def _end(command: str, code: int, text: str) -> int:
    """Say in one line why it ends, as argparse does."""
    sys.stderr.write(f"{PROGRAM} {command}: {' '.join(text.split())}\n")
    return code


def _is_said_by_us(error: Exception) -> bool:
    """Whether the text was written for the user, or tells of a file; others are our mistakes."""
    known = (KeyError, ValueError, TypeError, FloatingPointError)
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, OSError) or (isinstance(error, known) and last.startswith(PACKAGE_DIR))


def _log_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a log line, without the line of code."""
    logger.warning("warning: %s", message)


def _wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 80)
