"""Finished runs of other codes as runs of a data set: the snapshots in a directory that `export-ics` made."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.datasets.config import PARTS, DatasetConfig
from zeldo.datasets.design import Run, check_row
from zeldo.datasets.exporting import FIELD
from zeldo.errors import InputError
from zeldo.files import open_particles, read
from zeldo.files.reference import read_initial_conditions, read_origin
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.initial.lpt import linear_displacement
from zeldo.particles.snapshot import Snapshot, drawn
from zeldo.store.runs import RunStore, is_run_name

# of what MP-Gadget, Gadget-4 and SWIFT write with our parameter files
OUTPUTS = ("PART_[0-9][0-9][0-9]", "snapdir_*", "snapshot_*.hdf5", "snap_*.hdf5")
NEAR = (
    0.02  # relative difference of scale factors: codes write at the step next to the time that was asked for
)
LIKE = 0.5  # correlation of displacements with linear theory; of another universe it is 0


@dataclass(frozen=True)
class Finished:
    """A finished run: its name in the store, its part of the data set, its directory, and what its field says of itself."""

    run_id: str
    part: str
    folder: Path
    origin: Origin


def finished_runs(config: DatasetConfig) -> list[Finished]:
    """Every run that the patterns of the configuration name. No field is read for it, let alone a snapshot.

    Raises `InputError` for a pattern that names nothing, a directory without the linear field, one in two parts, and one
    of another lattice.
    """
    runs: dict[str, Finished] = {}
    for part in PARTS:
        for pattern in getattr(config, part).finished:
            folders = sorted(Path(name) for name in glob.glob(pattern) if Path(name).is_dir())
            if not folders:
                raise InputError(f"{part}: no directory is named {pattern}: give those of finished runs")
            for folder in folders:
                if not (folder / FIELD).is_file():
                    raise InputError(
                        f"{folder} has no {FIELD}: give directories that `zeldo export-ics` made"
                    )
                run_id = f"f-{folder.resolve().name}"
                if not is_run_name(run_id):
                    raise InputError(
                        f"{folder.resolve()} has a name that no run can have: rename the directory, with letters, "
                        "digits, '-', '_' and '.' only"
                    )
                if run_id in runs:
                    raise InputError(
                        f"{folder} and {runs[run_id].folder} are both run {run_id}: name each once"
                    )
                origin = read_origin(folder / FIELD)
                _check_lattice(config, folder, origin)
                runs[run_id] = Finished(run_id, part, folder, origin)
    return list(runs.values())


def _check_lattice(config: DatasetConfig, folder: Path, origin: Origin) -> None:
    if origin.box not in config.boxes or origin.n != config.n:
        boxes = " or ".join(f"{box:g}" for box in config.boxes)
        raise InputError(
            f"{folder} has n = {origin.n} and box = {origin.box:g}, the configuration n = {config.n} and box = {boxes}: "
            "both must agree"
        )


def check_parts(runs: list[Run], finished: list[Finished], rows: list[dict[str, Any]]) -> None:
    """`InputError` where a seed is in two parts: of designed runs, finished ones, and the rows of a store."""
    seeds = [(row["seed"], row["part"], f"run {row['run_id']} of the store") for row in rows]
    seeds += [(run.universe.seed, run.part, f"run {run.run_id} of the design") for run in runs]
    seeds += [(done.origin.seed, done.part, str(done.folder)) for done in finished]
    taken: dict[int | None, tuple[str, str]] = {}
    for seed, part, name in seeds:
        there, other = taken.setdefault(seed, (part, name))
        if seed is not None and part != there:
            raise InputError(
                f"seed {seed} is in {there} ({other}) and in {part} ({name}): move first_seed, name the directory of a "
                "finished run in the other part, or use another store"
            )


def not_taken(config: DatasetConfig, finished: list[Finished], store: RunStore) -> list[Finished]:
    """The finished runs that the store does not hold yet.

    Raises `InputError` where it holds one of that name that is another, or was taken back by another configuration.
    """
    left = []
    for done in finished:
        if done.run_id not in store:
            left.append(done)
            continue
        there = store.row(done.run_id)["redshifts"]
        wanted = list(config.redshifts)
        same = len(there) == len(wanted) and all(map(_near, there, wanted))
        check_row(
            store,
            done.run_id,
            {
                "part": done.part,
                "seed": done.origin.seed,
                "cosmology": done.origin.cosmology.to_dict(),
                "box": done.origin.box,
                "n": done.origin.n,
                "redshifts": there if same else wanted,
                "psi_step": config.psi_step,
                "vel_step": config.vel_step,
                "velocity": config.velocity,
            },
            "use another store, or rename the directory",
        )
    return left


def take_back(config: DatasetConfig, store: RunStore, done: Finished) -> None:
    """Store a finished run. `InputError` where a redshift is missing or the snapshots are of another universe."""
    ics = read_initial_conditions(done.folder / FIELD)
    snapshots = _snapshots(config, ics, done.folder)
    store.add(done.run_id, ics, snapshots, part=done.part, teacher="finished", folder=str(done.folder))


def _snapshots(config: DatasetConfig, ics: InitialConditions, folder: Path) -> Iterator[Snapshot]:
    there = _redshifts(ics, folder)
    linear = linear_displacement(ics)
    for wanted in config.redshifts:
        nearest = min(there, key=lambda z: abs(math.log((1 + z) / (1 + wanted))), default=None)
        if nearest is None or not _near(nearest, wanted):
            known = ", ".join(f"{z:.3g}" for z in sorted(there)) or "none"
            raise InputError(
                f"{folder / 'output'} has no snapshot at z = {wanted:g}, only {known}: wait for the run"
            )
        snapshot = read(there[nearest], ics.cosmology)
        if not isinstance(snapshot, Snapshot):
            raise InputError(
                f"{there[nearest]} is not a lattice: give a snapshot of all particles with their ids"
            )
        yield _of_universe(snapshot, ics, linear, config.velocity, there[nearest])


def _near(redshift: float, wanted: float) -> bool:
    """Whether a snapshot at a redshift is the one that was asked for."""
    return abs(math.log((1 + redshift) / (1 + wanted))) <= NEAR


def _redshifts(ics: InitialConditions, folder: Path) -> dict[float, Path]:
    """The snapshots in the directory by redshift."""
    there = {}
    for pattern in OUTPUTS:
        for path in sorted((folder / "output").glob(pattern)):
            with open_particles(path, ics.cosmology) as particles:
                there[particles.header.redshift] = path
    return there


def _of_universe(
    snapshot: Snapshot, ics: InitialConditions, linear: np.ndarray, velocity: bool, path: Path
) -> Snapshot:
    """The snapshot with box and cosmology to the last bit; `InputError` where it did not come from the field."""
    if snapshot.n != ics.n or not math.isclose(snapshot.box, ics.box, rel_tol=1e-5):
        raise InputError(
            f"{path} has n = {snapshot.n} and box = {snapshot.box:g}, its initial conditions n = {ics.n} and "
            f"box = {ics.box:g}: it is of another run"
        )
    psi = snapshot.psi - snapshot.psi.mean(axis=(1, 2, 3), keepdims=True)  # lattices at the cells' centres
    product = float(np.vdot(psi, linear)) / math.sqrt(
        float(np.vdot(psi, psi)) * float(np.vdot(linear, linear))
    )
    if not product > LIKE:
        raise InputError(
            f"{path} did not grow from {FIELD} beside it: their displacements correlate by {product:.2f} only"
        )
    vel = snapshot.vel if velocity else None
    return replace(snapshot, psi=psi, vel=vel, box=ics.box, cosmology=ics.cosmology, **drawn(ics))
