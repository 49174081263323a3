"""Halo catalogues to and from files: HDF5 with the unit and meaning of every column."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.atomic import check_writable, writing
from zeldo.files.entries import (
    OFFSET_KNOWN,
    integer,
    known_cosmology,
    number,
    origin_attributes,
    redshift_of,
)
from zeldo.files.halo_catalogue import read_catalogue
from zeldo.files.units import KM, MPC
from zeldo.files.units import MASS as MASS_CGS
from zeldo.particles.lattice import header_of
from zeldo.particles.particles import Particles, known_parameters
from zeldo.particles.snapshot import TOLD, Snapshot
from zeldo.statistics.halos import Halos
from zeldo.statistics.matter import matter_of
from zeldo.statistics.overdensity import HaloCatalogue, SphericalOverdensity
from zeldo.version import __version__

SUFFIXES = (".hdf5", ".h5")
MASS, LENGTH = "1e10 Msun/h", "Mpc/h"
CGS = {  # what one unit is in CGS, and the power of h that it has beside
    MASS: (MASS_CGS, -1.0),
    LENGTH: (MPC, -1.0),
    "km/s": (KM, 0.0),
    "1": (1.0, 0.0),
}
# unit and meaning of every column
COLUMNS: dict[str, tuple[str, str]] = {
    "count": ("1", "number of friends-of-friends members"),
    "mass": (MASS, "mass of the friends-of-friends members"),
    "centre_of_mass": (LENGTH, "centre of mass of the members, comoving, in [0, box)"),
    "velocity": ("km/s", "mean peculiar velocity of the members"),
    "centre": (LENGTH, "centre of the last shrinking sphere, comoving, in [0, box)"),
    "m200c": (MASS, "mass inside 200 times the critical density; 0 where no sphere is that dense"),
    "m200m": (MASS, "mass inside 200 times the mean matter density; 0 where no sphere is that dense"),
    "mvir": (
        MASS,
        "mass inside the virial overdensity of Bryan & Norman 1998; 0 where no sphere is that dense",
    ),
    "r200c": (LENGTH, "comoving radius of m200c"),
    "r200m": (LENGTH, "comoving radius of m200m"),
    "rvir": (LENGTH, "comoving radius of mvir"),
}
VECTORS = ("centre_of_mass", "velocity", "centre")  # of three components
OPTIONAL = ("velocity",)  # halos of particles without velocities have none


def columns_of(catalogue: HaloCatalogue) -> dict[str, np.ndarray]:
    """The columns of a catalogue by name, in the order of `COLUMNS`, one row a halo."""
    friends, spherical = catalogue.friends, catalogue.spherical
    table: dict[str, Any] = {
        "count": friends.count,
        "mass": friends.mass,
        "centre_of_mass": friends.centre_of_mass,
        "velocity": friends.velocity,
    }
    table |= {name: getattr(spherical, name) for name in COLUMNS if name not in table}
    return {name: values for name, values in table.items() if values is not None}


def write_halos(
    catalogue: HaloCatalogue,
    path: str | os.PathLike[str],
    *,
    snapshot: Snapshot | Particles | None = None,
    settings: Mapping[str, object] | None = None,
) -> Path:
    """Write a halo catalogue as HDF5: the group /Halos has a data set for each column, with its unit as attributes.

    Parameters
    ----------
    catalogue : HaloCatalogue
        What `halos` returns.
    path : path
        Ends in .hdf5 or .h5.
    snapshot : Snapshot or Particles, optional
        Where the halos are from. All that made it is written too, and what is known of its cosmology.
    settings : mapping, optional
        How they were found, such as the linking length.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        For another suffix, and a directory that is missing or not writable.
    ZeldoError
        For a full disk.
    """
    if not isinstance(catalogue, HaloCatalogue):
        raise InputError(
            f"write_halos was given a {type(catalogue).__name__}: give the catalogue that zeldo.halos returns"
        )
    path = check_catalogue_path(path)
    import h5py

    friends, table = catalogue.friends, columns_of(catalogue)
    size = sum(values.nbytes for values in table.values())
    with writing(path, size) as temporary, h5py.File(temporary, "w") as file:
        header = file.create_group("Header").attrs
        header.update(
            {
                "BoxSize": friends.box,
                "Redshift": friends.redshift,
                "Time": 1 / (1 + friends.redshift),
                "ParticleMass": friends.particle_mass,
                "NumHalos": len(friends.count),
                "MinimumMembers": friends.minimum,
                "LengthUnit": LENGTH,
                "MassUnit": MASS,
                "zeldo_version": __version__,
                **(settings or {}),
            }
        )
        header.update(
            catalogue.cosmology.to_dict() if catalogue.cosmology is not None else catalogue.parameters
        )
        if snapshot is not None:
            origin = matter_of(snapshot).header
            origin = header_of(origin) if isinstance(origin, Snapshot) else origin
            # the error to expect of a density is not that of its halos
            made = origin_attributes(origin)
            header.update({name: value for name, value in made.items() if name not in (*TOLD, OFFSET_KNOWN)})
            header.update(known_parameters(origin))
        group = file.create_group("Halos", track_order=True)
        for name, values in table.items():
            unit, meaning = COLUMNS[name]
            factor, h_power = CGS[unit]
            data = group.create_dataset(name, data=values, fletcher32=values.size > 0)
            data.attrs.update({"units": unit, "description": meaning, "to_cgs": factor, "h_scaling": h_power})
    return path


def read_halos(path: str | os.PathLike[str]) -> HaloCatalogue:
    """Read a halo catalogue that `write_halos` or `zeldo halos` wrote.

    Parameters
    ----------
    path : path
        The HDF5 file.

    Returns
    -------
    HaloCatalogue
        As `halos` returns it. `friends.group` is empty, since the file does not hold the particles.

    Raises
    ------
    InputError
        For a missing file, and for one that is no halo catalogue.
    DamagedFileError
        For a file that is truncated or contradicts itself.
    """
    path = Path(path)
    header, table = read_catalogue(path, {name: (3,) if name in VECTORS else () for name in COLUMNS})
    missing = [name for name in COLUMNS if name not in table and name not in OPTIONAL]
    if missing:
        raise DamagedFileError(f"{path} lacks {', '.join(missing)} in /Halos; {AGAIN}")
    friends = Halos(
        count=table.pop("count"),
        mass=table.pop("mass"),
        centre_of_mass=table.pop("centre_of_mass"),
        velocity=table.pop("velocity", None),
        group=np.empty(0, np.int64),
        box=number(header, "BoxSize", path),
        redshift=redshift_of(header, "Redshift", path),
        particle_mass=number(header, "ParticleMass", path),
        minimum=integer(header, "MinimumMembers", path),
    )
    return HaloCatalogue(friends, SphericalOverdensity(**table), *known_cosmology(header, path))


def check_catalogue_path(path: str | os.PathLike[str]) -> Path:
    """The path where a catalogue can be written there, else `InputError`."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: halo catalogues are written as HDF5; give a name that ends in .hdf5")
    return check_writable(path)
