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
    number,
    own_dark_energy,
    own_offset,
    own_whole,
    positive,
    read_origin,
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
    EXPONENTS,
    HDF5Source,
    Species,
    attributes,
    exponent,
    files_of,
    header_of,
    is_hdf5,
    opened,
    readable,
    set_of,
    side_of,
    species_of,
    totals_of,
)
from zeldo.files.hdf5_writing import writing_gadget
from zeldo.files.registry import register_format
from zeldo.files.units import (
    KM,
    LENGTHS,
    MASS,
    MPC,
    length_factor,
    length_from_mass,
    length_words,
    mass_factor,
    mass_words,
    power_of_h,
    rounded,
    velocity_power,
    velocity_words,
)
from zeldo.particles.particles import Header

if TYPE_CHECKING:
    import h5py

UNITS = ("UnitLength_in_cm", "UnitMass_in_g", "UnitVelocity_in_cm_per_s")
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

    def source(self, path: Path, cosmology: Cosmology | None, asked: Asked) -> HDF5Source:
        return _open(path, cosmology, asked)

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype], *, files: int = 1
    ) -> AbstractContextManager[Sink]:
        return writing_gadget(path, header, fields, files)


def _open(path: Path, fallback: Cosmology | None, asked: Asked) -> HDF5Source:
    files, counts, total = set_of(path)
    first = files[0]
    with opened(first) as file, readable(first):
        header = header_of(file, first, ())
        header = {name: header[gizmos] for gizmos, name in GIZMO_NAMES.items() if gizmos in header} | header
        parameters = parameters_of(header, file, first)
        notes = _complete(header, parameters, first)
        header["BoxSize"] = asked.box or side_of(header["BoxSize"], first)
        values = {**header, **parameters}
        apart = attributes(file, "Units")
        zeldo_attributes = attributes(file, "Zeldo")
        made = _made_by(file)
    kind = choose_type(totals_of(counts), asked.particle_type, first)
    species = species_of(files, counts, total, kind)
    fields, described = species.fields, species.described
    if "n" in zeldo_attributes and "ids" not in fields:
        raise DamagedFileError(f"{first} lacks /{species.group}/ParticleIDs, which a lattice has; {AGAIN}")
    known = gadget_parameters(values, first) | own_dark_energy(zeldo_attributes, first)
    cosmology = gadget_cosmology(zeldo_attributes, known, values, fallback, first)
    h = known.get("h", cosmology.h if cosmology else None)
    redshift = redshift_of(header, "Redshift", first)
    a = check_time(values, redshift, first)
    units = _Units(values, apart, described, h, a, first)
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
        lengths, note = units.inferred(weight * units.mass(), count, box, known)
        notes += note
    in_mass, note = units.mass(), []
    if asked.length is not None and not units.masses_described:
        weight = (mass or _first_mass(species)) * in_mass if species.alone else 0.0
        omega_m = known.get("omega_m", cosmology.omega_m if cosmology else None)
        per_h, note = mass_factor(asked.length, weight, species.count, box * lengths[0], omega_m, h)
        in_mass *= per_h
    notes += note
    speed, speed_words, note = units.speed(asked.velocities)
    notes += note
    origin = read_origin(zeldo_attributes, first, made)
    particles_header = Header(
        count=species.count,
        box=box * lengths[0],
        redshift=redshift,
        cosmology=cosmology,
        parameters=known,
        particle_mass=None if "masses" in fields or not mass else mass * in_mass,
        whole=species.alone and own_whole(zeldo_attributes, first),
        stored={
            "format": "Gadget HDF5" + (f", {len(files)} files" if len(files) > 1 else ""),
            "lengths": lengths[1],
            "velocities": speed_words,
            "masses": mass_words(in_mass),
        },
        offset=own_offset(zeldo_attributes, first),
        notes=tuple(notes),
        extra=header,
        **origin,
    )
    factors = {"positions": lengths[0], "velocities": speed, "masses": in_mass}
    return HDF5Source(species, particles_header, factors)


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
    parameters = attributes(file, "Parameters")
    for name in ("BoxSize", *GADGET_NAMES.values(), "OmegaLambda", *UNITS):
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
        return str(attributes(file, "ICs_parameters").get("Code", "monofonIC"))
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


