"""Snapshots as npz: `pos` (N, 3) in Mpc/h and `vel` (N, 3) in km/s in lattice order, and what they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.archive import (
    cosmology_of,
    drawn,
    existing,
    integer,
    made_by,
    names_in,
    number,
    read_arrays,
)
from zeldo.files.atomic import writing
from zeldo.particles.lattice import check_mass, displacement, on_lattice
from zeldo.particles.snapshot import DRAWN, MADE, Snapshot

COSMOLOGY = Cosmology.names()
NEEDED = ("pos", "n", "box", "redshift", *COSMOLOGY, "engine", "version", "settings", "particle_mass")


def write_npz(snapshot: Snapshot, path: str | os.PathLike) -> Path:
    """Write a snapshot as an uncompressed npz and return the path. Errors as `zeldo.files.write`."""
    values: dict[str, object] = {name: getattr(snapshot.cosmology, name) for name in COSMOLOGY}
    values |= {name: getattr(snapshot, name) for name in ("n", "box", "redshift", "particle_mass")}
    values |= {"engine": snapshot.engine, "version": snapshot.version}
    values["settings"] = json.dumps(dict(snapshot.settings), default=str)
    values |= {name: getattr(snapshot, name) for name in ("seed", *DRAWN, *MADE)}
    values = {name: value for name, value in values.items() if value is not None}
    count = snapshot.n**3
    with writing(path, (36 if snapshot.vel is not None else 24) * count) as temporary:
        values["pos"] = snapshot.positions()
        if snapshot.vel is not None:
            values["vel"] = snapshot.velocities()
        with open(temporary, "wb") as stream:
            np.savez(stream, **values)  # type: ignore[arg-type]
    return Path(path)


def read_npz(path: str | os.PathLike) -> Snapshot:
    """Read what `write_npz` wrote.

    Raises `InputError` for a missing file or another kind of npz, `DamagedFileError` for one that is
    truncated or contradicts itself.
    """
    path = existing(path)
    found = names_in(path)
    if "pos" not in found and "delta_lin" in found:
        raise InputError(
            f"{path} is a reference or initial conditions, no snapshot: use it as --reference or --ics"
        )
    values = read_arrays(path, [*NEEDED, *(name for name in ("vel", "seed", *DRAWN, *MADE) if name in found)])
    n, box, pos = integer(values, "n", path), number(values, "box", path), values["pos"]
    if pos.shape != (n**3, 3) or pos.dtype.kind != "f":
        raise DamagedFileError(f"{path}: pos is {pos.dtype} of shape {pos.shape}, not ({n**3}, 3); {AGAIN}")
    if box <= 0:
        raise DamagedFileError(f"{path}: box = {box:g} is not positive; {AGAIN}")
    cosmology = cosmology_of(values, path)
    check_mass(number(values, "particle_mass", path), cosmology.omega_m, box, n**3, path)
    try:
        settings = dict(json.loads(str(values["settings"])))
    except (TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: settings are not JSON ({error}); {AGAIN}") from error
    return Snapshot(
        psi=displacement(pos, box, path),
        vel=on_lattice(values["vel"], n**3, path) if "vel" in values else None,
        box=box,
        cosmology=cosmology,
        redshift=redshift_of(number(values, "redshift", path), path),
        engine=str(values["engine"]),
        seed=integer(values, "seed", path) if "seed" in values else None,
        settings=settings,
        version=str(values["version"]),
        **drawn(values, path),
        **made_by(values, path),
    )


def redshift_of(redshift: float, where: str | Path) -> float:
    """The redshift where it is above -1, else `DamagedFileError`."""
    if redshift <= -1:
        raise DamagedFileError(f"{where}: redshift = {redshift:g} is not above -1; {AGAIN}")
    return redshift
