"""What the universes of a suite measured, as arrays for inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.brief import brief
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError, nearest
from zeldo.files.archive import read_arrays

if TYPE_CHECKING:
    from zeldo.suites.suite import Suite

# what is measured of each universe, by what a suite keeps
STATISTICS: dict[str, tuple[str, ...]] = {
    "particles": (),
    "measure": ("power",),
    "multipoles": ("power", "multipoles"),
}
NO_VELOCITIES = "engine {} makes no velocities, which multipoles need: give keep = measure, or another engine"
MULTIPOLES = ("monopole", "quadrupole", "hexadecapole")


@dataclass(frozen=True, eq=False)
class SuiteArrays:
    """Measurements of U universes at Z redshifts in K bins of wavenumber; numbers are float64.

    Parameters
    ----------
    names : list of str
        The universes, in the order of the suite's table.
    seeds : ndarray
        (U,) int64.
    parameters : ndarray
        (U, P) parameters of the cosmologies.
    parameter_names : tuple of str
        Their P names.
    redshifts : ndarray
        (Z,) from high to low.
    k : ndarray
        (K,) mean wavenumber of each bin, h/Mpc.
    modes : ndarray
        (K,) number of modes in each bin.
    power : ndarray
        (U, Z, K) P(k), (Mpc/h)^3.
    monopole, quadrupole, hexadecapole : ndarray or None
        (U, Z, K) in redshift space along z, (Mpc/h)^3; None where the suite keeps none.
    """

    names: list[str]
    seeds: np.ndarray
    parameters: np.ndarray
    parameter_names: tuple[str, ...]
    redshifts: np.ndarray
    k: np.ndarray
    modes: np.ndarray
    power: np.ndarray
    monopole: np.ndarray | None = None
    quadrupole: np.ndarray | None = None
    hexadecapole: np.ndarray | None = None

    __repr__ = brief


def arrays_of(suite: Suite, parameters: Sequence[str] | None = None) -> SuiteArrays:
    """What `Suite.arrays` returns."""
    rows = suite.rows()
    chosen = _varied(rows) if parameters is None else _checked(parameters)
    statistics = STATISTICS[suite.arguments["keep"]]
    if not statistics:
        raise InputError(
            f"{suite.path} keeps particles and has no spectra: make a suite with --keep measure, or give its files to "
            "zeldo.measure"
        )
    done = [row for row in rows if row["status"] == "done"]
    if not done:
        raise InputError(
            f"{suite.path}: none of its {len(rows)} universes is finished: give the command of the suite again"
        )
    redshifts = suite.arguments["redshifts"]
    columns = ("power", *(MULTIPOLES if "multipoles" in statistics else ()))
    tables = [_tables(suite.path, row, redshifts, columns) for row in done]
    k = tables[0][0]["k"]
    for row, table in zip(done, tables, strict=True):
        if any(not np.array_equal(each["k"], k) for each in table):
            raise InputError(
                f"{suite.path}: k of {row['name']} is not that of {done[0]['name']}: {_again(suite.path, row)}"
            )
    return SuiteArrays(
        names=[row["name"] for row in done],
        seeds=np.array([row["seed"] for row in done], np.int64),
        parameters=np.array([[row[name] for name in chosen] for row in done], float),
        parameter_names=chosen,
        redshifts=np.array(redshifts, float),
        k=k,
        modes=tables[0][0]["modes"],
        **{name: np.array([[each[name] for each in table] for table in tables]) for name in columns},
    )


def _varied(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The parameters that differ between universes, those that are not made yet too."""
    return tuple(name for name in Cosmology.names() if len({row[name] for row in rows}) > 1)


def _checked(parameters: Sequence[str]) -> tuple[str, ...]:
    """The names where all are of `Cosmology`, else `InputError`."""
    names = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    for name in names:
        if name not in Cosmology.names():
            known = Cosmology.names()
            raise InputError(
                f"parameter {name!r} is not known: give any of {', '.join(known)}{nearest(name, known)}"
            )
    return names


def _tables(
    folder: Path, row: Mapping[str, Any], redshifts: Sequence[float], columns: Sequence[str]
) -> list[dict[str, np.ndarray]]:
    """The columns of a universe's file at each redshift."""
    path = folder / row["where"]
    if not path.exists():
        raise InputError(f"{path} is gone: {_again(folder, row)}")
    names = ("k", *columns, "modes")
    arrays = read_arrays(path, [f"z{z:g}_{name}" for z in redshifts for name in names])
    return [{name: arrays[f"z{z:g}_{name}"] for name in names} for z in redshifts]


def _again(folder: Path, row: Mapping[str, Any]) -> str:
    """How a universe is made once more."""
    return f"remove {folder / 'rows' / row['name']}.json, and run the suite again to make it"
