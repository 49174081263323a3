"""The fields of one run of a store: how they are written into its group, and read from there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import LinearPower, linear_power
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.errors import DamagedFileError, InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import MADE, Snapshot
from zeldo.store.fields import LARGEST, fingerprint, get, put
from zeldo.version import __version__

if TYPE_CHECKING:
    import zarr


def write_run(
    group: zarr.Group,
    ics: InitialConditions,
    snapshots: Iterable[Snapshot],
    regenerate: Mapping[str, Any] | None,
    steps: Mapping[str, float],
) -> dict[str, Any]:
    """Write the fields of a run into its group.

    Parameters
    ----------
    group : zarr.Group
    ics, snapshots, regenerate
        As in `RunStore.add`.
    steps : mapping
        What "psi" and "vel" are rounded to.

    Returns
    -------
    dict
        The part of its row that the fields say.
    """
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
        "steps": dict(steps),
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
        here = group.create_group(
            redshift_name(snapshot.redshift), attributes={"redshift": snapshot.redshift}
        )
        put(here, "psi", snapshot.psi, steps["psi"])
        if snapshot.vel is not None:
            put(here, "vel", snapshot.vel, steps["vel"])
        row["redshifts"].append(snapshot.redshift)
        row |= {name: getattr(snapshot, name) for name in MADE}
        row["engine"], row["settings"] = (
            snapshot.engine,
            json.loads(json.dumps(dict(snapshot.settings), default=str)),
        )
    if not row["redshifts"]:
        raise InputError("the run has no snapshot: give at least one redshift")
    return row


def read_snapshot(
    group: zarr.Group, row: Mapping[str, Any], redshift: float, *, velocity: bool = True
) -> Snapshot:
    """The particles of a run at one of its redshifts; see `RunStore.snapshot`."""
    kept = nearest_redshift(row["redshifts"], redshift)
    if kept is None:
        there = ", ".join(f"{z:g}" for z in row["redshifts"])
        raise InputError(f"run {row['run_id']!r} has no redshift {redshift:g}: choose one of {there}")
    name = redshift_name(kept)
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
        **vars(Provenance.in_row(row)),
        **_drawn(row),
    )


def read_initial(group: zarr.Group, row: Mapping[str, Any], path: Path) -> InitialConditions:
    """The initial conditions of a run, made again from its seed, or read; path is that of the store."""
    cosmology = Cosmology(**row["cosmology"])
    if row["initial"]["kind"] == "stored":
        delta = get(group, "delta_lin")
        return InitialConditions(row["box"], row["n"], cosmology, delta, row["seed"])
    arguments = dict(row["initial"]["arguments"])
    k, p = get(group, "linear_power")
    arguments["power"] = LinearPower(k, p, str(arguments.get("power", "camb")))
    ics = initial_conditions(cosmology, row["box"], row["n"], row["seed"], **arguments)
    made, kept = np.array(fingerprint(ics.delta_lin)), np.array(row["initial"]["fingerprint"])
    if np.abs(made - kept).max() > 1e-3 * kept[0]:
        raise DamagedFileError(
            f"{path}: seed {row['seed']} gives another linear field than when run {row['run_id']!r} was "
            f"made (version {row['version']}, here {__version__}): use that version, or make it again"
        )
    return ics


def redshift_name(redshift: float) -> str:
    """What the group of a snapshot is called."""
    return f"z{redshift:g}"


def _drawn(row: Mapping[str, Any]) -> dict[str, Any]:
    """How the linear field of a run was drawn with its seed; nothing where the field itself is stored."""
    if row["initial"]["kind"] == "stored":
        return {}
    said = {"fixed": False, "flip": False, "power": "camb", "phases": "native"} | row["initial"]["arguments"]
    return said | {"power": Path(said["power"]).name}
