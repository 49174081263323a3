"""Ctrl-C and SIGTERM as requests to stop at the next safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zeldo import interrupts


@contextmanager
def stop_signals() -> Iterator[list[str]]:
    """A list that is empty until a signal asks to stop, and then holds its name. A second Ctrl-C stops at once."""
    asked: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may set handlers
        return

    def ask(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT:
            interrupts.ask(number, frame)
        asked.append(signal.Signals(number).name)

    with interrupts.handled_by(ask):
        yield asked
