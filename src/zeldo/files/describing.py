"""What a file says of itself, and what zeldo makes of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.files import open_particles
from zeldo.files.field_describing import describe_field
from zeldo.files.halo_catalogue import describe_catalogue, is_halo_catalogue
from zeldo.files.registry import format_of
from zeldo.keywords import scalar
from zeldo.particles.lattice import NoLatticeError, check_finite, displacement, find
from zeldo.particles.lattice_points import UnknownOrderError
from zeldo.particles.particles import Header, Particles, known_parameters
from zeldo.particles.snapshot import TOLD


def describe(
    path: str | os.PathLike[str],
    cosmology: Cosmology | Mapping[str, float] | str | None = None,
    *,
    ids: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Read a file from end to end and say what it is.

    Parameters
    ----------
    path, cosmology, ids, **options
        As in `zeldo.read`.

    Returns
    -------
    dict
        Of texts, numbers, lists and dicts, as JSON takes them: format, made_by, count, box, redshift, cosmology, missing,
        units, fields, ids, lattice, outside, notes. Where the file says them, also seed, fixed, flip, phases, power, the
        engine's settings and the hash of its weights, and an emulator's correction and expected_error. Of a halo catalogue
        of zeldo's: format, made_by, count, minimum, box, redshift, cosmology, particle_mass, the units of its columns, and
        how its particles were made, where the file says that. Of a reference run, a linear density or white noise: format,
        kind, made_by, n, notes, and as far as the file says them box, cosmology, missing, redshifts, settings, and how the
        field was drawn.

    Raises
    ------
    InputError
        As `zeldo.read` does.
    """
    if cosmology is None and ids is None and not options:  # which are for particles
        if is_halo_catalogue(path):
            return describe_catalogue(path)
        field = describe_field(path)
        if field is not None:
            return field
    with open_particles(path, cosmology, **options) as particles:
        header = particles.header
        known = known_parameters(header)
        absent = set() if "velocities" in particles.fields else {"velocities"}
        stored = {name: text for name, text in header.stored.items() if name not in absent}
        answer: dict[str, Any] = {
            "path": particles.name,
            "format": stored.pop("format", None) or format_of(path).name,
            "made_by": _made_by(header),
            "count": header.count,
            "box": header.box,
            "redshift": header.redshift,
            "cosmology": known,
            "missing": _missing(particles, known),
            "units": stored,
            "fields": {name: str(dtype) for name, dtype in particles.stored_fields.items()},
            "particle_mass": header.particle_mass,
        }
        drawn = {
            name: getattr(header, name) for name in ("seed", "fixed", "flip", "phases", "power", "weights")
        }
        if header.settings:
            drawn["settings"] = {name: scalar(value) for name, value in header.settings.items()}
        drawn |= {name: getattr(header, name) for name in TOLD}
        answer |= {name: value for name, value in drawn.items() if value is not None}
        answer["outside"] = _outside(particles)
        answer["ids"], answer["lattice"] = _lattice(particles, ids)
        answer["notes"] = list(header.notes)
        if answer["outside"]:
            answer["notes"].append(f"{answer['outside']} coordinates lie outside the box and are wrapped")
        return answer


def _made_by(header: Header) -> str:
    """The code and its version; formats that many codes write say neither."""
    if header.engine in ("gadget", "grafic", "unknown"):
        return "unknown"
    return " ".join(filter(None, (header.engine, header.version)))


def _missing(particles: Particles, known: Mapping[str, float]) -> list[str]:
    fields = [name for name in ("velocities", "ids") if name not in particles.fields]
    if "masses" not in particles.fields and particles.header.particle_mass is None:
        fields.append("masses")
    return [name for name in Cosmology.required() if name not in known] + fields


def _outside(particles: Particles) -> int:
    """How many coordinates lie outside the box. `DamagedFileError` where a value is not finite."""
    box, count = particles.header.box, 0
    for field in particles.fields:
        if field in ("positions", "velocities"):
            for start, stop in particles.slices():
                values = particles.read(field, start, stop)
                check_finite(values, field, particles.name, start)
                if field == "positions":
                    count += int(((values < 0) | (values >= box)).sum())
    return count


def _lattice(particles: Particles, ids: str | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The ids and the lattice, each None where there is none."""
    counted: dict[str, Any] | None = None
    if "ids" in particles.fields:
        numbers = particles.ids
        counted = {
            "first": int(numbers.min()),
            "last": int(numbers.max()),
            "sorted": bool((numbers[1:] > numbers[:-1]).all()),
        }
    try:
        lattice = find(particles, ids)
    except (NoLatticeError, UnknownOrderError) as error:
        return counted, {"n": None, "why": str(error)}
    psi, lattice = displacement(particles, lattice)
    if counted is not None:
        counted["order"] = lattice.order
    rms = float(np.sqrt(np.mean(np.square(psi, dtype=np.float64))))
    return counted, {"n": psi.shape[1], "offset": list(lattice.offset), "rms_displacement": rms}
