"""A suite on the workers of dask.distributed, one thread each."""

from __future__ import annotations

import pickle
import threading
import time
from functools import lru_cache
from typing import Any

from zeldo.engines.base import Progress
from zeldo.errors import InputError
from zeldo.suites.tasks import Task
from zeldo.suites.worker import FAILED, LEFT, WAIT, Worker

AHEAD = 4  # tasks that are submitted for each thread of the cluster
_alone = (
    threading.Lock()
)  # a worker of several threads makes one universe at a time: kernels have threads of their own


def on_cluster(worker: Worker, scheduler: str | Any, progress: Progress | None) -> None:
    """Make what is missing on a cluster. Tasks of workers that are lost are done again by others.

    Raises
    ------
    InputError
        Where dask.distributed is not installed, or nothing answers at the address.
    """
    client, is_own = connected(scheduler)
    try:
        _distribute(worker, client, progress)
    finally:
        if is_own:
            client.close()


def connected(scheduler: str | Any) -> tuple[Any, bool]:
    """A client of dask.distributed, and whether it was made here; raises as `on_cluster`."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("dask.distributed is not installed: pip install 'zeldo[cluster]'") from None
    if isinstance(scheduler, Client):
        return scheduler, False
    try:
        connect: Any = Client  # its types are not told
        return connect(scheduler, timeout="10s"), True
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"no scheduler answers at {scheduler} ({error}): give its address") from None


def _distribute(worker: Worker, client: Any, progress: Progress | None) -> None:
    import distributed

    suite = worker.suite
    tasks = suite.tasks
    done = suite.done()
    waiting = [task for task in tasks if task.name not in done]
    ready, failed = len(tasks) - len(waiting), 0
    packed = pickle.dumps(worker.parts())
    running: Any = distributed.as_completed()  # type: ignore[no-untyped-call]
    while waiting or not running.is_empty():
        room = AHEAD * max(1, sum(client.nthreads().values())) - running.count()
        for task in waiting[: max(0, room)]:
            running.add(client.submit(attempt, packed, task, pure=False, retries=3))
        del waiting[: max(0, room)]
        future = next(running)
        task, outcome = future.result()
        if outcome == LEFT:  # of a plain process, or of a worker that is lost and whose lease has not ended
            waiting.append(task)
            time.sleep(WAIT)
            continue
        ready, failed = ready + 1, failed + (outcome == FAILED)
        if progress is not None:
            progress(ready, len(tasks), f"{ready} of {len(tasks)} universes, {failed} failed")


def attempt(packed: bytes, task: Task) -> tuple[Task, str]:
    """`Worker.attempt` in a process of the cluster."""
    with _alone:
        return task, _worker(packed).attempt(task)


@lru_cache(maxsize=4)
def _worker(packed: bytes) -> Worker:
    """The worker of this process, kept for the next task: with it go power spectra, kernels and weights."""
    return Worker(*pickle.loads(packed))
