"""Files of white noise: .npy, .npz, HDF5, and the format of GRAFIC (Bertschinger 2001), which MUSIC reads and writes too.

GRAFIC's files are Fortran records: n1, n2, n3 and a seed as 4-byte integers, then for each plane along z a record of
n1 n2 numbers, with x varying fastest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.archive import existing_file, names_in, read_arrays, read_npy
from zeldo.files.atomic import writing
from zeldo.files.formats import DAMAGED
from zeldo.files.hdf5_set import opened, readable
from zeldo.files.sets import SIGN
from zeldo.initial.ngenic import check_sign
from zeldo.initial.phase_names import NAMES, named, options_of
from zeldo.initial.phases import Phases, check_given
from zeldo.initial.white_noise import WhiteNoise

GRAFIC = (".grafic", ".bin")
SUFFIXES = (".npy", ".npz", *GRAFIC)
HDF5 = (".hdf5", ".h5")  # read and not written
KEY = "white_noise"  # of the array in an npz
HEADER = 16  # bytes of GRAFIC's first record


def find_phases(
    source: str | os.PathLike[str] | Phases | None,
    *,
    seed: int | None = None,
    fixed: bool = False,
    flip: bool = False,
) -> Phases:
    """Phases by name, or of a file of white noise.

    Parameters
    ----------
    source : str, path or Phases, optional
        A name for `zeldo.initial.phase_names.named`, or a file, with its sign as "noise.npy:sign=-1". zeldo's own phases
        where absent.
    seed, fixed, flip
        As in `named`; white noise of a file has no seed.

    Raises
    ------
    InputError
        For an unknown name, a missing file, and options that contradict the phases. `DamagedFileError` for a damaged file.
    """
    if isinstance(source, Phases):
        check_given(source, {"seed": seed, "fixed": fixed or None, "flip": flip or None})
        return source
    if source is not None and not isinstance(source, str | os.PathLike):
        what = f"an array of shape {source.shape}" if isinstance(source, np.ndarray) else repr(source)
        raise InputError(
            f"phases {what} are not allowed: give {', '.join(NAMES)}, or a file of white noise, as numpy.save writes"
        )
    name = "native" if source is None else os.fspath(source)
    path, _, rest = name.partition(SIGN)
    # the name of a generator comes before a file that is called like it
    if Path(path).suffix not in (*SUFFIXES, *HDF5) and (_generator(path) or not os.path.exists(path)):
        return named(name, seed=seed, fixed=fixed, flip=flip)
    options = options_of(f"sign={rest}", ["sign"], name) if rest else {}
    noise = read_white_noise(path, fixed=fixed, flip=flip, **options)
    check_given(noise, {"seed": seed})
    return noise


def read_white_noise(
    path: str | os.PathLike[str], sign: int = 1, *, fixed: bool = False, flip: bool = False
) -> WhiteNoise:
    """White noise of a file.

    Parameters
    ----------
    path : str or path
        .npy with an array (m, m, m); .npz with one, or with several of which one is `white_noise`; .grafic or .bin of
        GRAFIC or MUSIC; .hdf5 or .h5 with one cubic data set of real numbers, or with several of which one is
        `white_noise`, along x, y and z as in the others.
    sign : {1, -1}
        -1 for files of the other convention, such as BORG's.
    fixed, flip : bool
        Unit amplitudes, inverted phases.

    Raises
    ------
    InputError
        For a missing file, another suffix, and a field that is no white noise. `DamagedFileError` for a damaged file.
    """
    path = existing_file(path)
    if path.suffix == ".npy":
        values = read_npy(path)
    elif path.suffix == ".npz":
        names = names_in(path)
        key = names[0] if len(names) == 1 else KEY
        values = read_arrays(path, [key])[key]
    elif path.suffix in HDF5:
        values = _read_hdf5(path)
    elif path.suffix in SUFFIXES:
        values = _read_grafic(path)
    else:
        known = ", ".join((*SUFFIXES, *HDF5))
        raise InputError(f"{path}: white noise is read from {known}; give a name that ends so")
    if values.dtype.kind != "f":
        raise InputError(f"{path} holds {values.dtype}: give white noise as real numbers on a lattice")
    try:
        return WhiteNoise(values, check_sign(sign), fixed, flip, name=path.name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def bare_field(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file says of a field that it holds as white noise is stored; empty for particles, linear density and all else.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        n, points per side; seed of a GRAFIC file and phases of an npz where they are there.
    """
    path = Path(path)
    if path.suffix not in (*SUFFIXES, *HDF5) or not path.is_file():
        return {}
    said: dict[str, Any] = {}
    shape: Sequence[int]
    try:
        if path.suffix == ".npy":
            shape = read_npy(path, "r").shape
        elif path.suffix == ".npz":
            names = names_in(path)
            key = names[0] if len(names) == 1 else KEY
            if key not in names or key in ("pos", "positions", "delta_lin"):
                return {}
            shape = read_arrays(path, [key])[key].shape
            if "phases" in names:
                said["phases"] = str(read_arrays(path, ["phases"])["phases"])
        elif path.suffix in HDF5:
            with opened(path) as file, readable(path):
                cubes = {} if "Header" in file else _cubes(file)  # particles have a header
                shape = cubes[_chosen(cubes)[0]].shape
        else:
            *shape, seed = _grafic_numbers(np.fromfile(path, np.uint8, HEADER + 8), path)[1:]
            if seed > 0:
                said["seed"] = seed
    except (InputError, *DAMAGED):
        return {}  # whoever reads it says why
    return {"n": shape[0], **said} if len(shape) == 3 and len(set(shape)) == 1 else {}


