"""Snapshots as HDF5 in the layout of Gadget-4 (Springel et al. 2021, arXiv:2010.03567).

Lengths Mpc/h, masses 10^10 Msun/h, velocities km/s divided by sqrt(a), as Gadget has them; ids from 1 in
lattice order. What Gadget has no place for (the whole cosmology, seed, engine, settings) stands in /Zeldo.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import AGAIN, DamagedFileError, InputError, ZeldoError
from zeldo.files.archive import cosmology_of, drawn, existing, integer, made_by, number
from zeldo.files.atomic import writing
from zeldo.files.npz import COSMOLOGY, redshift_of
from zeldo.particles.lattice import (
    check_mass,
    displacement,
    lattice_side,
    on_lattice,
    rows_by_id,
)
from zeldo.particles.snapshot import DRAWN, MADE, Snapshot

MPC = 3.085678e24  # cm
MASS = 1.98841e43  # g, 10^10 Msun
KM = 1e5  # cm
UNITS = {"UnitLength_in_cm": MPC, "UnitMass_in_g": MASS, "UnitVelocity_in_cm_per_s": KM}
GROUP = "PartType1"
SAID = {
    "omega_m": "Omega0",
    "omega_b": "OmegaBaryon",
    "h": "HubbleParam",
    "sigma_8": "Sigma8",
    "n_s": "PrimordialIndex",
}


def write_hdf5(snapshot: Snapshot, path: str | os.PathLike) -> Path:
    """Write a snapshot as Gadget-4-style HDF5 and return the path. Errors as `zeldo.files.write`."""
    count = snapshot.n**3
    wide = count >= 2**32
    size = count * (24 + (12 if snapshot.vel is not None else 0) + (8 if wide else 4)) + 16384
    with writing(path, size) as temporary, h5py.File(temporary, "w") as file:
        _write_attributes(snapshot, file)
        group = file.create_group(GROUP)
        _write(group, "Coordinates", snapshot.positions(), "U_L", MPC, a=1.0, h=-1.0, length=1.0)
        if snapshot.vel is not None:
            u = snapshot.velocities() / np.float32(np.sqrt(snapshot.scale_factor))
            _write(group, "Velocities", u, "U_V", KM, a=0.5, h=0.0, velocity=1.0)
        group["ParticleIDs"] = np.arange(1, count + 1, dtype=np.uint64 if wide else np.uint32)
    return Path(path)


def _write_attributes(snapshot: Snapshot, file: h5py.File) -> None:
    cosmology, count = snapshot.cosmology, snapshot.n**3
    counts = np.array([0, count, 0, 0, 0, 0], dtype=np.uint64)
    densities = {
        "Omega0": cosmology.omega_m,
        "OmegaLambda": cosmology.omega_de,
        "OmegaBaryon": cosmology.omega_b,
        "HubbleParam": cosmology.h,
    }
    file.create_group("Header").attrs.update(
        {
            "BoxSize": snapshot.box,
            "MassTable": np.array([0.0, snapshot.particle_mass, 0.0, 0.0, 0.0, 0.0]),
            "NumPart_ThisFile": counts,
            "NumPart_Total": counts,
            "NumPart_Total_HighWord": np.zeros(6, dtype=np.uint32),
            "NumFilesPerSnapshot": np.int32(1),
            "Redshift": snapshot.redshift,
            "Time": snapshot.scale_factor,
            **{
                f"Flag_{name}": np.int32(0) for name in ("Sfr", "Cooling", "Feedback", "StellarAge", "Metals")
            },
            **densities,
            **UNITS,
        }
    )
    # Gadget-4 and its readers look here for what older versions had in the header
    file.create_group("Parameters").attrs.update(
        {
            "BoxSize": snapshot.box,
            "Hubble": 100.0,
            "ComovingIntegrationOn": np.int32(1),
            "Sigma8": cosmology.sigma_8,
            "PrimordialIndex": cosmology.n_s,
            **densities,
            **UNITS,
        }
    )
    own = file.create_group("Zeldo").attrs
    own.update({name: getattr(cosmology, name) for name in COSMOLOGY})
    own.update(
        {"format": np.int32(1), "n": snapshot.n, "engine": snapshot.engine, "version": snapshot.version}
    )
    own["settings"] = json.dumps(dict(snapshot.settings), default=str)
    said = {name: getattr(snapshot, name) for name in ("seed", *DRAWN, *MADE)}
    own.update({name: value for name, value in said.items() if value is not None})


def _write(
    group: h5py.Group,
    name: str,
    data: np.ndarray,
    unit: str,
    cgs: float,
    a: float,
    h: float,
    **scaling: float,
):
    """A dataset with its unit said twice: as Gadget-4 says it, and as older readers (pynbody) expect it."""
    group[name] = data
    group[name].attrs.update(
        {
            "a_scaling": a,
            "h_scaling": h,
            **{f"{part}_scaling": scaling.get(part, 0.0) for part in ("length", "mass", "velocity")},
            "to_cgs": cgs,
            "VarDescription": unit,
            "CGSConversionFactor": cgs,
            "aexp-scale-exponent": a,
            "h-scale-exponent": h,
        }
    )


def read_hdf5(path: str | os.PathLike, cosmology: Cosmology | None = None) -> Snapshot:
    """Read a Gadget-style HDF5 snapshot of one lattice of dark matter, its rows in any order, ids from 1.

    cosmology: needed where the file, of another code, does not say sigma_8 and n_s.
    Raises `InputError` for a missing file and for what zeldo does not read (many files, other particles),
    `DamagedFileError` for a file that is truncated or contradicts itself.
    """
    path = existing(path)
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _read(file, path, cosmology)
    except ZeldoError:
        raise
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).strip("'\"")
        raise DamagedFileError(
            f"{path} is not a readable HDF5 snapshot ({reason}): it is damaged or incomplete, {AGAIN}"
        ) from error


def _read(file: h5py.File, path: Path, given: Cosmology | None) -> Snapshot:
    for name in ("Header", f"{GROUP}/Coordinates", f"{GROUP}/ParticleIDs"):
        if name not in file:
            raise DamagedFileError(f"{path} lacks /{name}: zeldo reads Gadget's layout; {AGAIN}")
    header: dict[str, Any] = dict(file["Header"].attrs)
    for name in ("BoxSize", "MassTable", "NumPart_ThisFile", "NumPart_Total", "Redshift"):
        if name not in header:
            raise DamagedFileError(f"{path} lacks {name} in /Header: it must say it; {AGAIN}")
    parameters = {**header, **_parameters(header, file, path)}
    own: dict[str, Any] = dict(file["Zeldo"].attrs) if "Zeldo" in file else {}
    group = file[GROUP]
    count = _count(header, group, path)
    cosmology = _cosmology(own, parameters, given, path)
    box, scale = _box(header, path), 1.0
    mass = _mass(header, group, path)
    if "UnitLength_in_cm" in parameters:
        scale = number(parameters, "UnitLength_in_cm", path) / MPC
        mass *= number(parameters, "UnitMass_in_g", path) / MASS
    elif abs(mass / (CRITICAL_DENSITY * cosmology.omega_m * (box / 1e3) ** 3 / count) - 1) < 1e-2:
        scale = 1e-3  # Gadget's own default, kpc/h, and the mass agrees
    box *= scale
    check_mass(mass, cosmology.omega_m, box, count, path)
    redshift = redshift_of(number(header, "Redshift", path), path)
    a = number(header, "Time", path) if "Time" in header else 1 / (1 + redshift)
    if a <= 0 or not same_redshift(1 / a - 1, redshift):
        raise DamagedFileError(
            f"{path}: Time = {a:g} and Redshift = {redshift:g} contradict each other; {AGAIN}"
        )

    rows = rows_by_id(group["ParticleIDs"][:], path)
    pos = group["Coordinates"][:]
    if pos.shape != (count, 3) or pos.dtype.kind != "f":
        raise DamagedFileError(f"{path}: Coordinates are {pos.dtype} {pos.shape}, not ({count}, 3); {AGAIN}")
    if scale != 1.0:
        pos = pos * scale
    psi = displacement(pos if rows is None else pos[rows], box, path)
    vel = None
    if "Velocities" in group:
        u = group["Velocities"][:]
        vel = on_lattice(u if rows is None else u[rows], count, path)
        # Gadget's u = v / sqrt(a)
        vel *= np.float32(np.sqrt(1 / (1 + redshift)) * parameters.get("UnitVelocity_in_cm_per_s", KM) / KM)
    return Snapshot(
        psi=psi,
        vel=vel,
        box=box,
        cosmology=cosmology,
        redshift=redshift,
        engine=str(own.get("engine", "gadget")),
        seed=integer(own, "seed", path) if "seed" in own else None,
        settings=_settings(own, path),
        version=str(own.get("version", "")),
        **drawn(own, path),
        **made_by(own, path),
    )


def _count(header: Mapping[str, Any], group: h5py.Group, path: Path) -> int:
    """Number of particles, the same wherever the file says it."""
    if int(header.get("NumFilesPerSnapshot", 1)) != 1:
        raise InputError(
            f"{path} is one of {int(header['NumFilesPerSnapshot'])} files of a snapshot: "
            "zeldo reads single files; join them first"
        )
    count = len(group["ParticleIDs"])
    for name in ("NumPart_ThisFile", "NumPart_Total"):
        numbers = np.asarray(header[name]).astype(np.int64)
        if numbers.sum() != numbers[1]:
            raise InputError(f"{path}: {name} = {numbers.tolist()}: zeldo reads particles of type 1 only")
        if numbers[1] != count:
            raise DamagedFileError(
                f"{path}: {name} says {numbers[1]} particles but there are {count} ids; {AGAIN}"
            )
    lattice_side(count, path)
    return count


def _mass(header: Mapping[str, Any], group: h5py.Group, path: Path) -> float:
    """The mass of every particle in the file's unit."""
    mass = float(np.asarray(header["MassTable"])[1])
    if mass == 0 and "Masses" in group:
        masses = group["Masses"][:]
        mass = float(masses[0])
        if not np.allclose(masses, mass, rtol=1e-5):
            raise InputError(f"{path}: particles have different masses: zeldo reads lattices of equal ones")
    return mass


