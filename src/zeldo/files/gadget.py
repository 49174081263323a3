"""What headers of Gadget's files say, binary and HDF5 alike: counts, types of particles, and cosmology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.entries import cosmology_of, number

GADGET_NAMES = {
    "omega_m": "Omega0",
    "omega_b": "OmegaBaryon",
    "h": "HubbleParam",
    "sigma_8": "Sigma8",
    "n_s": "PrimordialIndex",
}


TYPES = ("gas", "dark matter", "dark matter of type 2", "dark matter of type 3", "stars", "black holes")
TABLE = 2  # Gadget-4's PowerSpectrumType of tables, whose PrimordialIndex is a further tilt and not n_s


def choose_type(counts: Sequence[int], wanted: int | None, path: Path) -> int:
    """The type of particles to read: the one asked for, or dark matter, or else the only one there is."""
    present = [kind for kind, count in enumerate(counts) if count]
    if wanted is not None:
        if wanted in present:
            return wanted
        there = ", ".join(map(str, present)) or "none"
        raise InputError(f"{path} has no particles of type {wanted}: it has type {there}; give one of these")
    if len(counts) > 1 and counts[1]:
        return 1
    if len(present) == 1:
        return present[0]
    if not present:
        raise DamagedFileError(f"{path} has no particles at all; {AGAIN}")
    raise InputError(
        f"{path} has particles of type {', '.join(map(str, present))}: say which by --particle-type"
    )


def table_mass(header: Mapping[str, Any], kind: int) -> float:
    """The mass of each particle of a type by MassTable, in the file's unit; 0 where it has none."""
    table = np.atleast_1d(np.asarray(header.get("MassTable", 0.0), dtype=float))
    return float(table[kind]) if kind < len(table) else 0.0


def others_note(counts: Sequence[int], kind: int) -> list[str]:
    """A line on the types that are not read, if there are any."""
    others = [
        f"{count} of type {other} ({TYPES[other] if other < len(TYPES) else 'other'})"
        for other, count in enumerate(counts)
        if count and other != kind
    ]
    return [f"particles of type {kind} alone are read, not {', '.join(others)}"] if others else []


def check_time(values: Mapping[str, Any], redshift: float, path: Path) -> float:
    """The scale factor. `DamagedFileError` where Time and Redshift contradict each other."""
    a = number(values, "Time", path) if "Time" in values else 1 / (1 + redshift)
    if a <= 0 or not same_redshift(1 / a - 1, redshift):
        raise DamagedFileError(
            f"{path}: Time = {a:g} and Redshift = {redshift:g} contradict each other; {AGAIN}"
        )
    return a


def contradiction(path: Path, name: str, said: float, given: float) -> str:
    """What to answer where a file has another value of a cosmological parameter than the caller."""
    return f"{path}: {name} = {said:g} in the file, {given:g} is given: leave it out or correct it"


def gadget_parameters(values: Mapping[str, Any], path: Path) -> dict[str, float]:
    """The cosmological parameters of a header by the names of `Cosmology`. A parameter of zero or less is not known."""
    names = dict(GADGET_NAMES)
    if "PowerSpectrumType" in values and int(number(values, "PowerSpectrumType", path)) == TABLE:
        del names["n_s"]
    known = {name: number(values, key, path) for name, key in names.items() if key in values}
    return {name: value for name, value in known.items() if value > 0}


def gadget_cosmology(
    zeldo_attributes: Mapping[str, Any],
    gadget_values: Mapping[str, float],
    parameters: Mapping[str, Any],
    fallback: Cosmology | None,
    path: Path,
) -> Cosmology | None:
    """The full cosmology of the file, or else the fallback.

    Raises
    ------
    DamagedFileError
        Where the file contradicts itself.
    InputError
        Where it contradicts the fallback, and for a universe that is not flat.
    """
    complete = all(name in zeldo_attributes for name in GADGET_NAMES)
    cosmology = cosmology_of(zeldo_attributes, path) if complete else fallback
    if cosmology is None and all(name in gadget_values for name in GADGET_NAMES):
        cosmology = cosmology_of(gadget_values, path)
    if cosmology is None:
        return None
    # Gadget's Sigma8 and so on describe initial conditions that it makes itself, and may not apply to others
    for name in GADGET_NAMES if complete else ("omega_m", "h"):
        if name not in gadget_values or abs(gadget_values[name] / getattr(cosmology, name) - 1) <= 1e-4:
            continue
        if not complete:
            raise InputError(contradiction(path, name, gadget_values[name], getattr(cosmology, name)))
        raise DamagedFileError(
            f"{path}: {GADGET_NAMES[name]} = {gadget_values[name]:g} in the header contradicts {name} = "
            f"{getattr(cosmology, name):g}; {AGAIN}"
        )
    if "OmegaLambda" in parameters and (complete or "omega_m" in gadget_values):
        dark = number(parameters, "OmegaLambda", path)
        if dark and abs(dark - cosmology.omega_de) > 1e-3:
            raise InputError(
                f"{path}: Omega0 = {cosmology.omega_m:g} and OmegaLambda = {dark:g} make no flat universe: "
                "zeldo reads flat ones only"
            )
    return cosmology
