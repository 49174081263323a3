"""A process that makes universes of a suite, one after the other."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.api import output_paths
from zeldo.engines.base import Engine
from zeldo.errors import InputError, ZeldoError
from zeldo.files import write
from zeldo.files.atomic import raise_if_full
from zeldo.interrupts import raise_if_asked
from zeldo.measuring.energy import Meter
from zeldo.particles.provenance import PROVENANCE, file_hash
from zeldo.particles.snapshot import Snapshot
from zeldo.store.claims import LEASE, Claims
from zeldo.store.queue import FAILED, LEFT, MADE
from zeldo.suites.arrays import NO_VELOCITIES, STATISTICS
from zeldo.suites.suite import Suite
from zeldo.suites.tasks import Task
from zeldo.universe import Universe

LONG = 60.0  # seconds from which on a universe is worth checkpoints


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
    memory : str or float, optional
        The most that a process of a cluster may take, as in `run`.
    failures : dict, optional
        When universes had failed before this call, which tries them again; by default as it is now.
    """

    suite: Suite
    engine: Engine
    base: Universe
    lease: float = LEASE
    memory: str | float | None = None
    failures: dict[str, int | None] | None = None

    def __post_init__(self) -> None:
        self.claims = Claims(self.suite.path / "claims", self.lease)
        self._meter: Meter | None = None
        if self.failures is None:
            self.failures = self.suite.failure_times()
        expected = self.engine.plan(self.base.n, self.suite.arguments["redshifts"]).seconds
        self._takes_long = self.engine.resumable and (expected is None or expected > LONG)

    def parts(self) -> tuple[Any, ...]:
        """What another process makes the same worker of."""
        suite = Suite(self.suite.path.resolve(), self.suite.arguments)
        return suite, self.engine, self.base, self.lease, self.memory, self.failures

    def attempt(self, task: Task) -> str:
        """Make a universe, unless it is made or another process makes it: `MADE`, `LEFT` or `FAILED`.

        One that has failed since this call began, in any process, is not tried again.
        """
        suite = self.suite
        if suite.is_done(task.name):
            return MADE
        with self.claims.claim(task.name) as is_ours:
            if not is_ours:
                return LEFT
            if suite.is_done(task.name):
                return MADE
            failure = suite.failure_time(task.name)
            if failure is not None and (self.failures or {}).get(task.name) != failure:
                return FAILED
            suite.sweep(task.name)
            try:
                suite.add(task.name, self._resume(task))
            except Exception as error:
                raise_if_asked()  # what a library made of Ctrl-C
                raise_if_full(error, suite.path)
                if suite.is_done(task.name):  # by another process, where this one stood still for a lease
                    return MADE
                kind = "" if isinstance(error, ZeldoError) else f"{type(error).__name__}: "
                suite.fail(task.name, f"{kind}{error}")
                return FAILED
            return MADE

    def _resume(self, task: Task) -> dict[str, Any]:
        """Its row of the manifest. A checkpoint that is damaged, or was made with other bits, is ignored."""
        try:
            return self._make(task)
        except InputError:
            if not self.suite.remove_checkpoint(task.name):
                raise
            return self._make(task)

    def _make(self, task: Task) -> dict[str, Any]:
        """Its row of the manifest."""
        suite = self.suite
        universe = replace(self.base, seed=task.seed, cosmology=task.cosmology or self.base.cosmology)
        if self._meter is None:
            self._meter = Meter()
        paths: list[Path] = []
        engine = self.engine
        if self._takes_long:
            engine = replace(engine, checkpoint=suite.checkpoint(task.name))  # type: ignore[call-arg]
        measures: dict[str, np.ndarray] = {}
        redshifts, statistics = suite.arguments["redshifts"], STATISTICS[suite.arguments["keep"]]
        with self._meter.measured() as used, suite.outputs(task.name) as folder:
            start = time.perf_counter()
            seconds = 0.0
            for snapshot in engine.run(universe.initial_conditions(), redshifts):
                seconds += time.perf_counter() - start
                if statistics:
                    measures |= _measured(snapshot, statistics)
                else:
                    outputs = output_paths(folder / "particles.hdf5", redshifts)
                    paths.append(write(snapshot, outputs[snapshot.redshift]))
                del snapshot
                start = time.perf_counter()
            if measures:
                paths.append(folder / "measures.npz")
                np.savez(paths[0], **measures)  # type: ignore[arg-type]
            hashes = [file_hash(path) for path in paths]
        suite.remove_checkpoint(task.name)
        return {
            "name": task.name,
            "status": "done",
            **described(universe),
            **universe.cosmology.to_dict(),
            "seed": universe.seed,
            "engine": self.engine.name,
            "settings": suite.arguments["settings"],
            "redshifts": " ".join(f"{z:g}" for z in redshifts),
            **{name: suite.arguments[name] for name in PROVENANCE},
            "seconds": round(seconds, 4),
            "energy_wh": None if used.energy is None else round(used.energy, 6),
            "where": " ".join(f"universes/{task.name}/{path.name}" for path in paths),
            "sha256": " ".join(hashes),
        }


def _measured(snapshot: Snapshot, statistics: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The statistics on a mesh as fine as the lattice, multipoles about z, by the redshift."""
    from zeldo.statistics.measurement import measurement

    # an engine of the user's own, whose plan does not say it; others are refused before
    if "multipoles" in statistics and snapshot.vel is None:
        raise InputError(NO_VELOCITIES.format(snapshot.engine))
    tables = measurement(snapshot, statistics, mesh=snapshot.n).tables
    columns = tables["power"] | tables.get("multipoles", {})  # whose k and modes are the same
    return {f"z{snapshot.redshift:g}_{name}": values for name, values in columns.items()}


def described(universe: Universe) -> dict[str, Any]:
    return {
        "cosmology": universe.cosmology.to_dict(),
        "box": universe.box,
        "n": universe.n,
        "fixed": universe.fixed,
        "flip": universe.flip,
        "power": os.fspath(universe.power),
        "phases": universe.phases,
    }
