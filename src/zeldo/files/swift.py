"""Snapshots of SWIFT (Schaller et al. 2024, arXiv:2305.13380), and initial conditions for it, as HDF5.

Lengths and masses have no factor of h, BoxSize is a vector, velocities are peculiar, and each data set says its exponents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.asked import Asked, AskingFormat
from zeldo.files.entries import is_own, number, own_offset, own_origin, own_whole, positive, redshift_of
from zeldo.files.formats import Sink
from zeldo.files.gadget import choose_type, gadget_cosmology, others_note, table_mass
from zeldo.files.hdf5_set import (
    HDF5Source,
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
from zeldo.files.registry import register_format
from zeldo.files.swift_writing import writing_swift
from zeldo.files.units import (
    KM,
    MASS,
    MPC,
    FileUnits,
    length_factor,
    length_words,
    mass_words,
    power_of_h,
    rounded,
    velocity_power,
    velocity_words,
)
from zeldo.particles.particles import Header, Source

LENGTH, WEIGHT, TIME = (
    f"Unit {name} in cgs (U_{letter})" for name, letter in (("length", "L"), ("mass", "M"), ("time", "t"))
)
FACTORS = (
    "Conversion factor to CGS (not including cosmological corrections)",
    "Conversion factor to physical CGS (including cosmological corrections)",
)
PARAMETERS = {"omega_m": "Omega_m", "omega_b": "Omega_b", "h": "h", "w0": "w_0", "wa": "w_a"}


@register_format
class SwiftHDF5(AskingFormat):
    """SWIFT's layout, in one file or several."""

    name = "swift"
    narrows = ("gadget-hdf5",)

    def sniff(self, path: Path) -> bool:
        file = is_hdf5(path)
        if file is None:
            return False
        try:
            with opened(file) as content:
                return any(
                    LENGTH in group_attributes(content, group) for group in ("Units", "InternalCodeUnits")
                )
        except (DamagedFileError, OSError, RuntimeError, KeyError, ValueError):
            return False

    @contextmanager
    def open(
        self,
        path: Path,
        cosmology: Cosmology | None = None,
        *,
        redshift: float | None = None,
        length: str | None = None,
        velocities: str | None = None,
        particle_type: int | None = None,
        box: float | None = None,
    ) -> Iterator[Source]:
        asked = Asked(length, velocities, particle_type, redshift, box)
        with closing(self.source(path, cosmology, asked)) as source:
            yield source

    def files(self, path: Path) -> int:
        return files_of(path)

    def source(self, path: Path, fallback: Cosmology | None, asked: Asked) -> HDF5Source:
        files, counts, total = set_of(path)
        first = files[0]
        with opened(first) as file, readable(first):
            header = header_of(file, first, ("BoxSize",))
            cgs = group_attributes(file, "Units") or group_attributes(file, "InternalCodeUnits")
            values, code = group_attributes(file, "Cosmology"), group_attributes(file, "Code")
            zeldo_attributes = group_attributes(file, "Zeldo")
        kind = choose_type(totals_of(counts), asked.particle_type, first)
        species = species_of(files, counts, total, kind)
        if "Cosmological run" in values and not int(number(values, "Cosmological run", first)):
            raise InputError(f"{first} is not of a cosmological run: zeldo reads periodic cosmological boxes")
        known = {
            name: number(values, key, first)
            for name, key in PARAMETERS.items()
            if key in values and (name in ("w0", "wa") or number(values, key, first) > 0)
        }
        dark = {"OmegaLambda": values["Omega_lambda"]} if "Omega_lambda" in values else {}
        cosmology = gadget_cosmology(zeldo_attributes, known, dark, fallback, first)
        h = known.get("h", cosmology.h if cosmology else None)
        redshift, notes = _redshift(header, values, asked.redshift, first)
        a = 1 / (1 + redshift)
        units = FileUnits({}, species.described, h, a, first)
        unit = rounded(positive(cgs, LENGTH, first) / MPC)
        of_h, of_a = units.exponent("positions", "h", 0.0), units.exponent("positions", "a", 1.0)
        factor, words = unit * power_of_h(of_h, h, first) * a ** (of_a - 1), length_words(unit, of_h)
        if asked.length is not None:
            factor, words = length_factor(asked.length, h, first), f"{asked.length} (by option)"
        of_velocity, assumed = _velocity_power(asked.velocities, units)
        notes += assumed
        speed = rounded(positive(cgs, LENGTH, first) / positive(cgs, TIME, first) / KM)
        speed *= power_of_h(units.exponent("velocities", "h", 0.0) - 1, h, first) * a**of_velocity
        in_mass = rounded(positive(cgs, WEIGHT, first) / MASS)
        in_mass *= power_of_h(units.exponent("masses", "h", 0.0), h, first)
        mass = table_mass(header, kind) if "masses" not in species.fields else 0.0
        box = asked.box or positive({"BoxSize": side_of(header["BoxSize"], first)}, "BoxSize", first)
        box *= factor
        notes += asked.box_note
        many = f", {len(files)} files" if len(files) > 1 else ""
        made = "SWIFT" if code or header.get("Code") == "SWIFT" else "initial conditions for SWIFT"
        particles_header = Header(
            count=species.count,
            box=float(f"{box:.14g}"),  # 93.13... Mpc of a round number of Mpc/h
            redshift=redshift,
            cosmology=cosmology,
            parameters=known,
            particle_mass=mass * in_mass or None,
            whole=species.alone and own_whole(zeldo_attributes, first),
            offset=own_offset(zeldo_attributes, first),
            own=is_own(zeldo_attributes),
            stored={
                "format": "SWIFT HDF5" + many,
                "lengths": words,
                "velocities": velocity_words(of_velocity) + (" (by option)" if asked.velocities else ""),
                "masses": "10^10 Msun" if abs(in_mass - (h or 0)) < 1e-9 else mass_words(in_mass),
            },
            notes=(*others_note(species.totals, kind), *notes),
            extra=header,
            **own_origin(zeldo_attributes, first, made),
        )
        factors = {"positions": factor, "velocities": speed, "masses": in_mass}
        return HDF5Source(species, particles_header, factors)

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype], *, files: int = 1
    ) -> AbstractContextManager[Sink]:
        return writing_swift(path, header, fields, files)


