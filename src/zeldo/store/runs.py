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

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import LinearPower, linear_power
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.errors import DamagedFileError, InputError, nearest
from zeldo.files.atomic import write_text
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import MADE, Snapshot
from zeldo.store.fields import LARGEST, attributes, fingerprint, get, put
from zeldo.version import __version__

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
        return (self.path / run_id / _name(self.row(run_id)["redshifts"][0]) / "vel").exists()

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
            row = self._write(group, ics, snapshots, regenerate)
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

    def _write(
        self,
        group: zarr.Group,
        ics: InitialConditions,
        snapshots: Iterable[Snapshot],
        regenerate: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "seed": ics.seed,
            "cosmology": ics.cosmology.to_dict(),
            "box": ics.box,
            "n": ics.n,
            "redshifts": [],
            "engine": None,
            "settings": {},
            "version": __version__,
            **dict.fromkeys(MADE),
            "steps": {"psi": self.psi_step, "vel": self.vel_step},
        }
        if regenerate is None:
            put(group, "delta_lin", ics.delta_lin, float(np.abs(ics.delta_lin).max()) / LARGEST)
            row["initial"] = {"kind": "stored"}
        else:
            if ics.phases not in (None, "native"):
                regenerate = {**regenerate, "phases": ics.phases}
            power = linear_power(ics.cosmology, regenerate.get("power", "camb"))
            # the table beside the seed: nobody who reads the run waits for CAMB, or has another version of it
            group.create_array("linear_power", data=np.stack([power.k, power.p]), attributes={"step": 0})
            row["initial"] = {
                "kind": "seed",
                "arguments": dict(regenerate),
                "fingerprint": fingerprint(ics.delta_lin),
            }
        for snapshot in snapshots:
            if (snapshot.box, snapshot.n, snapshot.cosmology) != (ics.box, ics.n, ics.cosmology):
                raise InputError(
                    f"the snapshot at z = {snapshot.redshift:g} ({snapshot.engine}, n = {snapshot.n}, "
                    f"box = {snapshot.box:g}) is of another lattice or cosmology than the initial conditions "
                    f"(n = {ics.n}, box = {ics.box:g})"
                )
            here = group.create_group(_name(snapshot.redshift), attributes={"redshift": snapshot.redshift})
            put(here, "psi", snapshot.psi, self.psi_step)
            if snapshot.vel is not None:
                put(here, "vel", snapshot.vel, self.vel_step)
            row["redshifts"].append(snapshot.redshift)
            row |= {name: getattr(snapshot, name) for name in MADE}
            row["engine"], row["settings"] = (
                snapshot.engine,
                json.loads(json.dumps(dict(snapshot.settings), default=str)),
            )
        if not row["redshifts"]:
            raise InputError("the run has no snapshot: give at least one redshift")
        return row

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
        row = self.row(run_id)
        kept = nearest_redshift(row["redshifts"], redshift)
        if kept is None:
            there = ", ".join(f"{z:g}" for z in row["redshifts"])
            raise InputError(f"run {run_id!r} has no redshift {redshift:g}: choose one of {there}")
        group = self._group(run_id)
        name = _name(kept)
        has_vel = velocity and f"{name}/vel" in group
        return Snapshot(
            psi=get(group, f"{name}/psi"),
            vel=get(group, f"{name}/vel") if has_vel else None,
            box=row["box"],
            cosmology=Cosmology(**row["cosmology"]),
            redshift=kept,
            engine=row["engine"],
            seed=row["seed"],
            settings=row["settings"],
            version=row["version"],
            revision=row.get("revision"),
            weights=row.get("weights"),
            **_drawn(row),
        )

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
        row = self.row(run_id)
        cosmology = Cosmology(**row["cosmology"])
        if row["initial"]["kind"] == "stored":
            delta = get(self._group(run_id), "delta_lin")
            return InitialConditions(row["box"], row["n"], cosmology, delta, row["seed"])
        arguments = dict(row["initial"]["arguments"])
        k, p = get(self._group(run_id), "linear_power")
        arguments["power"] = LinearPower(k, p, str(arguments.get("power", "camb")))
        ics = initial_conditions(cosmology, row["box"], row["n"], row["seed"], **arguments)
        made, kept = np.array(fingerprint(ics.delta_lin)), np.array(row["initial"]["fingerprint"])
        if np.abs(made - kept).max() > 1e-3 * kept[0]:
            raise DamagedFileError(
                f"{self.path}: seed {row['seed']} gives another linear field than when run {run_id!r} was "
                f"made (version {row['version']}, here {__version__}): use that version, or make it again"
            )
        return ics

    def _group(self, run_id: str) -> zarr.Group:
        import zarr

        return zarr.open_group(self.path / run_id, mode="r")


def _name(redshift: float) -> str:
    return f"z{redshift:g}"


def _drawn(row: Mapping[str, Any]) -> dict[str, Any]:
    """How the linear field of a run was drawn with its seed; nothing where the field itself is stored."""
    if row["initial"]["kind"] == "stored":
        return {}
    said = {"fixed": False, "flip": False, "power": "camb", "phases": "native"} | row["initial"]["arguments"]
    return said | {"power": Path(said["power"]).name}


def _checked(run_id: str) -> str:
    if not run_id or run_id.startswith(".") or not all(c.isalnum() or c in "._-" for c in run_id):
        raise InputError(f"{run_id!r} is no name for a run: use letters, digits, '-', '_' and '.'")
    return run_id
