"""A store of runs: displacements and velocities in zarr, quantised and compressed, with a manifest.

One group a run, written beside and renamed: a run is there whole or not at all. Its attributes are its row
of the manifest. Any zarr 3 reader opens it: `store[run_id]["z0"]["psi"]` is int16 in units of its attribute
`step`.

Rounding to steps of 0.005 Mpc/h and 1 km/s errs by at most half a step, 0.0014 Mpc/h and 0.29 km/s rms. With
lossless compression it takes a third of the compressed float32 fields.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot
from zeldo.store.claims import Claims
from zeldo.store.manifest import Manifest
from zeldo.store.run_fields import read_initial, read_snapshot, write_run

if TYPE_CHECKING:
    import zarr

PSI_STEP, VEL_STEP = 0.005, 1.0  # Mpc/h, km/s
PARTIAL = re.compile(r"\.partial-(?P<run>.+)-(?P<pid>\d+)-\d+")  # the last number is that of a thread


class RunStore(Manifest):
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
        for name, step in (("psi_step", psi_step), ("vel_step", vel_step)):
            if not 0 <= step < np.inf:
                raise InputError(f"{name} = {step!r} is not allowed: give a step above 0, or 0 for float32")
        self.psi_step, self.vel_step = psi_step, vel_step
        super().__init__(path, create=create)
        self.claims = Claims(self.path / ".claims")

    @contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        """Claim a run for this process, as a context manager. A kill frees it too; see `Claims`.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Yields
        ------
        bool
            False while another process makes the run, and where the run is there.
        """
        with self.claims.claim(_checked(run_id)) as is_ours:
            yield is_ours and run_id not in self

    def tidy(self, pids: Collection[int]) -> None:
        """Remove what processes of this machine that have ended, by their numbers, left unfinished and claimed."""
        self._remove_partial(lambda run_id, pid: pid in pids)
        self.claims.free(pids)

    def _remove_partial(self, chosen: Callable[[str, int], bool]) -> None:
        """Remove unfinished runs, chosen by run and by the number of the process that made them."""
        for path in self.path.glob(".partial-*"):
            match = PARTIAL.fullmatch(path.name)
            if match and chosen(match["run"], int(match["pid"])):
                shutil.rmtree(path, ignore_errors=True)

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
        """Store a run.

        Parameters
        ----------
        run_id : str
            A new name.
        ics : InitialConditions
        snapshots : iterable of Snapshot
            Of these initial conditions. Each is written before the next is asked for.
        regenerate : mapping, optional
            Further arguments of `initial_conditions` (fixed, flip, power) that give delta_lin back from the seed. By
            default delta_lin itself is stored.
        part : str
            The part of a data set.
        late : mapping, optional
            More entries of the row, read when all snapshots are there.
        **extra
            More entries of the row.

        Returns
        -------
        dict
            The row of the manifest.

        Raises
        ------
        InputError
            For a name that is taken, and for snapshots of another lattice or cosmology.
        """
        import zarr

        if run_id in self:
            raise InputError(f"{self.path} holds run {run_id!r} already: choose another name")
        if regenerate is not None and ics.seed is None:
            raise InputError(f"run {run_id!r} has no seed to regenerate it from: store delta_lin")
        partial = self.path / f".partial-{_checked(run_id)}-{os.getpid()}-{threading.get_ident()}"
        self._remove_partial(lambda name, pid: name == run_id)  # of a process that was killed
        try:
            group = zarr.open_group(partial, mode="w")
            steps = {"psi": self.psi_step, "vel": self.vel_step}
            row = write_run(group, ics, snapshots, regenerate, steps)
            self.check_provenance(row["engine"], Provenance.in_row(row))
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
            try:
                os.replace(partial, self.path / run_id)
            except OSError:
                if run_id not in self:
                    raise
                shutil.rmtree(partial, ignore_errors=True)  # another process was faster: its lease had ended
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


def is_run_name(text: str) -> bool:
    """Whether a run of a store can have this name."""
    return bool(text) and not text.startswith(".") and all(c.isalnum() or c in "._-" for c in text)


def _checked(run_id: str) -> str:
    if not is_run_name(run_id):
        raise InputError(f"{run_id!r} is not a name for a run: use letters, digits, '-', '_' and '.'")
    return run_id