def write_white_noise(phases: Phases, path: str | os.PathLike[str], n: int, sign: int = 1) -> Path:
    """Write white noise on a lattice, float32, and return the path.

    Parameters
    ----------
    phases : Phases
        Whose noise it is: `NGenIC(seed=1)`, or `noise_of` initial conditions.
    path : str or path
        .npy, .npz, or .grafic and .bin for GRAFIC's format.
    n : int
        Points per side.
    sign : {1, -1}
        -1 for codes of the other convention.

    Raises
    ------
    InputError
        For another suffix, and a directory that is missing or not writable.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: white noise is written as {', '.join(SUFFIXES)}; give a name that ends so")
    factor = np.float32(check_sign(sign))
    with writing(path, 4 * n**3) as temporary, open(temporary, "wb") as stream:
        values = factor * phases.field(n)
        if path.suffix == ".npy":
            np.save(stream, values)
        elif path.suffix == ".npz":
            np.savez(stream, white_noise=values, phases=np.array(phases.label))
        else:
            seed = phases.seed or 0
            seed = seed if seed < 2**31 else 0  # of no use where the field is given
            _record(stream, np.array([n, n, n, seed], "<i4"))
            for plane in values.T:  # [z, y, x]
                _record(stream, np.ascontiguousarray(plane, "<f4"))
    return path


def _generator(name: str) -> bool:
    return name.partition(":")[0] in [known.partition(":")[0] for known in NAMES]


def _read_hdf5(path: Path) -> np.ndarray:
    """The one cubic data set of a file, or that named as in an npz."""
    with opened(path) as file, readable(path):
        cubes = _cubes(file)
        chosen = _chosen(cubes)
        if not chosen:
            raise InputError(
                f"{path} has {len(cubes)} cubic data sets{': ' if cubes else ''}{', '.join(list(cubes)[:10])}; give a file "
                f"with one, the white noise, or call it {KEY}"
            )
        return cubes[chosen[0]][()]


def _cubes(file: Any) -> dict[str, Any]:
    """The cubic data sets of an HDF5 file."""
    import h5py

    cubes: dict[str, h5py.Dataset] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 3 and len(set(item.shape)) == 1:
            cubes[name] = item

    file.visititems(collect)
    return cubes


def _chosen(cubes: dict[str, Any]) -> list[str]:
    return list(cubes) if len(cubes) == 1 else [name for name in cubes if name == KEY]


def _grafic_numbers(data: np.ndarray, path: Path) -> tuple[str, int, int, int, int]:
    """The byte order, n1, n2, n3 and the seed."""
    if len(data) < HEADER + 8:
        raise DamagedFileError(f"{path} is truncated: {len(data)} bytes hold no white noise; {AGAIN}")
    order = next((sign for sign in "<>" if data[:4].view(f"{sign}u4")[0] == HEADER), None)
    if order is None:
        raise InputError(
            f"{path} is not white noise of GRAFIC: its first record must be n1, n2, n3 and a seed; give another file"
        )
    nx, ny, nz, seed = (int(number) for number in data[4:20].view(f"{order}i4"))
    return order, nx, ny, nz, seed


def _read_grafic(path: Path) -> np.ndarray:
    """[x, y, z], float32 or float64, of either byte order."""
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    order, nx, ny, nz, _ = _grafic_numbers(data, path)
    if min(nx, ny, nz) < 1:
        raise DamagedFileError(f"{path}: a lattice of {[nx, ny, nz]} is not possible; {AGAIN}")
    body = data[HEADER + 8 :]
    for size in (4, 8):
        plane = nx * ny * size
        if len(body) == nz * (plane + 8):
            records = body.reshape(nz, plane + 8)
            ends = [np.ascontiguousarray(records[:, at]).view(f"{order}u4") for at in (np.s_[:4], np.s_[-4:])]
            if any((end != plane).any() for end in ends):
                raise DamagedFileError(f"{path}: the lengths of its records contradict each other; {AGAIN}")
            values = np.ascontiguousarray(records[:, 4:-4]).view(f"{order}f{size}").reshape(nz, ny, nx)
            return values.T
    raise DamagedFileError(f"{path}: {len(data)} bytes are not what {nx} x {ny} x {nz} numbers take; {AGAIN}")


def _record(stream, values: np.ndarray) -> None:
    length = np.array([values.nbytes], "<u4").tobytes()
    stream.write(length)
    stream.write(values.tobytes())
    stream.write(length)
