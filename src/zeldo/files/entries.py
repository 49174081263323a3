"""Entries of headers and attributes by name, from untrusted files: every fault is reported in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.particles.particles import Header
from zeldo.particles.snapshot import DRAWN, MADE, TOLD

DIGEST = "sha256"  # the attribute with the checksum of the others
WHOLE = "all_matter"  # False in a file of one species of several
# False where nobody has looked for a lattice; a known offset of zero has no entry
OFFSET_KNOWN = "offset_known"
SIZES = 1e-30, 1e50  # of boxes and units, whose products have a cube that is a number
ROUNDING = 1e-12  # of a redshift


def number(values: Mapping[str, Any], name: str, where: str | Path) -> float:
    """A finite number by its name; otherwise `DamagedFileError`."""
    try:
        value = float(np.asarray(values[name]).reshape(()))
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{where}: {name} is missing or not a number; {AGAIN}") from error
    if not np.isfinite(value):
        raise DamagedFileError(f"{where}: {name} = {value:g} is not finite; {AGAIN}")
    return value


def redshift_of(values: Mapping[str, Any], name: str, where: str | Path) -> float:
    """A redshift above -1 by its name; otherwise `DamagedFileError`."""
    redshift = number(values, name, where)
    if abs(redshift) < ROUNDING:  # Gadget-4's 1 / a - 1 today
        return 0.0
    if redshift <= -1:
        raise DamagedFileError(f"{where}: redshift = {redshift:g} is not above -1; {AGAIN}")
    return redshift


def positive(values: Mapping[str, Any], name: str, where: str | Path) -> float:
    """A positive number by its name, of a size that boxes and units in cgs can have; otherwise `DamagedFileError`."""
    value = number(values, name, where)
    if value <= 0:
        raise DamagedFileError(f"{where}: {name} = {value:g} is not positive; {AGAIN}")
    if not SIZES[0] < value < SIZES[1]:
        raise DamagedFileError(f"{where}: {name} = {value:g} is not a size in any unit; {AGAIN}")
    return value


def integer(values: Mapping[str, Any], name: str, where: str | Path) -> int:
    """A whole number by its name; otherwise `DamagedFileError`."""
    value = number(values, name, where)
    if value != int(value):
        raise DamagedFileError(f"{where}: {name} = {value:g} is not a whole number; {AGAIN}")
    return int(np.asarray(values[name]).reshape(()))


def read_drawing(values: Mapping[str, Any], where: str | Path) -> dict[str, Any]:
    """How the linear field was drawn, as far as the file says: fixed, flip, power, phases."""
    flags: dict[str, Any] = {
        name: bool(integer(values, name, where)) for name in ("fixed", "flip") if name in values
    }
    return flags | {name: str(values[name]) for name in ("power", "phases") if name in values}


def cosmology_of(values: Mapping[str, Any], where: str | Path) -> Cosmology:
    """The cosmology, from parameters under its own names; w0 and wa may be absent. `DamagedFileError` for a bad one."""
    required = Cosmology.required()
    names = [name for name in Cosmology.names() if name in required or name in values]
    parameters = {name: number(values, name, where) for name in names}
    try:
        return Cosmology(**parameters)
    except InputError as error:
        raise DamagedFileError(f"{where}: {error}") from error


def attributes_digest(values: Mapping[str, Any]) -> str:
    """The sha256 of a group's attributes but for DIGEST, under which it stands among them."""
    text = json.dumps({name: value for name, value in values.items() if name != DIGEST}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def origin_attributes(header: Header) -> dict[str, Any]:
    """Where particles come from, for a file: engine, version, settings as JSON, and seed, offset and so on if known."""
    attributes: dict[str, Any] = {"engine": header.engine, "version": header.version}
    attributes["settings"] = json.dumps(dict(header.settings), default=str)
    known = {name: getattr(header, name) for name in ("seed", *DRAWN, *MADE)}
    told = {
        name: json.dumps(dict(getattr(header, name)), default=methodcaller("tolist"))
        for name in TOLD
        if getattr(header, name) is not None
    }
    part: dict[str, Any] = {} if header.whole else {WHOLE: False}
    if header.offset is None:
        part[OFFSET_KNOWN] = False
    elif any(header.offset):
        part["offset"] = list(header.offset)
    return attributes | {name: value for name, value in known.items() if value is not None} | told | part


def own_origin(values: Mapping[str, Any], where: str | Path, engine: str = "unknown") -> dict[str, Any]:
    """The inverse of `origin_attributes`, by the names of `Header`. `engine` is for files that do not name theirs."""
    settings = _mapping(values.get("settings", "{}"), "settings", where)
    told = {name: _mapping(values[name], name, where) for name in TOLD if name in values}
    made: dict[str, Any] = {"revision": integer(values, "revision", where)} if "revision" in values else {}
    if "weights" in values:
        made["weights"] = str(values["weights"])
    return {
        **told,
        "engine": str(values.get("engine", engine)),
        "settings": settings,
        "version": str(values.get("version", "")),
        "seed": integer(values, "seed", where) if "seed" in values else None,
        **read_drawing(values, where),
        **made,
    }


def _mapping(text: object, name: str, where: str | Path) -> dict[str, Any]:
    try:
        return dict(json.loads(str(text)))
    except (TypeError, ValueError) as error:
        raise DamagedFileError(f"{where}: {name} is not JSON ({error}); {AGAIN}") from error


def known_cosmology(
    values: Mapping[str, Any], where: str | Path
) -> tuple[Cosmology | None, dict[str, float]]:
    """What `known_parameters` gave: the cosmology, None where it is not whole, and its parameters."""
    parameters = {name: number(values, name, where) for name in Cosmology.names() if name in values}
    whole = all(name in parameters for name in Cosmology.required())
    return cosmology_of(values, where) if whole else None, parameters


def own_header(values: Mapping[str, Any], where: Path, count: int, stored: Mapping[str, str]) -> Header:
    """The header of particles in one of zeldo's own formats, from all of its entries but `count`."""
    cosmology, known = known_cosmology(values, where)
    return Header(
        count=count,
        box=positive(values, "box", where),
        redshift=redshift_of(values, "redshift", where),
        cosmology=cosmology,
        parameters=known,
        particle_mass=number(values, "particle_mass", where) or None,
        n=integer(values, "n", where) if "n" in values else None,
        offset=own_offset(values, where),
        own=is_own(values),
        whole=own_whole(values, where),
        stored=stored,
        **own_origin(values, where),
    )


def is_own(values: Mapping[str, Any]) -> bool:
    """Whether entries are of a file that zeldo wrote."""
    return "settings" in values or "format" in values


def own_whole(values: Mapping[str, Any], where: str | Path) -> bool:
    """Whether the particles of a file are all the matter, as far as zeldo has written otherwise."""
    return WHOLE not in values or bool(integer(values, WHOLE, where))


def own_offset(values: Mapping[str, Any], where: str | Path) -> tuple[float, float, float] | None:
    """Where the lattice of a file of zeldo's begins, in cells; None where it is unknown, and for a file of another code."""
    if not is_own(values):
        return None
    if OFFSET_KNOWN in values and not integer(values, OFFSET_KNOWN, where):
        return None
    offset = np.asarray(values.get("offset", (0.0, 0.0, 0.0)), dtype=float)
    if offset.shape != (3,) or not np.isfinite(offset).all():
        raise DamagedFileError(f"{where}: offset = {offset} is not three numbers; {AGAIN}")
    return float(offset[0]), float(offset[1]), float(offset[2])


def own_dark_energy(values: Mapping[str, Any], where: str | Path) -> dict[str, float]:
    """w0 and wa, which other codes' headers have no room for, as far as zeldo has written them."""
    return {name: number(values, name, where) for name in ("w0", "wa") if name in values}
