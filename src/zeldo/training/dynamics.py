"""Snapshots of a task's dynamics, computed once for each run and redshift, and kept on disk."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from zeldo.engines.registry import engine
from zeldo.engines.trained import run_dynamics
from zeldo.files.atomic import make_directory, writing
from zeldo.initial.conditions import InitialConditions
from zeldo.networks.tasks.base import Task
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot
from zeldo.store.fields import fingerprint


class Dynamics:
    """An engine whose snapshots are kept in a directory.

    Each redshift has a run of its own, since the emulator runs in the same way for a single redshift.

    Parameters
    ----------
    task : Task
        Names the engine and its options.
    directory : Path, optional
        Where snapshots are kept; with None they are computed each time.
    """

    def __init__(self, task: Task, directory: Path | None = None) -> None:
        assert task.dynamics is not None
        name, options = task.dynamics
        self.engine = engine(name, **options)
        self.directory = directory
        self._about = [name, dict(options), Provenance.of(self.engine).key]
        self._lock = threading.Lock()  # engines use all threads, and Numba's pool must not have two callers

    def outcome(self, ics: InitialConditions, redshift: float) -> tuple[Snapshot, np.ndarray | None]:
        """The engine's snapshot and last force at one redshift, read from the directory if they are there already."""
        path = self._path(ics, redshift)
        with self._lock:
            if path is not None and path.exists():
                with suppress(ValueError, EOFError, OSError):  # one that is damaged is made again
                    psi, vel, *force = np.load(path)
                    return self.engine.snapshot(ics, psi, vel, redshift), force[0] if force else None
            carried = run_dynamics(self.engine, ics, redshift)
            snapshot, force_at_end = carried.snapshot, carried.force
            del carried
            if path is not None and snapshot.vel is not None:
                fields = [snapshot.psi, snapshot.vel]
                fields += [] if force_at_end is None else [force_at_end]
                make_directory(path.parent)
                with writing(path, len(fields) * snapshot.psi.nbytes) as partial, open(partial, "wb") as file:
                    np.save(file, np.stack(fields))
        return snapshot, force_at_end

    def _path(self, ics: InitialConditions, redshift: float) -> Path | None:
        if self.directory is None:
            return None
        universe = [ics.cosmology.to_dict(), ics.box, ics.n, fingerprint(ics.delta_lin), redshift]
        text = json.dumps([*self._about, *universe], sort_keys=True, default=str)
        return self.directory / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"
