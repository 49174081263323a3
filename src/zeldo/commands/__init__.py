"""The command line: each subcommand, in a file of its own, parses its options, calls one public function and prints.

Exit status: 0; 2 for bad input; 1 for a failure; 130 when interrupted; 141 when what reads the output, such as `head`, has
enough of it. Errors and warnings are one line each on standard error.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

# how standard output treats what its encoding lacks; in the C locale the latter, which knows only bytes that are no text
WANTING = ("strict", "surrogateescape")


def app() -> Any:
    """The cyclopts application."""
    from cyclopts import App

    from zeldo.commands.cite import cite
    from zeldo.commands.compare import compare
    from zeldo.commands.convert import convert
    from zeldo.commands.dataset import dataset
    from zeldo.commands.doctor import doctor
    from zeldo.commands.export_ics import export_ics
    from zeldo.commands.halos import halos
    from zeldo.commands.info import info
    from zeldo.commands.measure import measure
    from zeldo.commands.models import models
    from zeldo.commands.plan import plan
    from zeldo.commands.reconstruct import reconstruct
    from zeldo.commands.reproduce import reproduce
    from zeldo.commands.run import run
    from zeldo.commands.show import show
    from zeldo.commands.train import train
    from zeldo.version import __version__

    cli = App(
        name="zeldo",
        version=__version__,
        help="From a cosmology and a seed to the evolved universe.",
        suppress_keyboard_interrupt=False,
    )
    for command in (
        run,
        plan,
        compare,
        reconstruct,
        convert,
        info,
        measure,
        halos,
        show,
        export_ics,
        dataset,
        train,
        models,
        reproduce,
        cite,
        doctor,
    ):
        cli.command(command)
    return cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    from zeldo.interrupts import interruptible

    try:
        with interruptible():  # a polite kill ends like Ctrl-C: temporary files are removed on the way out
            return _run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt as error:
        where = f" {error}" if str(error) else ""
        return _say(f"interrupted{where}; no file was left half-written", 130)


def _run(arguments: list[str]) -> int:
    from zeldo.interrupts import raise_if_asked

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            _prepare_output()
            _check_threads()
            app()(arguments, exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
    except BrokenPipeError:
        return _closed()
    except Exception as error:
        raise_if_asked()  # what a library made of Ctrl-C
        return _failed(error)
    return 0


def _prepare_output() -> None:
    """Let standard output take any text: what comes last must not fail after the work is done."""
    if sys.stdout is None:  # where the caller has closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, for the rest of the process
    elif getattr(sys.stdout, "errors", None) in WANTING and hasattr(sys.stdout, "reconfigure"):
        codecs.register_error("zeldo", _written)
        sys.stdout.reconfigure(errors="zeldo")
    if os.environ.get("COLUMNS", "").isdigit() and not int(os.environ["COLUMNS"]):
        del os.environ["COLUMNS"]  # 0 says that the width is not known, and rich would take it at its word


def _written(error: UnicodeError) -> tuple[str | bytes, int]:
    """A byte of a name that is no text as it is, and any other character that the encoding lacks as an escape."""
    assert isinstance(error, UnicodeEncodeError)
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    try:
        return codecs.lookup_error("surrogateescape")(one)
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(one)


def _check_threads() -> None:
    """`InputError` for numbers of threads that the libraries would answer with tracebacks."""
    from zeldo.errors import InputError

    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "1").strip()
        # OpenMP takes a number for each level of nesting
        numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
        if not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
            raise InputError(f"{name} = {value!r} is not allowed: give a whole number above 0, or unset it")


def _closed() -> int:
    """The status of a process that SIGPIPE ended. What is still to be written goes nowhere."""
    with suppress(OSError, ValueError):  # where standard output is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _warn(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
    """A warning of zeldo in one line; of others, as Python has it."""
    from zeldo.errors import ZeldoWarning

    if issubclass(category, ZeldoWarning):
        _say(f"warning: {message}", 0)
    else:
        print(warnings.formatwarning(message, category, *where[:2]), end="", file=sys.stderr)


def _failed(error: Exception) -> int:
    """Print the error and return the exit status."""
    from cyclopts import CycloptsError

    from zeldo.errors import InputError, ZeldoError

    if isinstance(error, InputError):
        return _say(error, 2)
    if isinstance(error, CycloptsError):
        command = " ".join(["zeldo", *(error.command_chain or ())])
        text, advice = str(error), ""
        unused = [str(token) for token in getattr(error, "unused_tokens", None) or ()]
        numbers = all(token.lstrip("-").replace(".", "", 1).isdigit() for token in unused)
        if error.command_chain and unused and numbers:
            advice = ", and give an option again for each of its values, as in -z 1 -z 0"
        text = _named_elsewhere(error) or text
        if type(error).__name__ == "UnusedCliTokensError" and error.command_chain and not numbers:
            text, advice = f"{', '.join(unused)} is more than {command} takes", ", or run it for each file"
        begin = (
            f"{text} See"
            if text.endswith("?")
            else f"{text if text.endswith('...') else text.rstrip('.')}; see"
        )
        return _say(f"{begin} {command} --help{advice}", 2)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return _say(f"{error.filename} cannot be used as a path ({error.strerror}): give another name", 2)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return _say(f"the output could not be written ({error.strerror}): free some space", 1)
    if isinstance(error, ZeldoError | OSError):
        return _say(error, 1)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return _say(
            f"not enough memory ({error}): take fewer particles, a coarser mesh or a machine with more memory",
            1,
        )
    if os.environ.get("ZELDO_TRACEBACK"):
        traceback.print_exception(error)
    description = f"{type(error).__name__}: {error}"
    return _say(f"internal error: {description}; please report it; ZELDO_TRACEBACK=1 shows where", 1)


def _named_elsewhere(error: Any) -> str:
    """The error for an option that other codes have by this name; nothing for others."""
    from zeldo.errors import elsewhere

    if type(error).__name__ != "UnknownOptionError":
        return ""
    given = (error.token.keyword or error.token.value).split("=")[0]
    options = {
        name.removeprefix("--").replace("-", "_"): name
        for argument in error.argument_collection
        for name in argument.names
    }
    ours, words = elsewhere(given.lstrip("-").replace("-", "_"), options)
    if ours:
        return f"Unknown option: {given}. Did you mean {options[ours]}{f' ({words})' if words else ''}?"
    return f"Unknown option: {given}: {words}" if words else ""


def _say(message: object, status: int) -> int:
    print("zeldo: " + " ".join(str(message).split()), file=sys.stderr)
    return status
