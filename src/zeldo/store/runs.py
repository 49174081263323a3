"""A store of runs: displacements and velocities in zarr, quantised and compressed, with a manifest.

One group a run, written beside and renamed: a run is there whole or not at all. Its attributes are its row
of the manifest. Any zarr 3 reader opens it: `store[run_id]["z0"]["psi"]` is int16 in units of its attribute
`step`.

Rounding to steps of 0.005 Mpc/h and 1 km/s errs by at most half a step, 0.0014 Mpc/h and 0.29 km/s rms. With
lossless compression it takes a third of the compressed float32 fields.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.errors import InputError, nearest
from zeldo.files.atomic import write_text
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import MADE, Snapshot
from zeldo.store.fields import attributes
from zeldo.store.run_fields import read_initial, read_snapshot, redshift_name, write_run

if TYPE_CHECKING:
    import zarr

FORMAT = "zeldo runs 1"
PSI_STEP, VEL_STEP = 0.005, 1.0  # Mpc/h, km/s


class RunStore:
    """Runs of any engine, each with its initial conditions and snapshots at several redshifts.

    Parameters
    ----------
    path : str or path
        Of a store, or of a new one where nothing is.
    psi_step : float
        What displacements of new runs are rounded to, Mpc/h; 0 stores float32 unrounded.
    vel_step : float
        The same of velocities, km/s.
    create : bool
        Whether to make a store where none is.

    Raises
    ------
    InputError
        Where the path is something else, or a step is not allowed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        psi_step: float = PSI_STEP,
        vel_step: float = VEL_STEP,
        create: bool = True,
    ) -> None:
        self.path = Path(path)
        for name, step in (("psi_step", psi_step), ("vel_step", vel_step)):
            if not 0 <= step < np.inf:
                raise InputError(f"{name} = {step!r} is not allowed: give a step above 0, or 0 for float32")
        self.psi_step, self.vel_step = psi_step, vel_step
        if not (self.path / "zarr.json").exists():
            taken = self.path.is_file() or any(not p.name.startswith(".") for p in self.path.glob("*"))
            if taken and not (self.path / "zarr.json").exists():  # another process may have made it just now
                raise InputError(f"{self.path} is no store of runs: give a new path or that of a store")
            if not create:
                raise InputError(f"no store of runs at {self.path}: make one by `zeldo dataset`")
            self._create()
        kind = attributes(self.path).get("format")
        if kind != FORMAT:
            raise InputError(f"{self.path} is no store of runs ({FORMAT}) but {kind!r}")

    def _create(self) -> None:
        """An empty group; several processes may do so at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            group = {"zarr_format": 3, "node_type": "group", "attributes": {"format": FORMAT}}
            write_text(self.path / "zarr.json", json.dumps(group))
        except OSError as error:
            raise InputError(f"no store can be made at {self.path}: {error.strerror}") from None

    def __contains__(self, run_id: str) -> bool:
        return (self.path / run_id / "zarr.json").exists()

    def __len__(self) -> int:
        return len(self.run_ids())

    def run_ids(self) -> list[str]:
        """List the runs of the store.

        Returns
        -------
        list of str
            Their names, in alphabetical order.
        """
        entries = (p.parent.name for p in self.path.glob("*/zarr.json"))
        return sorted(name for name in entries if not name.startswith("."))

    def runs(self) -> list[dict[str, Any]]:
        """The manifest: one row a run, in the order of `run_ids`.

        Keys: run_id, part, seed, cosmology, box, n, redshifts, engine, settings, version, revision, weights, wall_seconds,
        status, initial (how delta_lin is got back), steps, bytes.
        """
        return [self.row(run_id) for run_id in self.run_ids()]

    def row(self, run_id: str) -> dict[str, Any]:
        """Read one row of the manifest.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Returns
        -------
        dict
            With the keys that `runs` lists.

        Raises
        ------
        InputError
            For a run that is not there.
        """
        if run_id not in self:
            ids = self.run_ids()
            raise InputError(
                f"{self.path} holds no run {run_id!r}, only {len(ids)} others{nearest(run_id, ids)}"
            )
        return attributes(self.path / run_id)

    def check_provenance(self, engine: str, made: Provenance) -> None:
        """`InputError` where the store holds runs of this engine that no others of this provenance may join.

        Parameters
        ----------
        engine : str
            Its name.
        made : Provenance
            Of the runs that are to come.
        """
        for row in self.runs():
            if engine not in (row["engine"], row.get("teacher")):
                continue
            clash = made.clash(Provenance(row["version"], row.get("revision"), row.get("weights")))
            if clash:
                raise InputError(
                    f"{self.path} holds runs of {engine} that others may not join ({clash}): go on with the version "
                    "and weights that made them, or choose another store"
                )

    def has_velocity(self, run_id: str) -> bool:
        """Say whether a run was stored with velocities.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Returns
        -------
        bool
        """
        return (self.path / run_id / redshift_name(self.row(run_id)["redshifts"][0]) / "vel").exists()

    def write_manifest(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest as JSON lines, one run a line.

        Parameters
        ----------
        path : path
            The file to write.
        """
        text = "".join(json.dumps(row) + "\n" for row in self.runs())
        write_text(Path(path), text)

    @contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        """Claim a run for this process, as a context manager. A kill frees it too.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Yields
        ------
        bool
            False while another process makes the run.
        """
        claims = self.path / ".claims"
        claims.mkdir(exist_ok=True)
        with open(claims / _checked(run_id), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield run_id not in self

    def add(
        self,
        run_id: str,
        ics: InitialConditions,
        snapshots: Iterable[Snapshot],
        *,
        regenerate: Mapping[str, Any] | None = None,
        part: str = "train",
        late: Mapping[str, object] | None = None,
        **extra: object,
    ) -> dict[str, Any]:
        """Store a run and return its row; snapshots are taken as the engine yields them.

        regenerate: further arguments of `initial_conditions` (fixed, flip, power) that give delta_lin back
        from the seed; None stores delta_lin itself. extra: more entries of the row; late: the same, looked at
        when all snapshots are there (wall_seconds). Raises `InputError` for a run that is there already or
        does not belong to ics.
        """
        import zarr

        if run_id in self:
            raise InputError(f"{self.path} holds run {run_id!r} already: choose another name")
        if regenerate is not None and ics.seed is None:
            raise InputError(f"run {run_id!r} has no seed to regenerate it from: store delta_lin")
        partial = self.path / f".partial-{_checked(run_id)}-{os.getpid()}-{threading.get_ident()}"
        for old in self.path.glob(f".partial-{run_id}-*"):  # of a process that was killed
            shutil.rmtree(old, ignore_errors=True)
        try:
            group = zarr.open_group(partial, mode="w")
            steps = {"psi": self.psi_step, "vel": self.vel_step}
            row = write_run(group, ics, snapshots, regenerate, steps)
            self.check_provenance(row["engine"], Provenance(*(row[name] for name in ("version", *MADE))))
            size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
            row |= {
                "run_id": run_id,
                "part": part,
                "status": "complete",
                "bytes": size,
                **extra,
                **(late or {}),
            }
            group.attrs.update(row)
            os.replace(partial, self.path / run_id)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return self.row(run_id)

    def read(
        self, run_id: str, redshift: float = 0.0
    ) -> tuple[InitialConditions, np.ndarray, np.ndarray | None]:
        """Read a run at one of its redshifts.

        Parameters
        ----------
        run_id : str
            The name of a run.
        redshift : float
            One of its redshifts.

        Returns
        -------
        InitialConditions
            Made again from the seed, or read.
        psi : ndarray, (3, n, n, n)
            Displacement, float32, Mpc/h.
        vel : ndarray, (3, n, n, n), or None
            Peculiar velocity, float32, km/s.
        """
        snapshot = self.snapshot(run_id, redshift)
        return self.initial(run_id), snapshot.psi, snapshot.vel

    def snapshot(self, run_id: str, redshift: float = 0.0, *, velocity: bool = True) -> Snapshot:
        """Read the particles of a run at one of its redshifts.

        Parameters
        ----------
        run_id : str
            The name of a run.
        redshift : float
            One of its redshifts.
        velocity : bool
            Whether to read velocities too.

        Returns
        -------
        Snapshot

        Raises
        ------
        InputError
            For another redshift.
        """
        row = self.row(run_id)  # refuses a name that is not there
        return read_snapshot(self._group(run_id), row, redshift, velocity=velocity)

    def initial(self, run_id: str) -> InitialConditions:
        """Make the initial conditions of a run again from its seed, or read them.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Returns
        -------
        InitialConditions
        """
        row = self.row(run_id)  # refuses a name that is not there
        return read_initial(self._group(run_id), row, self.path)

    def _group(self, run_id: str) -> zarr.Group:
        import zarr

        return zarr.open_group(self.path / run_id, mode="r")


def _checked(run_id: str) -> str:
    if not run_id or run_id.startswith(".") or not all(c.isalnum() or c in "._-" for c in run_id):
        raise InputError(f"{run_id!r} is no name for a run: use letters, digits, '-', '_' and '.'")
    return run_id
