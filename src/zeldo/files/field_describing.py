"""What a file of fields says of itself: a reference run, a linear density, white noise or another field."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import DamagedFileError, InputError
from zeldo.files.archive import names_in, read_arrays
from zeldo.files.entries import known_cosmology
from zeldo.files.linear_density import LinearDensity, read_linear_density
from zeldo.files.reference import Reference, is_reference, read_initial_conditions, read_reference
from zeldo.files.registry import locate
from zeldo.files.white_noise import GRAFIC, bare_field, read_white_noise
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import drawn

STAND_IN = Cosmology.preset("quijote")  # for parameters that a file does not say: fields are checked with it


def describe_field(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read a file of fields from end to end and say what it is.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict or None
        Of texts, numbers, lists and dicts: path, format, kind, made_by, n, and notes. Of a linear density also box in
        Mpc/h, cosmology, missing, and how it was drawn, as far as the file says it. Of a reference run also redshifts and
        settings. None for a file of particles, or of no known kind.

    Raises
    ------
    DamagedFileError
        For a file that is truncated or contradicts itself.
    InputError
        For a missing file, and for a linear density that is not for z = 0.
    """
    bare = bare_field(path)
    if bare:
        return _bare(Path(path), bare)
    kind, place = locate(path)
    if isinstance(kind, LinearDensity):
        return _linear(place, "modes of FastPM", "FastPM", read_linear_density(place, STAND_IN), {})
    if isinstance(kind, Reference):
        return _reference(place) if is_reference(place) else _initial_conditions(place)
    return None


def _bare(path: Path, said: dict[str, Any]) -> dict[str, Any]:
    kind, notes = "white noise", []
    try:
        read_white_noise(path)
    except DamagedFileError:
        raise
    except InputError as error:
        kind, notes = "field", [str(error)]
    format = "grafic" if path.suffix in GRAFIC else path.suffix.removeprefix(".")
    return {"path": str(path), "format": format, "kind": kind, "made_by": "unknown", **said, "notes": notes}


def _linear(
    path: Path, format: str, made_by: str, ics: InitialConditions, known: dict[str, float]
) -> dict[str, Any]:
    return {
        "path": str(path),
        "format": format,
        "kind": "linear density",
        "made_by": made_by,
        "n": ics.n,
        "box": ics.box,
        "cosmology": known,
        "missing": [name for name in Cosmology.required() if name not in known],
        **{name: value for name, value in drawn(ics).items() if value is not None},
        "notes": [],
    }


def _initial_conditions(path: Path) -> dict[str, Any]:
    present = names_in(path)
    said = [name for name in (*Cosmology.names(), "zeldo_version") if name in present]
    values = read_arrays(path, said)
    made_by = f"zeldo {values['zeldo_version']}" if "zeldo_version" in values else "unknown"
    ics = read_initial_conditions(path, STAND_IN.to_dict())
    return _linear(path, "npz", made_by, ics, known_cosmology(values, path)[1])


def _reference(path: Path) -> dict[str, Any]:
    ics, snapshots = read_reference(path)
    last = list(snapshots.values())[-1]
    answer = _linear(path, "npz", last.version or "unknown", ics, ics.cosmology.to_dict())
    if any(snapshot.vel is None for snapshot in snapshots.values()):
        answer["missing"].append("velocities")
    return answer | {"kind": "reference run", "redshifts": list(snapshots), "settings": dict(last.settings)}
