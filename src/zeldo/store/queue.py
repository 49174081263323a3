"""Tasks that several processes share: each attempts them in turn, and waits for those that others are making."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from zeldo.store.claims import Claims

MADE, LEFT, FAILED = "made", "left to others", "failed"
WAIT = 0.5  # seconds between looks at what others are making

Task = TypeVar("Task")


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
