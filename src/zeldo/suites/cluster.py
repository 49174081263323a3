"""Tasks on the workers of dask.distributed, one thread each."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from zeldo.errors import InputError, ZeldoError
from zeldo.measuring.memory import limited
from zeldo.store.queue import LEFT, WAIT
from zeldo.suites.tasks import Task
from zeldo.suites.worker import Worker

ANSWER = "10s"  # in which a scheduler must answer
AHEAD = 4  # tasks that are submitted for each thread of the cluster
_alone = (
    threading.Lock()
)  # a worker of several threads makes one universe at a time: kernels have threads of their own

T = TypeVar("T")


@contextmanager
def connected(scheduler: str | Any) -> Iterator[Any]:
    """A client of dask.distributed: the one that is given, or one of a scheduler at an address, which is closed again.

    Raises
    ------
    InputError
        Where dask.distributed is not installed, or nothing answers at the address.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError("dask.distributed is not installed: pip install 'zeldo[cluster]'") from None
    if isinstance(scheduler, Client):
        yield scheduler
        return
    try:
        connect: Any = Client  # its types are not told
        client = connect(scheduler, timeout=ANSWER)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"no scheduler answers at {scheduler} ({error}): give its address") from None
    try:
        yield client
    finally:
        client.close()


def by_workers(
    tasks: Sequence[T], attempt: Callable[[T], tuple[T, str]], client: Any
) -> Iterator[tuple[T, str]]:
    """Attempt tasks on a cluster until none is left to others. Tasks of workers that are lost are done again by others.

    Parameters
    ----------
    tasks : sequence
    attempt : callable
        As that of `in_turn`, but it also returns the task. Workers get it by pickling.
    client : distributed.Client

    Yields
    ------
    task, str
        Each task with its outcome, which is not `LEFT`.

    Raises
    ------
    ZeldoError
        Where a task has cost the cluster several workers.
    """
    import distributed
    from distributed.scheduler import KilledWorker

    waiting = list(tasks)
    running: Any = distributed.as_completed(loop=client.loop)  # type: ignore[no-untyped-call]
    while waiting or not running.is_empty():
        room = AHEAD * max(1, sum(client.nthreads().values())) - running.count()
        for task in waiting[: max(0, room)]:
            running.add(client.submit(attempt, task, pure=False, retries=3))
        del waiting[: max(0, room)]
        try:
            task, outcome = next(running).result()
        except KilledWorker as error:
            raise ZeldoError(
                "workers of the cluster died one after another on the same task, often from lack of memory: give them "
                "more, then run the same command again"
            ) from error
        if outcome == LEFT:  # of a plain process, or of a worker that is lost and whose lease has not ended
            waiting.append(task)
            time.sleep(WAIT)
        else:
            yield task, outcome


def attempt(packed: bytes, task: Task) -> tuple[Task, str]:
    """`Worker.attempt` in a process of the cluster."""
    worker = _worker(packed)
    with _alone, limited(worker.memory):
        return task, worker.attempt(task)


@lru_cache(maxsize=4)
def _worker(packed: bytes) -> Worker:
    """The worker of this process, kept for the next task: with it go power spectra, kernels and weights."""
    return Worker(*pickle.loads(packed))
