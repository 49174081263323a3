"""Progress of long work: silent for two seconds, then a bar with an ETA, or now and then a line in a log."""

from __future__ import annotations

import math
import sys
import threading
import time
from types import TracebackType
from typing import Any, TextIO

from zeldo.interrupts import raise_if_asked

PATIENCE = 2.0  # seconds without a word: most runs are over by then
LOG_EVERY = 30.0  # seconds between lines where there is no terminal


class Progress:
    """`with Progress("cola") as progress: engine.run(ics, redshifts, progress=progress)`.

    The object is the callback `progress(done, total, text)`: `done` of `total` units of work, and what is
    being done now. On a terminal it draws a bar on standard error after `patience` seconds, removed at the
    end; elsewhere it writes a plain line every `log_every` seconds. `done`, `total` and `text` hold the last
    call, so that an interrupted run can say where it stopped. A call raises the KeyboardInterrupt of a Ctrl-C that some
    library has swallowed.
    """

    def __init__(
        self,
        title: str,
        *,
        patience: float = PATIENCE,
        log_every: float = LOG_EVERY,
        stream: TextIO | None = None,
    ) -> None:
        self.title = title
        self.done: float = 0
        self.total: float | None = None
        self.text = ""
        self._first: tuple[float, float] | None = None  # when the first call came, and what was done then
        self._patience, self._log_every = patience, log_every
        self._stream = sys.stderr if stream is None else stream
        self._lock = threading.Lock()
        self._bar: Any = None  # rich's, imported only where it is shown
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        self._start = self._logged = time.monotonic()
        self._over = False
        self._terminal = bool(getattr(self._stream, "isatty", lambda: False)())
        if self._terminal:
            # a timer, as the first call may come late: the first step, compiling included
            self._timer = threading.Timer(self._patience, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __call__(self, done: float, total: float | None = None, text: str = "") -> None:
        raise_if_asked()
        with self._lock:
            self.done, self.total, self.text = done, total, text
            self._first = self._first or (time.monotonic(), done)
            if self._bar is not None:
                self._bar.update(self._task, completed=done, total=total, text=text)
            elif not self._terminal and time.monotonic() - self._logged >= self._log_every:
                self._logged = time.monotonic()
                print(self.line(), file=self._stream, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()
        if kind is KeyboardInterrupt and self.text:
            raise KeyboardInterrupt(f"in {self.title} at {self.text}") from None

    def line(self) -> str:
        """`"cola: 30 %, step 3 of 10, 31 s, 1 min 12 s left"`, as written to logs."""
        elapsed = time.monotonic() - self._start
        share = self.done / self.total if self.total else None
        parts = [] if share is None else [f"{100 * share:.0f} %"]
        parts += [self.text] if self.text else []
        parts.append(duration(elapsed))
        if share and self.total:
            # from the first call on, where there were more: what was resumed was done before, and the first step compiles
            began, before = self._first or (self._start, 0.0)
            if not self.done > before:
                began, before = self._start, 0.0
            pace = (time.monotonic() - began) / (self.done - before)
            parts.append(f"{duration(pace * (self.total - self.done))} left")
        return f"{self.title}: " + ", ".join(parts)

    def _show(self) -> None:
        from rich import progress
        from rich.console import Console
        from rich.errors import LiveError

        bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("ETA"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[text]}", markup=False),
            console=Console(file=self._stream),
            transient=True,
        )
        with self._lock:
            if self._over:
                return
            started = self._start
            self._task = bar.add_task(self.title, total=self.total, text=self.text)
            bar.update(self._task, completed=self.done)
            # the clock of the bar starts with the work, not with the bar: else its ETA is too short
            bar.tasks[0].start_time = bar.get_time() - (time.monotonic() - started)
            try:
                bar.start()
            except LiveError:  # somebody else draws on this terminal
                return
            self._bar = bar


def on_terminal(title: str) -> Progress:
    """Progress that a terminal shows, and a log does not: for commands whose output is what they found."""
    return Progress(title, log_every=math.inf)


def duration(seconds: float) -> str:
    """`"8 s"`, `"1 min 12 s"`, `"2 h 5 min"`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
