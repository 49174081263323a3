"""Make the universes of a suite: in this process, in any others that join it, or on a cluster of dask."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from zeldo.api import check_output, initial_conditions
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import Engine, Progress
from zeldo.errors import ZeldoWarning
from zeldo.keywords import PathLike, checked_keywords
from zeldo.measuring.memory import limited
from zeldo.planning import check_fits, warn_of_space
from zeldo.store.claims import LEASE, check_lease
from zeldo.store.queue import FAILED, in_turn
from zeldo.suites.asked import Asked
from zeldo.suites.cluster import attempt, by_workers, connected
from zeldo.suites.suite import Suite
from zeldo.suites.tasks import Task
from zeldo.suites.worker import Worker

MANIFEST_EVERY = 30.0  # seconds


@checked_keywords(initial_conditions)
def run_suite(
    *,
    output: PathLike,
    seeds: str | Iterable[int] | None = None,
    cosmologies: PathLike | Iterable[Cosmology | Mapping[str, float]] | None = None,
    keep: str = "particles",
    engine: PathLike | Engine = "emulator",
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    memory: str | float | None = None,
    scheduler: str | Any | None = None,
    lease: float = LEASE,
    progress: Progress | None = None,
    **universe: Any,
) -> Suite:
    """Make many universes: every cosmology with every seed.

    The same call in any number of processes that share the directory divides the work. Called again after a kill it makes
    what is missing, and what failed.

    Parameters
    ----------
    output : path
        The directory of the suite, a new one or one of the same arguments.
    seeds : str or iterable of int, optional
        "0:1000", which leaves out 1000, "1,5,9", or whole numbers; where absent, that of `universe`, or 7.
    cosmologies : path or iterable, optional
        A CSV file with a column for each parameter that varies, or `Cosmology` objects. A column `seed` gives each
        cosmology a seed of its own.
    keep : {"particles", "measure", "multipoles"}
        What is kept of each universe: its particles, P(k) alone, or P(k) and the multipoles in redshift space along z. Both
        are measured up to the lattice's Nyquist wavenumber; see `Suite.arrays`.
    engine, redshift, steps, mesh_factor, extrapolate, memory
        As in `run`.
    scheduler : str or distributed.Client, optional
        Address of a scheduler of dask.distributed, whose workers make the universes.
    lease : float
        Seconds without a sign of life after which the universe of a process on another machine is taken over.
    progress : callable, optional
        Called with universes done, their number, and a text.
    **universe
        The arguments of `initial_conditions` that all universes share.

    Returns
    -------
    Suite
        Its `rows` are those of manifest.csv; `failed` says what went wrong.

    Raises
    ------
    InputError
        For a value that is not allowed, and for a directory of other arguments.
    ZeldoError
        For a full disk. The same call goes on afterwards.
    """
    lease = check_lease(lease)
    check_output(output, "directory, such as suite", optional=False)
    asked = Asked.of(
        universe,
        output=output,
        seeds=seeds,
        cosmologies=cosmologies,
        keep=keep,
        engine=engine,
        redshift=redshift,
        steps=steps,
        mesh_factor=mesh_factor,
        extrapolate=extrapolate,
    )
    with limited(memory):
        statistics = len(asked.statistics)
        check_fits(asked.engine, asked.base.n, asked.redshifts, may_stream=False, statistics=statistics)
        # where no scheduler answers, no directory is begun
        with nullcontext() if scheduler is None else connected(scheduler) as client:
            suite = Suite.join(output, asked.arguments())
            _warn_of_missing(suite)
            left = len(suite.tasks) - len(suite.done())
            warn_of_space(
                asked.engine, asked.base.n, asked.redshifts, left, suite.path, statistics=statistics
            )
            worker = Worker(suite, asked.engine, asked.base, lease, memory)
            try:
                _follow(suite, _outcomes(worker, client), progress)
            finally:
                suite.write_manifest()
            suite.tidy()
    return suite


def _warn_of_missing(suite: Suite) -> None:
    """Warn of universes that are made, and whose files somebody has removed."""
    there = {
        path.name for path in (suite.path / "universes").iterdir() if path.is_dir() and any(path.iterdir())
    }
    missing = sorted(suite.done() - there)
    if missing:
        warnings.warn(
            f"{suite.path}: the files of {len(missing)} universes are gone, of {missing[0]} first: remove "
            f"{suite.path / 'rows' / missing[0]}.json and so on to make them again",
            ZeldoWarning,
            stacklevel=3,
        )


def _outcomes(worker: Worker, client: Any | None) -> Iterator[tuple[Task, str]]:
    """Makes what is missing as it is asked for the outcomes: here, or on a cluster."""
    done = worker.suite.done()
    left = [task for task in worker.suite.tasks if task.name not in done]
    if client is None:
        return in_turn(left, worker.attempt, worker.claims)
    return by_workers(left, partial(attempt, pickle.dumps(worker.parts())), client)


def _follow(suite: Suite, outcomes: Iterator[tuple[Task, str]], progress: Progress | None) -> None:
    """Report the outcomes, and write the manifest now and then."""
    total, ready, failed = len(suite.tasks), len(suite.done()), 0
    written = time.monotonic()
    for _, outcome in outcomes:
        ready, failed = ready + 1, failed + (outcome == FAILED)
        if progress is not None:
            progress(ready, total, f"{ready} of {total} universes, {failed} failed")
        if time.monotonic() - written > MANIFEST_EVERY:
            suite.write_manifest()
            written = time.monotonic()