def _velocity_power(given: str | None, units: FileUnits) -> tuple[float, list[str]]:
    """The power of a that velocities are multiplied by, and what was assumed.

    swiftsimio's initial conditions have an exponent that their factors to CGS contradict: the factors are right.
    """
    stated = units.exponent("velocities", "a", 0.0)
    if given is not None:
        return velocity_power(given), []
    if not units.exponents("velocities", "a"):
        note = "velocities are taken as peculiar, as SWIFT has them: the file does not say"
        return 0.0, [note] if units.described else []
    data, a = units.described["velocities"], units.a
    comoving, physical = (float(np.asarray(data.get(name, 0.0)).reshape(-1)[0]) for name in FACTORS)
    if comoving > 0 and physical > 0 and a != 1:
        power = round(float(np.log(physical / comoving) / np.log(a)), 3) + 0.0
        if abs(power - stated) > 1e-2:
            return power, [
                f"velocities have a-scale exponent {stated:g} and factors to CGS of exponent {power:g}: the factors count"
            ]
    return stated, []


def _redshift(
    header: Mapping[str, Any], values: Mapping[str, Any], given: float | None, path: Path
) -> tuple[float, list[str]]:
    """The redshift by what the file says, or by option where it says nothing, and what was assumed."""
    for place in (header, values):
        if "Redshift" in place or "Scale-factor" in place:
            redshift = redshift_of(place, "Redshift", path) if "Redshift" in place else None
            a = (
                positive(place, "Scale-factor", path)
                if "Scale-factor" in place
                else 1 / (1 + (redshift or 0.0))
            )
            if redshift is not None and abs(a * (1 + redshift) - 1) > 1e-4:
                raise DamagedFileError(
                    f"{path}: Scale-factor = {a:g} and Redshift = {redshift:g} contradict each other; {AGAIN}"
                )
            if given is not None and not same_redshift(1 / a - 1, given):
                raise InputError(f"{path} has redshift {1 / a - 1:g}, and {given:g} is given: leave it out")
            return redshift_of({"Scale-factor": 1 / a - 1}, "Scale-factor", path), []
    if given is None:
        raise InputError(f"{path} does not say its redshift: give --redshift")
    return float(given), [f"redshift = {given:g} by option"]
