"""Reference runs by MP-Gadget, rounded to int16, and initial conditions on disk.

A reference file is an npz of `n`, `box`, `seed`, the cosmology, `meta` (JSON), and as int16 times a step:
`delta_lin` (n, n, n) x `delta_step`, `psi_z0` (3, n, n, n) x `psi_step` in Mpc/h, `vel_z0` x `vel_step` in
km/s, `psi_z1` and so on.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError, nearest
from zeldo.files.archive import existing_file, names_in, read_arrays
from zeldo.files.atomic import check_writable, writing
from zeldo.files.entries import cosmology_of, integer, number, read_drawing
from zeldo.files.formats import Format
from zeldo.files.registry import register_format
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.initial.linear import field_of_modes
from zeldo.initial.noise import check_seed
from zeldo.particles.linear_theory import variance_on_lattice
from zeldo.particles.particles import Source
from zeldo.particles.snapshot import DRAWN, Snapshot, drawn
from zeldo.version import __version__

ENGINE = "mp-gadget"
SHIPPED = ("small",)
MODES = "delta_k"  # in place of delta_lin: (1/N) sum delta exp(-ikx), (n, n, n // 2 + 1) complex
COSMOLOGY = Cosmology.required()
VARIANCE = 1.2  # largest ratio of a field's variance to that of its power


@register_format
class Reference(Format):
    """Reference runs and initial conditions. They are recognised only to be refused: neither is a single snapshot."""

    name = "reference"

    def sniff(self, path: Path) -> bool:
        try:
            present = names_in(path)
        except DamagedFileError:
            return False
        return ("delta_lin" in present or MODES in present) and "pos" not in present

    def open(self, path: Path, cosmology: Cosmology | None = None) -> AbstractContextManager[Source]:
        raise InputError(
            f"{path} is a reference or initial conditions, no snapshot: use it as --reference or --ics"
        )


def reference_path(name: str = "small") -> Path:
    """The file of a reference run that ships with zeldo.

    Parameters
    ----------
    name : str
        "small": 64^3 particles in 125 Mpc/h at z = 0 and 1.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in SHIPPED:
        raise InputError(
            f"reference {name!r} does not ship: choose {', '.join(SHIPPED)}{nearest(name, SHIPPED)}"
        )
    return Path(str(files("zeldo.files") / "data" / f"{name}.npz"))


def is_reference(path: str | os.PathLike) -> bool:
    """Whether the file holds a linear field and particles at some redshift."""
    present = names_in(existing_file(path))
    return "delta_lin" in present and any(name.startswith("psi_z") for name in present)


def read_reference(path: str | os.PathLike) -> tuple[InitialConditions, dict[float, Snapshot]]:
    """Read a reference run: its initial conditions and its snapshots.

    Parameters
    ----------
    path : path
        A reference file (.npz).

    Returns
    -------
    ics : InitialConditions
        The linear field of the run.
    snapshots : dict of float to Snapshot
        The snapshots by redshift, from high to low.

    Raises
    ------
    InputError
        For a missing file.
    DamagedFileError
        For a file that is truncated or inconsistent.
    """
    path = existing_file(path)
    present = names_in(path)
    redshifts = _redshifts(present, path)
    fields = [f"psi_{tag}" for tag in redshifts] + [
        f"vel_{tag}" for tag in redshifts if f"vel_{tag}" in present
    ]
    steps = ["delta_step", "psi_step"] + (["vel_step"] if len(fields) > len(redshifts) else [])
    values = read_arrays(path, _header(present) + ["delta_lin", *steps, *fields])
    ics = _initial_conditions(values, path)
    meta = _meta(values, path)
    snapshots = {}
    for tag, redshift in redshifts.items():
        vel = _field(values, f"vel_{tag}", "vel_step", ics.n, path) if f"vel_{tag}" in fields else None
        snapshots[redshift] = Snapshot(
            psi=_field(values, f"psi_{tag}", "psi_step", ics.n, path),
            vel=vel,
            box=ics.box,
            cosmology=ics.cosmology,
            redshift=redshift,
            engine=ENGINE,
            seed=ics.seed,
            settings=meta,
            version=str(meta.get("code", "")),
            **read_drawing(values, path),
        )
    return ics, snapshots


