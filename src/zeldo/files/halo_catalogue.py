"""Halo catalogues in HDF5, as `zeldo.write_halos` writes them: /Header, and in /Halos a data set for each column."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.archive import existing_file
from zeldo.files.entries import integer, known_cosmology, number, own_origin, positive, redshift_of
from zeldo.files.hdf5_set import HALOS, decoded, header_of, is_hdf5, opened, readable
from zeldo.particles.snapshot import DRAWN


def is_halo_catalogue(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file that `zeldo.write_halos` wrote."""
    path = Path(path)
    if not path.is_file() or is_hdf5(path) is None:
        return False
    try:
        with opened(path) as file, readable(path):
            return HALOS in file
    except DamagedFileError:  # whoever reads it says so
        return False


def read_catalogue(
    path: str | os.PathLike[str], columns: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the columns of a halo catalogue.

    Parameters
    ----------
    path : path
    columns : mapping of str to tuple of int
        Those to read, as far as they are there, with the shape of a row.

    Returns
    -------
    header : dict
        The entries of /Header. Box, redshift, particle mass and counts are there.
    columns : dict of str to ndarray
        (H,) or (H, 3) each.

    Raises
    ------
    InputError
        For a missing file, and for one that is no halo catalogue.
    DamagedFileError
        For a file that is truncated or contradicts itself.
    """
    path = existing_file(path)
    if is_hdf5(path) is None:
        raise _no_catalogue(path)
    with opened(path) as file, readable(path):
        if HALOS not in file:
            raise _no_catalogue(path)
        header = header_of(file, path, ())
        table = {name: file[HALOS][name][()] for name in columns if name in file[HALOS]}
    for name in ("BoxSize", "ParticleMass"):
        positive(header, name, path)
    count = integer(header, "NumHalos", path)
    integer(header, "MinimumMembers", path)
    redshift_of(header, "Redshift", path)
    for name, values in table.items():
        if np.shape(values) != (count, *columns[name]) or np.asarray(values).dtype.kind not in "fiu":
            raise DamagedFileError(
                f"{path}: NumHalos says {count} halos and {name} has the shape {np.shape(values)}; {AGAIN}"
            )
    return header, table


def describe_catalogue(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a halo catalogue says of itself, as texts, numbers, lists and dicts."""
    path = existing_file(path)
    header, _ = read_catalogue(path, {})
    with opened(path) as file, readable(path):
        units = {name: str(decoded(data.attrs.get("units", "unknown"))) for name, data in file[HALOS].items()}
    made = [str(header[name]) for name in ("engine", "version") if header.get(name)]
    origin = own_origin(header, path)
    drawn = {name: origin.get(name) for name in ("seed", *DRAWN, "weights", "settings")}
    return {
        "path": str(path),
        "format": "halo catalogue of zeldo",
        "made_by": " ".join(made) or "unknown",
        "count": integer(header, "NumHalos", path),
        "minimum": integer(header, "MinimumMembers", path),
        "box": positive(header, "BoxSize", path),
        "redshift": redshift_of(header, "Redshift", path),
        "cosmology": known_cosmology(header, path)[1],
        "particle_mass": number(header, "ParticleMass", path),
        "columns": units,
        **{name: value for name, value in drawn.items() if value not in (None, {})},
    }


def _no_catalogue(path: Path) -> InputError:
    return InputError(f"{path} is no halo catalogue: give a file that zeldo halos or zeldo.write_halos wrote")
