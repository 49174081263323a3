"""Snapshots as HDF5 in the layout of Gadget-3 and -4 (Springel et al. 2021, arXiv:2010.03567), also of AREPO and Gizmo.

What zeldo writes has lengths in Mpc/h, masses in 10^10 Msun/h, and velocities in km/s divided by sqrt(a), as in Gadget. The
ids of a lattice count from 1 in lattice order. What Gadget has no entry for (seed, engine, settings) is in the group /Zeldo.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.asked import Asked, AskingFormat
from zeldo.files.entries import (
    is_own,
    number,
    own_dark_energy,
    own_offset,
    own_origin,
    own_whole,
    positive,
    redshift_of,
)
from zeldo.files.formats import Sink
from zeldo.files.gadget import (
    GADGET_NAMES,
    check_time,
    choose_type,
    gadget_cosmology,
    gadget_parameters,
    others_note,
    table_mass,
)
from zeldo.files.hdf5_set import (
    HDF5Source,
    Species,
    files_of,
    group_attributes,
    header_of,
    is_hdf5,
    opened,
    readable,
    set_of,
    side_of,
    species_of,
    totals_of,
)
from zeldo.files.hdf5_writing import CGS_UNITS, writing_gadget
from zeldo.files.registry import register_format
from zeldo.files.units import FileUnits, mass_factor, mass_words, velocity_power
from zeldo.particles.particles import Header

if TYPE_CHECKING:
    import h5py

GIZMO_NAMES = {"Omega_Matter": "Omega0", "Omega_Baryon": "OmegaBaryon", "Omega_Lambda": "OmegaLambda"}


@register_format
class GadgetHDF5(AskingFormat):
    """Particles in the layout of Gadget-3 and Gadget-4, in one file or several."""

    name = "gadget-hdf5"
    suffixes = (".hdf5", ".h5")

    def sniff(self, path: Path) -> bool:
        return is_hdf5(path) is not None

    def files(self, path: Path) -> int:
        return files_of(path)

    def source(self, path: Path, fallback: Cosmology | None, asked: Asked) -> HDF5Source:
        files, counts, total = set_of(path)
        first = files[0]
        with opened(first) as file, readable(first):
            header = header_of(file, first, ())
            header = {
                name: header[gizmos] for gizmos, name in GIZMO_NAMES.items() if gizmos in header
            } | header
            parameters = parameters_of(header, file, first)
            notes = _complete(header, parameters, first)
            header["BoxSize"] = asked.box or side_of(header["BoxSize"], first)
            values = {**header, **parameters}
            apart = group_attributes(file, "Units")
            zeldo_attributes = group_attributes(file, "Zeldo")
            made = _made_by(file)
        kind = choose_type(totals_of(counts), asked.particle_type, first)
        species = species_of(files, counts, total, kind)
        fields, described = species.fields, species.described
        if "n" in zeldo_attributes and "ids" not in fields:
            raise DamagedFileError(
                f"{first} lacks /{species.group}/ParticleIDs, which a lattice has; {AGAIN}"
            )
        known = gadget_parameters(values, first) | own_dark_energy(zeldo_attributes, first)
        cosmology = gadget_cosmology(zeldo_attributes, known, values, fallback, first)
        h = known.get("h", cosmology.h if cosmology else None)
        redshift = redshift_of(header, "Redshift", first)
        a = check_time(values, redshift, first)
        units = FileUnits(values, described, h, a, first)
        notes += [*others_note(species.totals, kind), *asked.box_note]
        if "MassTable" not in header and "masses" not in fields:
            raise DamagedFileError(f"{first} lacks MassTable in /Header, and has no masses; {AGAIN}")
        mass = table_mass(header, kind)
        if mass:
            fields.pop("masses", None)
        box = positive(header, "BoxSize", first)
        lengths = units.lengths(asked.length)
        if lengths is None:
            weight, count = mass or _first_mass(species), species.count
            if table_mass(header, 1) and species.totals[1]:  # of other species there may be little
                weight, count = table_mass(header, 1), species.totals[1]
            beside = apart.get("UnitLength_in_cm", described.get("positions", {}).get("to_cgs", 0.0))
            beside = float(np.asarray(beside).reshape(-1)[0])
            lengths, note = units.inferred(weight * units.mass(), count, box, beside)
            notes += note
        in_mass, note = units.mass(), []
        if asked.length is not None and not units.exponents("masses", "h"):
            weight = (mass or _first_mass(species)) * in_mass if species.alone else 0.0
            omega_m = known.get("omega_m", cosmology.omega_m if cosmology else None)
            per_h, note = mass_factor(asked.length, weight, species.count, box * lengths[0], omega_m, h)
            in_mass *= per_h
        notes += note
        power, note = _velocity_power(asked.velocities, units)
        velocities = units.velocities(power, asked.velocities)
        notes += note
        particles_header = Header(
            count=species.count,
            box=box * lengths[0],
            redshift=redshift,
            cosmology=cosmology,
            parameters=known,
            particle_mass=mass * in_mass if mass else None,
            whole=species.alone and own_whole(zeldo_attributes, first),
            stored={
                "format": "Gadget HDF5" + (f", {len(files)} files" if len(files) > 1 else ""),
                "lengths": lengths[1],
                "velocities": velocities[1],
                "masses": mass_words(in_mass),
            },
            offset=own_offset(zeldo_attributes, first),
            own=is_own(zeldo_attributes),
            notes=tuple(notes),
            extra=header,
            **own_origin(zeldo_attributes, first, made),
        )
        factors = {"positions": lengths[0], "velocities": velocities[0], "masses": in_mass}
        return HDF5Source(species, particles_header, factors)

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype], *, files: int = 1
    ) -> AbstractContextManager[Sink]:
        return writing_gadget(path, header, fields, files)


def _complete(header: dict[str, Any], parameters: Mapping[str, Any], path: Path) -> list[str]:
    """Add what /Header lacks and other entries say, with what was assumed. `DamagedFileError` where nothing says it."""
    notes = []
    if "BoxSize" not in header and "BoxSize" in parameters:
        header["BoxSize"] = parameters["BoxSize"]
        notes.append("the box is that of /Parameters: /Header does not say it")
    if "Redshift" not in header and "Time" in header:
        header["Redshift"] = 1 / positive(header, "Time", path) - 1
        notes.append("the redshift is 1 / Time - 1: Time is taken as the scale factor")
    for name in ("BoxSize", "Redshift"):
        if name not in header:
            raise DamagedFileError(f"{path} lacks {name} in /Header, which a snapshot needs; {AGAIN}")
    return notes


def parameters_of(header: Mapping[str, Any], file: h5py.File, path: Path) -> dict[str, Any]:
    """The entries of /Parameters and /Cosmology. `DamagedFileError` where /Header contradicts one of them."""
    parameters = group_attributes(file, "Parameters")
    for name in ("BoxSize", *GADGET_NAMES.values(), "OmegaLambda", *CGS_UNITS):
        if name in header and name in parameters:
            in_header, in_parameters = number(header, name, path), number(parameters, name, path)
            if abs(in_header - in_parameters) > 1e-6 * abs(in_header):
                raise DamagedFileError(
                    f"{path}: {name} is {in_header:g} in /Header and {in_parameters:g} in /Parameters: "
                    f"they must agree; {AGAIN}"
                )
    if "ComovingIntegrationOn" in parameters and not int(number(parameters, "ComovingIntegrationOn", path)):
        raise InputError(f"{path}: ComovingIntegrationOn is 0: zeldo reads cosmological runs only")
    return parameters


def _made_by(file: h5py.File) -> str:
    """The code that wrote the file, as far as it says so."""
    if "ICs_parameters" in file:
        return str(group_attributes(file, "ICs_parameters").get("Code", "monofonIC"))
    header = file["Header"].attrs
    if "Git_commit" in header and "Config" in file:
        return "gadget-4" if "Parameters" in file and "Hubble" in file["Parameters"].attrs else "arepo"
    return "gadget"


def _first_mass(species: Species) -> float:
    """The mass of the first particle in the file's unit, 0 where there is none."""
    if "masses" not in species.names:
        return 0.0
    path = next(path for path, count in zip(species.files, species.rows, strict=True) if count)
    with opened(path) as file, readable(path):
        return float(file[species.group][species.names["masses"]][0])


def _velocity_power(given: str | None, units: FileUnits) -> tuple[float, list[str]]:
    """The power of a that velocities are multiplied by, and what was assumed."""
    if given is not None:
        return velocity_power(given), []
    said = "velocities" not in units.described or units.exponents("velocities", "a")
    note = "velocities are taken as peculiar / sqrt(a), Gadget's convention: the file does not say"
    return units.exponent("velocities", "a", 0.5), [] if said else [note]
