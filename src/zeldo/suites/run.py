"""Make the universes of a suite: in this process, in any others that join it, or on a cluster of dask."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zeldo.api import (
    initial_conditions,
    output_paths,
    parse_engine,
    redshift_list,
    universe_of,
)
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import Engine, Progress
from zeldo.errors import InputError, ZeldoError
from zeldo.files import write
from zeldo.files.atomic import FULL
from zeldo.interrupts import raise_if_asked
from zeldo.keywords import checked_keywords
from zeldo.measuring.energy import Meter
from zeldo.measuring.memory import limited
from zeldo.particles.provenance import Provenance, file_hash
from zeldo.particles.snapshot import Snapshot
from zeldo.planning import check_fits
from zeldo.suites.claims import LEASE, Claims
from zeldo.suites.suite import FORMAT, PROVENANCE, Suite
from zeldo.suites.tasks import PathLike, Task, parse_seeds, read_cosmologies
from zeldo.universe import Universe

KEEP = ("particles", "measure")
MANIFEST_EVERY = 30.0  # seconds
WAIT = 0.5  # seconds between looks at what others are making
MADE, LEFT, FAILED = "made", "left to others", "failed"


@checked_keywords(initial_conditions)
def run_suite(
    *,
    output: PathLike,
    seeds: str | Iterable[int] | None = None,
    cosmologies: PathLike | Iterable[Cosmology | Mapping[str, float]] | None = None,
    keep: str = "particles",
    engine: PathLike | Engine = "cola",
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
        "0:1000", which leaves out 1000, "1,5,9", or whole numbers; 7 where absent.
    cosmologies : path or iterable, optional
        A CSV file with a column for each parameter that varies, or `Cosmology` objects. A column `seed` gives each
        cosmology a seed of its own.
    keep : {"particles", "measure"}
        What is kept of each universe: its particles, or the power spectrum alone, up to the lattice's Nyquist wavenumber.
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
    for name in ("seed", "ics"):
        if universe.get(name) is not None:
            raise InputError(f"a suite takes no {name}: give seeds, such as 0:10")
    if keep not in KEEP:
        raise InputError(f"keep = {keep!r} is not allowed: choose {' or '.join(KEEP)}")
    if not 0 < lease < np.inf:
        raise InputError(f"lease = {lease!r} is not allowed: give seconds above 0")
    parsed_engine = parse_engine(
        engine, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None
    )
    redshifts = parsed_engine.check(redshift_list(redshift))
    if getattr(parsed_engine, "checkpoint", None) is not None:
        raise InputError("the option checkpoint is chosen for each universe: leave it out")
    base = universe_of(universe)
    if not isinstance(base.phases, str):
        raise InputError("a suite draws its phases from seeds: give the name of a generator, such as native")
    chosen, pairs = read_cosmologies(cosmologies, base.cosmology)
    if pairs is not None and seeds is not None:
        raise InputError("the table of cosmologies has seeds, so seeds cannot be given too")
    arguments = {
        "format": FORMAT,
        **_described(base),
        "seeds": [] if pairs else parse_seeds(seeds),
        "cosmologies": [cosmology.to_dict() for cosmology in chosen],
        "seed_of_cosmology": pairs,
        "engine": os.fspath(engine) if not isinstance(engine, Engine) else engine.name,
        "settings": {name: str(value) for name, value in parsed_engine.settings.items()},
        "redshifts": redshifts,
        "keep": keep,
        **{name: getattr(Provenance.of(parsed_engine), name) for name in PROVENANCE},
    }
    with limited(memory):
        check_fits(parsed_engine, base.n, redshifts)
        suite = Suite.join(output, arguments)
        worker = Worker(suite, parsed_engine, base, lease)
        try:
            if scheduler is None:
                _alone(worker, progress)
            else:
                from zeldo.suites.cluster import on_cluster

                on_cluster(worker, scheduler, progress)
        finally:
            suite.write_manifest()
        suite.tidy()
    return suite


def _described(universe: Universe) -> dict[str, Any]:
    return {
        "cosmology": universe.cosmology.to_dict(),
        "box": universe.box,
        "n": universe.n,
        "fixed": universe.fixed,
        "flip": universe.flip,
        "power": os.fspath(universe.power),
        "phases": universe.phases,
    }


@dataclass
class Worker:
    """A process that makes universes of a suite.

    Parameters
    ----------
    suite : Suite
    engine : Engine
    base : Universe
        With the arguments that all universes share.
    lease : float
        See `Claims`.
    """

    suite: Suite
    engine: Engine
    base: Universe
    lease: float = LEASE

    def __post_init__(self) -> None:
        self.claims = Claims(self.suite.path / "claims", self.lease)
        self._meter: Meter | None = None

    def parts(self) -> tuple[Suite, Engine, Universe, float]:
        """What another process makes the same worker of."""
        return Suite(self.suite.path.resolve(), self.suite.arguments), self.engine, self.base, self.lease

    def attempt(self, task: Task) -> str:
        """Make a universe, unless it is made or another process makes it: `MADE`, `LEFT` or `FAILED`."""
        suite = self.suite
        if suite.is_done(task.name):
            return MADE
        with self.claims.claim(task.name) as is_ours:
            if not is_ours:
                return LEFT
            if suite.is_done(task.name):
                return MADE
            suite.sweep(task.name)
            try:
                row = self._make(task)
            except Exception as error:
                raise_if_asked()  # what a library made of Ctrl-C
                if _disk_is_full(error):
                    raise ZeldoError(
                        f"no space left for {suite.path}: free some, then the same command goes on"
                    ) from error
                kind = "" if isinstance(error, ZeldoError) else f"{type(error).__name__}: "
                suite.fail(task.name, f"{kind}{error}")
                return FAILED
            suite.add(task.name, row)
            return MADE

    def _make(self, task: Task) -> dict[str, Any]:
        """Its row of the manifest."""
        suite = self.suite
        universe = replace(self.base, seed=task.seed, cosmology=task.cosmology or self.base.cosmology)
        if self._meter is None:
            self._meter = Meter()
        where: list[str] = []
        hashes: list[str] = []
        checkpoint = suite.path / "claims" / f"{task.name}.npz"
        engine = replace(self.engine, checkpoint=checkpoint) if self.engine.resumable else self.engine  # type: ignore[call-arg]
        measures: dict[str, np.ndarray] = {}
        redshifts = suite.arguments["redshifts"]
        with self._meter.measured() as used, suite.outputs(task.name) as folder:
            start = time.perf_counter()
            seconds = 0.0
            for snapshot in engine.run(universe.initial_conditions(), redshifts):
                seconds += time.perf_counter() - start
                if suite.arguments["keep"] == "measure":
                    measures |= _measured(snapshot)
                else:
                    paths = output_paths(folder / "particles.hdf5", redshifts)
                    path = write(snapshot, paths[snapshot.redshift])
                    where.append(f"universes/{task.name}/{path.name}")
                    hashes.append(file_hash(path))
                del snapshot
                start = time.perf_counter()
            if measures:
                path = folder / "measures.npz"
                np.savez(path, **measures)  # type: ignore[arg-type]
                where.append(f"universes/{task.name}/{path.name}")
                hashes.append(file_hash(path))
        checkpoint.unlink(missing_ok=True)
        return {
            "name": task.name,
            "status": "done",
            **_described(universe),
            **universe.cosmology.to_dict(),
            "seed": universe.seed,
            "engine": self.engine.name,
            "settings": suite.arguments["settings"],
            "redshifts": " ".join(f"{z:g}" for z in redshifts),
            **{name: suite.arguments[name] for name in PROVENANCE},
            "seconds": round(seconds, 4),
            "energy_wh": None if used.energy is None else round(used.energy, 6),
            "where": " ".join(where),
            "sha256": " ".join(hashes),
        }


def _measured(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """The power spectrum on a mesh as fine as the lattice, by the redshift."""
    from zeldo.statistics.spectra import power_spectrum

    spectrum = power_spectrum(snapshot, mesh=snapshot.n)
    values = {"k": spectrum.k, "power": spectrum.power, "modes": spectrum.modes}
    return {f"z{snapshot.redshift:g}_{name}": array for name, array in values.items()}


def _alone(worker: Worker, progress: Progress | None) -> None:
    """Make what is missing, and wait for what other processes are making."""
    suite = worker.suite
    tasks = suite.tasks
    done = suite.done()
    left = [task for task in tasks if task.name not in done]
    # processes that start together begin at different places
    begin = os.getpid() % max(1, len(left)) if any((suite.path / "claims").iterdir()) else 0
    left = left[begin:] + left[:begin]
    written, failed = time.monotonic(), 0
    while left:
        others: list[Task] = []
        for number, task in enumerate(left):
            outcome = worker.attempt(task)
            failed += outcome == FAILED
            if outcome == LEFT:
                others.append(task)
            if progress is not None:
                ready = len(tasks) - len(left) + number + 1 - len(others)
                progress(ready, len(tasks), f"{ready} of {len(tasks)} universes, {failed} failed")
            if time.monotonic() - written > MANIFEST_EVERY:
                suite.write_manifest()
                written = time.monotonic()
        if len(others) == len(left):
            time.sleep(WAIT)
        failures = suite.failed() if others else {}
        left = [task for task in others if task.name not in failures]


def _disk_is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