class _Units:
    """Factors from the file's numbers to zeldo's, with the words for them."""

    def __init__(
        self,
        values: Mapping[str, Any],
        apart: Mapping[str, Any],
        described: Mapping[str, dict[str, Any]],
        h: float | None,
        a: float,
        path: Path,
    ) -> None:
        self._values, self._apart, self._described = values, apart, described
        self._h, self._a, self._path = h, a, path

    def _unit(self, name: str, cgs: float) -> float | None:
        return rounded(positive(self._values, name, self._path) / cgs) if name in self._values else None

    def _exponent(self, field: str, of: str, default: float) -> float:
        return exponent(self._described.get(field, {}), of, default, f"{self._path}, {field}")

    def _power_of_h(self, power: float) -> float:
        return power_of_h(power, self._h, self._path)

    def mass(self) -> float:
        return (self._unit("UnitMass_in_g", MASS) or 1.0) * self._power_of_h(
            self._exponent("masses", "h", -1.0)
        )

    @property
    def masses_described(self) -> bool:
        """Whether the file says their power of h."""
        return any(name in self._described.get("masses", {}) for name in EXPONENTS["h"])

    def lengths(self, given: str | None) -> tuple[float, str] | None:
        """The factor of lengths and its words, by option or by the file; None where neither says it."""
        if given is not None:
            return length_factor(given, self._h, self._path), f"{given} (by option)"
        unit = self._unit("UnitLength_in_cm", MPC)
        if unit is None:
            return None
        return self._scaled(unit)

    def _scaled(self, unit: float) -> tuple[float, str]:
        """The factor and the words of a unit in Mpc, with the powers of h and a beside the positions."""
        power, of_a = self._exponent("positions", "h", -1.0), self._exponent("positions", "a", 1.0)
        words = length_words(unit, power) + ("" if of_a == 1 else f" a^{of_a - 1:g}")
        return unit * self._power_of_h(power) * self._a ** (of_a - 1), words

    def inferred(
        self, mass: float, count: int, box: float, known: Mapping[str, float]
    ) -> tuple[tuple[float, str], list[str]]:
        """As `lengths`, by what makes a universe, or by the units beside the data where there is no mass."""
        said = self._apart.get("UnitLength_in_cm", self._described.get("positions", {}).get("to_cgs", 0.0))
        said = float(np.asarray(said).reshape(-1)[0])
        if said and not mass:
            return self._scaled(rounded(said / MPC)), []
        unit_name, note = length_from_mass(mass, count, box * self._scaled(1.0)[0], self._path)
        unit = LENGTHS[unit_name][0]
        agreed = said and rounded(said / MPC) == unit
        return self._scaled(unit), [] if agreed else [note]

    def speed(self, given: str | None) -> tuple[float, str, list[str]]:
        """The factor of velocities, its words, and what was assumed."""
        unit = self._unit("UnitVelocity_in_cm_per_s", KM) or 1.0
        described = self._described.get("velocities", {})
        said = any(name in described for name in EXPONENTS["a"])
        if given is not None:
            power, notes = velocity_power(given), []
        else:
            power = self._exponent("velocities", "a", 0.5)
            notes = (
                []
                if said or "velocities" not in self._described
                else [
                    "velocities are taken as peculiar / sqrt(a), Gadget's convention: the file does not say"
                ]
            )
        words = velocity_words(power) + (" (by option)" if given else "")
        of_h = self._exponent("velocities", "h", 0.0)
        return unit * self._a**power * self._power_of_h(of_h - 1), words, notes
