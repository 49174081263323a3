"""Make a data set: a queue of runs that resumes where it was stopped, in one process or many.

Workers need no master. Each goes through the design and claims the next run that nobody has made or is making. So several
processes, or several machines with a common file system, may work on one store.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zeldo.configuration import ConfigSource, load
from zeldo.cosmology.power import check_table
from zeldo.datasets.config import DatasetConfig
from zeldo.datasets.design import Run, make_design, unfinished
from zeldo.datasets.finished import Finished, check_parts, finished_runs, not_taken, take_back
from zeldo.engines.base import Engine, Progress
from zeldo.errors import InputError, ZeldoError
from zeldo.files.atomic import raise_if_full
from zeldo.interrupts import end_with_parent, interruptible, raise_if_asked
from zeldo.measuring.threads import THREADS
from zeldo.particles.snapshot import Snapshot
from zeldo.spawning import check_guarded, leave_unguarded
from zeldo.store.identity import power_identity
from zeldo.store.queue import LEFT, MADE, in_turn
from zeldo.store.runs import RunStore

THERE = "made by another process"
POLL = 0.2  # seconds between looks at the workers
# seconds that workers have to end, less than a training gives the process that makes its data
PATIENCE = 30.0


@dataclass
class DatasetResult:
    """What `make_dataset` did. made, failed: ids of runs; existing: how many were there before."""

    store: RunStore
    existing: int
    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def make_dataset(
    config: ConfigSource, *, override: dict[str, Any] | None = None, progress: Progress | None = None
) -> DatasetResult:
    """Make the runs of a data set that its store does not hold yet.

    After a kill or Ctrl-C the same call goes on, in the middle of a run where the engine has a `checkpoint`. A run that
    fails does not stop the others.

    Parameters
    ----------
    config : path, mapping or DatasetConfig
        A TOML file, or what stands in one.
    override : mapping, optional
        Values by dotted keys that replace the file's.
    progress : callable, optional
        Called with runs done, their total, and a text.

    Returns
    -------
    DatasetResult

    Raises
    ------
    InputError
        For a bad configuration.
    ZeldoError
        Where workers died.
    """
    config = load(config, DatasetConfig, override)
    store, left, apart, total = check_dataset(config)
    result = DatasetResult(store, existing=total - len(left) - len(apart))
    _take_back(config, store, apart, result)
    if config.workers == 1 and config.threads is None:
        for run_id, problem in work(config, left, progress=_counted(progress, result, total)):
            _note(result, run_id, problem)
    elif left:
        _in_parallel(config, left, result, progress, total)
    return result


def _take_back(config: DatasetConfig, store: RunStore, apart: list[Finished], result: DatasetResult) -> None:
    """Store the finished runs that no other process is storing; `result` notes those that were attempted here."""
    problems: dict[str, str] = {}

    def attempt(done: Finished) -> str:
        with store.claim(done.run_id) as is_ours:
            if not is_ours:
                return THERE if done.run_id in store else LEFT
            try:
                take_back(config, store, done)
            except InputError as error:  # another code may still be running there
                problems[done.run_id] = str(error)
        return MADE

    for done, outcome in in_turn(apart, attempt, store.claims):
        if outcome == MADE:
            _note(result, done.run_id, problems.get(done.run_id))


def check_dataset(config: DatasetConfig) -> tuple[RunStore, list[Run], list[Finished], int]:
    """The store, the designed and the finished runs that it lacks, and the number of all runs.

    Raises `InputError` before anything is made.
    """
    runs, finished = make_design(config), finished_runs(config)
    _check(config, runs)
    check_parts(runs, finished, [])  # a slip leaves no empty store
    store = open_store(config)
    left, apart = unfinished(config, runs, store), not_taken(config, finished, store)
    check_parts(runs, finished, store.runs())
    return store, left, apart, len(runs) + len(finished)


def _check(config: DatasetConfig, runs: list[Run]) -> None:
    """`InputError` for an engine, a redshift or a power spectrum that will not do, before anything is made."""
    _teacher(config, None).check(config.redshifts)
    if runs:
        check_table(runs[0].universe.cosmology, config.power)


def open_store(config: DatasetConfig) -> RunStore:
    return RunStore(config.store, psi_step=config.psi_step, vel_step=config.vel_step)


def work(
    config: DatasetConfig, runs: list[Run], progress: Progress | None = None
) -> Iterator[tuple[str, str | None]]:
    """Make every run that nobody else makes; (run_id, None) or (run_id, what went wrong) after each."""
    store = open_store(config)
    problems: dict[str, str] = {}

    def attempt(run: Run) -> str:
        with store.claim(run.run_id) as is_ours:
            if not is_ours:
                return THERE if run.run_id in store else LEFT
            try:
                make_run(config, run, store, progress)
            except InputError as error:
                raise_if_asked()
                if not config.varies:
                    raise  # the next run would fail alike
                problems[run.run_id] = str(error)
            except Exception as error:
                raise_if_asked()  # what a library made of Ctrl-C
                raise_if_full(error, store.path)
                problems[run.run_id] = f"{type(error).__name__}: {error}"
        return MADE

    for run, outcome in in_turn(runs, attempt, store.claims):
        if outcome != THERE:
            yield run.run_id, problems.get(run.run_id)


def make_run(
    config: DatasetConfig, run: Run, store: RunStore, progress: Progress | None = None
) -> dict[str, Any]:
    """Simulate one universe and store it; returns its row of the manifest."""
    universe = run.universe
    power = power_identity(universe.power)  # a table may be edited between two calls
    ics = universe.initial_conditions()
    arguments = {"fixed": universe.fixed, "power": os.fspath(universe.power)}
    checkpoints = store.path / ".checkpoints"
    checkpoints.mkdir(exist_ok=True)
    checkpoint = checkpoints / f"{run.run_id}.npz"
    resumed = checkpoint.exists()
    teacher = _teacher(config, checkpoint)
    started = time.monotonic()
    clock: dict[str, object] = {"teacher": config.engine, "resumed": resumed}

    def snapshots() -> Iterator[Snapshot]:
        for snapshot in teacher.run(ics, list(config.redshifts), progress=progress):
            clock["wall_seconds"] = round(time.monotonic() - started, 2)
            yield snapshot if config.velocity else dataclasses.replace(snapshot, vel=None)

    row = store.add(
        run.run_id, ics, snapshots(), regenerate=arguments, part=run.part, late=clock, power=power
    )
    checkpoint.unlink(missing_ok=True)
    return row


def _teacher(config: DatasetConfig, checkpoint: os.PathLike[str] | None) -> Engine:
    from zeldo.engines.registry import engine

    if "checkpoint" in config.options:
        raise InputError("the option checkpoint is chosen for each run: leave it out of [options]")
    made = engine(config.engine, **config.options)
    if checkpoint is not None and made.resumable:
        made = dataclasses.replace(made, checkpoint=checkpoint)  # type: ignore[call-arg]
    return made


def _note(result: DatasetResult, run_id: str, problem: str | None) -> None:
    if problem is None:
        result.made.append(run_id)
    else:
        result.failed[run_id] = problem


def _counted(progress: Progress | None, result: DatasetResult, total: int) -> Progress | None:
    """Progress of one run as progress of all."""
    if progress is None:
        return None

    def tell(done: float, of: float, text: str = "") -> None:
        before = result.existing + len(result.made) + len(result.failed)
        progress(before + (done / of if of else 0.0), total, f"run {before + 1} of {total}, {text}")

    return tell


def _in_parallel(
    config: DatasetConfig, left: list[Run], result: DatasetResult, progress: Progress | None, total: int
) -> None:
    leave_unguarded()
    context = multiprocessing.get_context("spawn")
    threads = config.threads or max(1, (os.cpu_count() or 1) // config.workers)
    answers = context.Queue()
    count = min(config.workers, len(left))
    with _environment(dict.fromkeys(THREADS, str(threads))):
        workers = [
            context.Process(target=_worker, args=(config, left[i:] + left[:i], answers)) for i in range(count)
        ]
        for worker in workers:
            worker.start()
    ended: list[ZeldoError] = []
    try:
        # what ends one worker, such as a full disk, would end the others too
        while any(worker.is_alive() for worker in workers) and not ended:
            time.sleep(POLL)
            ended += _drain(answers, result)
            if progress is not None:
                done = result.existing + len(result.made) + len(result.failed)
                progress(done, total, f"{done} of {total} runs, {count} workers of {threads} threads")
        ended += _drain(answers, result)
    finally:
        _end(workers)
        open_store(config).tidy([worker.pid for worker in workers if worker.pid])
        answers.close()
        answers.cancel_join_thread()
    killed = [worker.exitcode for worker in workers if worker.exitcode]
    if ended:
        raise ended[0]
    check_guarded(killed)
    if killed:
        raise ZeldoError(
            f"{len(killed)} of {count} workers died (status {killed[0]}; -9 is often too little memory): "
            f"{len(result.made)} runs were made; start again to go on, perhaps with fewer workers"
        )


def _end(workers: Sequence[Any]) -> None:
    """End processes and wait for them. Runs that engines have checkpoints of go on from there."""
    for worker in workers:
        worker.terminate()
    end = time.monotonic() + PATIENCE
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
        worker.kill()
        worker.join()


def _worker(config: DatasetConfig, runs: list[Run], answers: Any) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends its workers
    try:
        with interruptible():  # SIGTERM goes through every `finally`, so that no run is left half-written
            end_with_parent()
            for answer in work(config, runs):
                answers.put(answer)
    except KeyboardInterrupt:
        sys.exit()
    except ZeldoError as error:
        answers.put(type(error)(str(error)))  # without what it came from, which may not be picklable


def _drain(answers: Any, result: DatasetResult) -> list[ZeldoError]:
    """Note what the workers have made, and return what has ended some of them."""
    ended = []
    while not answers.empty():
        answer = answers.get()
        if isinstance(answer, ZeldoError):
            ended.append(answer)
        else:
            _note(result, *answer)
    return ended


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables that processes started inside inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