def read_initial_conditions(
    path: str | os.PathLike, given: Mapping[str, float] | None = None
) -> InitialConditions:
    """Read the linear field of a reference file, or of one that `write_initial_conditions` wrote.

    Files may have `delta_k` in place of `delta_lin`: complex modes (n, n, n // 2 + 1), (1 / n^3) sum delta exp(-ikx).

    Parameters
    ----------
    path : path
    given : mapping of str to float, optional
        Parameters of the cosmology, for those that the file does not have.

    Returns
    -------
    InitialConditions

    Raises
    ------
    InputError
        For a missing file, and for a cosmology that neither the file nor `given` has.
    DamagedFileError
        For a file that is truncated or inconsistent.
    """
    path = existing_file(path)
    present = names_in(path)
    added = {name: np.asarray(value) for name, value in (given or {}).items() if name not in present}
    unknown = [name for name in COSMOLOGY if name not in present and name not in added]
    if "redshift" in present and (redshift := number(read_arrays(path, ["redshift"]), "redshift", path)):
        raise InputError(
            f"{path} holds a linear field at z = {redshift:g}: divide it by D1 of that redshift, and leave redshift out"
        )
    field = next((name for name in ("delta_lin", MODES) if name in present), "delta_lin")
    if unknown and field in present:
        raise InputError(f"{path} does not say {', '.join(unknown)}: give the cosmology of the run")
    wanted = [name for name in _header(present) if name not in added]
    if field in present and "n" not in present:
        wanted.remove("n")
    if field == MODES:
        values = added | read_arrays(path, [*wanted, MODES])
        try:
            values["delta_lin"] = field_of_modes(values[MODES])
        except InputError as error:
            raise DamagedFileError(f"{path}: {error}") from None
        return _initial_conditions(values, path)
    steps = ["delta_step"] if "delta_step" in present else []
    return _initial_conditions(added | read_arrays(path, [*wanted, "delta_lin", *steps]), path)


def read_origin(path: str | os.PathLike[str]) -> Origin:
    """All but the linear field of what `read_initial_conditions` reads, with its errors."""
    path = existing_file(path)
    return _origin(read_arrays(path, _header(names_in(path))), path)


def check_initial_conditions_path(path: str | os.PathLike) -> Path:
    """The path where initial conditions can be written there, else `InputError`."""
    if Path(path).suffix != ".npz":
        raise InputError(f"{path}: initial conditions are written as .npz; give a name that ends so")
    return check_writable(path)


def write_initial_conditions(ics: InitialConditions, path: str | os.PathLike) -> Path:
    """Write initial conditions as npz, with delta_lin in float32, uncompressed.

    Parameters
    ----------
    ics : InitialConditions
    path : path
        A name that ends in .npz.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        For another suffix, and for a directory that is missing or not writable.
    ZeldoError
        For a full disk.
    """
    path = check_initial_conditions_path(path)
    values = {name: getattr(ics.cosmology, name) for name in Cosmology.names()}
    values |= {name: value for name, value in drawn(ics).items() if value is not None}
    with writing(path, ics.delta_lin.nbytes) as temporary, open(temporary, "wb") as stream:
        np.savez(
            stream,
            delta_lin=ics.delta_lin,
            n=ics.n,
            box=ics.box,
            zeldo_version=np.array(__version__),
            **values,
        )
    return path


def _header(present: list[str]) -> list[str]:
    optional = [name for name in ("seed", *DRAWN, "w0", "wa", "meta", "k", "p_lin") if name in present]
    return ["n", "box", *COSMOLOGY, *optional]


