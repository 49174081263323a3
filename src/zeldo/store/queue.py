"""Tasks that several processes share: each attempts them in turn, and waits for those that others are making."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from zeldo.store.claims import Claims

MADE, LEFT, FAILED = "made", "left to others", "failed"
WAIT = 0.5  # seconds between looks at what others are making

Task = TypeVar("Task")


@contextmanager
def alone(folder: Path, progress: Callable[[float, float, str], None] | None = None) -> Iterator[None]:
    """Inside, no other process is in such a block for the same folder. It waits for one that is.

    Parameters
    ----------
    folder : Path
        Of the claim; it is removed at the end.
    progress : callable, optional
        `progress(0, 1, text)` while this process waits.
    """
    claims = Claims(folder)
    try:
        while True:
            with claims.claim("run") as is_ours:
                if is_ours:
                    yield
                    return
            if progress is not None:
                progress(0, 1, "waiting for the process that makes it")
            time.sleep(WAIT)
    finally:
        with suppress(OSError):  # where others wait
            claims.folder.rmdir()


def in_turn(
    tasks: Sequence[Task], attempt: Callable[[Task], str], claims: Claims
) -> Iterator[tuple[Task, str]]:
    """Attempt tasks until none is left to others.

    Parameters
    ----------
    tasks : sequence
    attempt : callable
        Makes a task, unless it is made or another process has the claim on it. It says which: `LEFT` is attempted again
        when the others have had their turn.
    claims : Claims
        Those that `attempt` takes. Where other processes have some, this one begins at another place than they did.

    Yields
    ------
    task, str
        Each task with its outcome, which is not `LEFT`.
    """
    begin = os.getpid() % len(tasks) if tasks and claims.are_there else 0
    left = [*tasks[begin:], *tasks[:begin]]
    while left:
        others = []
        for task in left:
            outcome = attempt(task)
            if outcome == LEFT:
                others.append(task)
            else:
                yield task, outcome
        if len(others) == len(left):
            time.sleep(WAIT)
        left = others
