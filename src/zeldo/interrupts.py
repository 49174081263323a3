"""Ctrl-C and SIGTERM that do not get lost in the code of others.

Python raises KeyboardInterrupt wherever its main thread is. A callback of the compiler drops it, and a library that catches
all exceptions turns it into another one. So the signal is remembered: what was dropped is raised again a moment later, and
`raise_if_asked` tells at any place what an exception was to begin with.
"""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AGAIN = 0.1  # seconds after which a dropped one is raised again

_asked: int | None = None  # the signal, within interruptible()
_depth = 0
_held = 0
_waits = False  # a signal that came within held()
_again: threading.Timer | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM raise KeyboardInterrupt, and neither gets lost; a signal that is ignored stays so."""
    global _asked, _depth, _again
    if threading.current_thread() is not threading.main_thread() or _depth:
        yield  # only the main thread may set handlers, and once is enough
        return
    hook = sys.unraisablehook
    _asked, _depth = None, 1
    try:
        sys.unraisablehook = _raise_again(hook)
        with handled_by(ask):
            try:
                yield
            finally:
                if _again is not None:
                    _again.cancel()
                    _again.join()  # or it may interrupt what comes after this block
                    _again = None
    finally:
        sys.unraisablehook = hook
        _asked, _depth = None, 0


@contextmanager
def handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM call a handler. It must be entered in the main thread."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # a shell starts what runs in the background with Ctrl-C ignored, which it stays; and a handler that was not set from
    # Python (None) could not be set back
    changed = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    try:
        for number in changed:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in changed.items():
            signal.signal(number, old)


def end_with_parent() -> None:
    """Let the end of the process that started this one by multiprocessing, of which a SIGKILL tells nobody, be a SIGTERM."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def raise_if_asked() -> None:
    """Raises the KeyboardInterrupt that was asked for, if it was."""
    if _asked is not None and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Within it a signal waits, where `interruptible` has its handler: for steps that must all be done, or none."""
    global _held, _waits
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt the main thread alone
        return
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if _waits and not _held:
            _waits = False
            raise KeyboardInterrupt


def ask(number: int, frame: object) -> None:
    """The handler of a signal: remembers it and raises KeyboardInterrupt."""
    global _asked, _waits
    if _depth:
        _asked = number
        if _held:
            _waits = True
            return
    raise KeyboardInterrupt


def _raise_again(hook: Any) -> Any:
    """A hook for exceptions that were dropped: a KeyboardInterrupt comes again, others go to `hook`."""

    def dropped(what: Any) -> None:
        global _again
        if _asked is None or what.exc_type is not KeyboardInterrupt:
            hook(what)
            return
        _again = threading.Timer(AGAIN, _thread.interrupt_main, (_asked,))
        _again.daemon = True
        _again.start()

    return dropped