def _redshifts(present: list[str], path: Path) -> dict[str, float]:
    """Tags as z0, z0.5, with their redshifts, from high to low."""
    tags = {}
    for name in present:
        match = re.fullmatch(r"psi_(z(\d+(?:\.\d+)?))", name)
        if match:
            tags[match[1]] = float(match[2])
    if not tags:
        raise DamagedFileError(
            f"{path} lacks psi_z0 or another redshift: it has {', '.join(present)}; give a reference"
        )
    return dict(sorted(tags.items(), key=lambda item: -item[1]))


def _origin(values: Mapping[str, np.ndarray], path: Path) -> Origin:
    n, box = integer(values, "n", path), number(values, "box", path)
    try:
        seed = check_seed(integer(values, "seed", path)) if "seed" in values else None
    except InputError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    return Origin(box, n, cosmology_of(values, path), seed, **read_drawing(values, path))


def _initial_conditions(values: Mapping[str, np.ndarray], path: Path) -> InitialConditions:
    delta = values["delta_lin"]
    origin = _origin({"n": np.asarray(len(delta)), **values}, path)
    n = origin.n
    if delta.shape != (n, n, n):
        raise DamagedFileError(
            f"{path}: delta_lin has shape {delta.shape}, where a linear field has (n, n, n); {AGAIN}"
        )
    if "delta_step" in values:
        delta = _scaled(delta, values, "delta_step", path)
    elif delta.dtype.kind != "f":
        raise DamagedFileError(f"{path}: delta_lin is {delta.dtype} and has no delta_step; {AGAIN}")
    try:
        ics = InitialConditions(delta_lin=delta, **vars(origin))
    except InputError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    if "k" in values and "p_lin" in values:
        _check_power(ics, values["k"], values["p_lin"], path)
    return ics


def _check_power(ics: InitialConditions, k: np.ndarray, power: np.ndarray, path: Path) -> None:
    """`DamagedFileError` where the field has not the variance that the file's power has on a lattice of its box."""
    if (
        k.ndim != 1
        or k.shape != power.shape
        or k.size < 2
        or not (np.isfinite(power).all() and (np.diff(k) > 0).all())
    ):
        raise DamagedFileError(f"{path}: k and p_lin are not a table of linear power; {AGAIN}")
    variance = float(np.var(ics.delta_lin, dtype=np.float64))
    ratio = variance / variance_on_lattice(k, power, ics.box, ics.n)
    if not 1 / VARIANCE < ratio < VARIANCE:
        raise DamagedFileError(
            f"{path}: the variance of delta_lin is {ratio:.2g} times that of the file's p_lin in a box of {ics.box:g} "
            f"Mpc/h: box, n or the field are of another run; {AGAIN}"
        )


def _field(values: Mapping[str, np.ndarray], name: str, step: str, n: int, path: Path) -> np.ndarray:
    field = values[name]
    if field.shape != (3, n, n, n):
        raise DamagedFileError(
            f"{path}: {name} has shape {field.shape} but n = {n} asks for {(3, n, n, n)}; {AGAIN}"
        )
    field = _scaled(field, values, step, path)
    if not np.isfinite(field).all():
        raise DamagedFileError(f"{path}: {name} holds values that are not finite; {AGAIN}")
    return field


def _scaled(field: np.ndarray, values: Mapping[str, np.ndarray], step: str, path: Path) -> np.ndarray:
    """float32: the stored numbers times their step."""
    if field.dtype.kind not in "if":
        raise DamagedFileError(f"{path} holds {field.dtype} where numbers belong; {AGAIN}")
    size = number(values, step, path)
    if size <= 0:
        raise DamagedFileError(f"{path}: {step} = {size:g} is not positive; {AGAIN}")
    return field.astype(np.float32) * np.float32(size)


def _meta(values: Mapping[str, np.ndarray], path: Path) -> dict[str, object]:
    if "meta" not in values:
        return {}
    try:
        meta = json.loads(str(values["meta"]))
    except ValueError as error:
        raise DamagedFileError(f"{path}: meta is not JSON ({error}); {AGAIN}") from error
    return meta if isinstance(meta, dict) else {"meta": meta}
