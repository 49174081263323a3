"""Ctrl-C and SIGTERM that do not get lost in the code of others.

Python raises KeyboardInterrupt wherever its main thread is. Within a callback of the compiler that is printed and
dropped, and a library that catches all exceptions turns it into another one. So the signal is remembered as well, and
`raise_if_asked` at the next safe place ends what went on.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_asked = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it SIGTERM raises KeyboardInterrupt as Ctrl-C does, and both are remembered. Ignored ones stay ignored."""
    global _asked
    _asked = False
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may listen
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    silent, sys.unraisablehook = sys.unraisablehook, _quiet(sys.unraisablehook)
    try:
        for number, handler in before.items():
            # a shell starts what runs in the background with Ctrl-C ignored
            if number == signal.SIGTERM or handler is not signal.SIG_IGN:
                signal.signal(number, _ask)
        yield
    finally:
        sys.unraisablehook = silent
        for number, handler in before.items():
            if handler is not None:  # not set from Python
                signal.signal(number, handler)


def raise_if_asked() -> None:
    """Raises the KeyboardInterrupt that was asked for and got lost."""
    if _asked:
        raise KeyboardInterrupt


def _ask(number: int, frame: object) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def _quiet(hook: Any) -> Any:
    """A dropped KeyboardInterrupt is not lost, and needs no traceback."""
    return lambda dropped: None if _asked and dropped.exc_type is KeyboardInterrupt else hook(dropped)
