"""What can go wrong, by whose hand it is mended.

Every message is one line: what was given, what is allowed, what to do next.
"""

from collections.abc import Iterable

AGAIN = "copy or make it again"  # what to do with a damaged file


class ZeldoError(Exception):
    """Base of every error that zeldo raises on purpose."""


class InputError(ZeldoError, ValueError):
    """The caller gave something that is not allowed. Exit status 2."""


class DamagedFileError(InputError):
    """A file is truncated, inconsistent with its own header, or not what it says. Exit status 2."""


class ConvergenceError(ZeldoError, RuntimeError):
    """A numerical method did not reach its tolerance. Exit status 1."""


class ZeldoWarning(UserWarning):
    """What a user should know although the work goes on."""


def nearest(name: object, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` where one of `allowed` is close to `name`, else an empty string."""
    import difflib

    close = difflib.get_close_matches(str(name), list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