def _parameters(header: Mapping[str, Any], file: h5py.File, path: Path) -> dict[str, Any]:
    """What stands in /Parameters; where /Header says it too, both must agree."""
    parameters: dict[str, Any] = dict(file["Parameters"].attrs) if "Parameters" in file else {}
    for name in ("BoxSize", *SAID.values(), "OmegaLambda", *UNITS):
        if name in header and name in parameters:
            one, other = number(header, name, path), number(parameters, name, path)
            if abs(one - other) > 1e-6 * abs(one):
                raise DamagedFileError(
                    f"{path}: {name} is {one:g} in /Header and {other:g} in /Parameters: they must agree; {AGAIN}"
                )
    return parameters


def _box(header: Mapping[str, Any], path: Path) -> float:
    """The side in the file's unit."""
    box = number(header, "BoxSize", path)
    if box <= 0:
        raise DamagedFileError(f"{path}: BoxSize = {box:g} is not positive; {AGAIN}")
    return box


def _cosmology(
    own: Mapping[str, Any], parameters: Mapping[str, Any], given: Cosmology | None, path: Path
) -> Cosmology:
    values = {name: parameters[key] for name, key in SAID.items() if key in parameters}
    cosmology = cosmology_of(own, path) if "omega_m" in own else given
    if cosmology is None:
        missing = [name for name in SAID if name not in values]
        if missing:
            raise InputError(f"{path} does not say {', '.join(missing)}: pass the cosmology of the run")
        cosmology = cosmology_of(values, path)
    # Gadget's Sigma8 and so on are of the initial conditions that it makes itself, and may be of no others
    for name in SAID if "omega_m" in own else ("omega_m", "h"):
        if name in values and abs(number(values, name, path) / getattr(cosmology, name) - 1) > 1e-4:
            raise DamagedFileError(
                f"{path}: {SAID[name]} = {values[name]:g} in the header contradicts {name} = "
                f"{getattr(cosmology, name):g}; {AGAIN}, or pass its cosmology"
            )
    if "OmegaLambda" in parameters:
        dark = number(parameters, "OmegaLambda", path)
        if abs(dark - cosmology.omega_de) > 1e-3:
            raise InputError(
                f"{path}: Omega0 = {cosmology.omega_m:g} and OmegaLambda = {dark:g} make no flat universe: "
                "zeldo reads flat ones only"
            )
    return cosmology


def _settings(own: Mapping[str, Any], path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(own.get("settings", "{}")))
    except (TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: the settings in /Zeldo are not JSON ({error}); {AGAIN}") from error
