"""Particles of one type in a set of HDF5 files: counts and data sets, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError, ZeldoError
from zeldo.files.entries import number
from zeldo.files.formats import DAMAGED
from zeldo.files.parted import Scaled
from zeldo.files.sets import member, name_of, parts
from zeldo.particles.particles import FIELDS, KINDS, Header

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NAMES = {"positions": "Coordinates", "velocities": "Velocities", "ids": "ParticleIDs", "masses": "Masses"}
OTHER_NAMES = {"positions": "Positions", "velocities": "Velocity", "ids": "IDs", "masses": "Mass"}
SQUEEZED = 1000  # no filter makes positions or velocities so many times smaller: a larger count is a lie
HALOS = "Halos"  # the group of a halo catalogue, which has no particles
COUNTS = ("NumPart_ThisFile", "NumPart_Total")
COMMON = ("BoxSize", "Redshift", "Time", "Scale-factor")  # to the parts of a set


def is_hdf5(path: Path) -> Path | None:
    """A file of the set, if it is HDF5."""
    file = member(path)
    if file is None:
        return None
    with open(file, "rb") as stream:
        return file if stream.read(len(SIGNATURE)) == SIGNATURE else None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises inside into a `DamagedFileError` of one line."""
    try:
        yield
    except ZeldoError:
        raise
    except (*DAMAGED, MemoryError) as error:
        reason = " ".join(str(error).split()).strip("'\"")
        raise DamagedFileError(
            f"{path} is not a readable HDF5 file ({reason}): it is damaged or incomplete, {AGAIN}"
        ) from error


def opened(path: Path) -> h5py.File:
    """An open file. Locks are left alone: many file systems have none, and readers need none."""
    import h5py

    with readable(path):
        try:
            return h5py.File(path, "r", locking=False)
        except OSError as error:
            if "locking flag" not in str(error):
                raise
            return h5py.File(
                path, "r"
            )  # this process has it open by h5py, whose choice of locks counts for all


def decoded(value: Any) -> Any:
    """An attribute as a Python or NumPy value: arrays of one number become the number, bytes become text."""
    if isinstance(value, np.ndarray) and value.shape == (1,):
        value = value[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def group_attributes(file: h5py.File, group: str) -> dict[str, Any]:
    """The attributes of a group, {} where it is absent."""
    return {name: decoded(value) for name, value in file[group].attrs.items()} if group in file else {}


def counts_of(header: Mapping[str, Any], name: str, path: Path) -> list[int]:
    """Particles of each type by an entry of /Header, with its high word."""
    try:
        numbers = [int(count) for count in np.atleast_1d(np.asarray(header[name]))]
        if name == "NumPart_Total" and "NumPart_Total_HighWord" in header:
            high = [int(word) for word in np.atleast_1d(np.asarray(header["NumPart_Total_HighWord"]))]
            for kind, word in enumerate(high[: len(numbers)]):  # there may be fewer
                numbers[kind] += word << 32 if numbers[kind] < 2**32 else 0
    except (TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: {name} is not a list of counts; {AGAIN}") from error
    if min(numbers, default=-1) < 0:
        raise DamagedFileError(f"{path}: {name} = {numbers} is not a list of counts; {AGAIN}")
    return numbers


def header_of(file: h5py.File, path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """The entries of /Header. `DamagedFileError` where it is absent, or one of those needed; `InputError` for halos."""
    if "Header" not in file:
        if "zeldo_version" in file.attrs and "0" in file:
            raise InputError(
                f"{path} holds what zeldo measure found, no particles: h5py reads it, as in file['0/power/k'][:]"
            )
        raise DamagedFileError(f"{path} lacks /Header: zeldo reads Gadget's and SWIFT's layouts; {AGAIN}")
    header = group_attributes(file, "Header")
    for name in needed:
        if name not in header and HALOS in file:
            raise InputError(
                f"{path} is a halo catalogue and holds no particles: read it by zeldo.read_halos, whose tracers() are "
                "particles to measure"
            )
        if name not in header:
            raise DamagedFileError(f"{path} lacks {name} in /Header, which a snapshot needs; {AGAIN}")
    return header


def side_of(box: Any, path: Path) -> Any:
    """The side of a box that may be given along each axis. `InputError` where it is no cube."""
    sides = np.unique(np.asarray(box))
    if len(sides) > 1:
        raise InputError(
            f"{path}: a box of {np.asarray(box).tolist()} is not a cube: zeldo reads cubic boxes"
        )
    return sides[0] if len(sides) else box


def files_of(path: Path) -> int:
    """The number of files in the set that a file belongs to, by its header."""
    with opened(path) as file, readable(path):
        return _many(header_of(file, path, COUNTS), path)


def _many(header: Mapping[str, Any], path: Path) -> int:
    return int(number(header, "NumFilesPerSnapshot", path)) if "NumFilesPerSnapshot" in header else 1


def set_of(path: Path) -> tuple[list[Path], list[list[int]], list[int]]:
    """The files of a set, the counts of each by type, and the totals that every file gives."""
    first = member(path)
    if first is None:
        raise InputError(f"{path} does not exist: check the path")
    with opened(first) as file, readable(first):
        header = header_of(file, first, COUNTS)
        many = _many(header, first)
        total, counts = (
            counts_of(header, "NumPart_Total", first),
            {first: counts_of(header, COUNTS[0], first)},
        )
    files = parts(first, many)
    for part in files:
        if part != first:
            with opened(part) as file, readable(part):
                here = header_of(file, part, COUNTS)
                counts[part] = counts_of(here, "NumPart_ThisFile", part)
                if counts_of(here, "NumPart_Total", part) != total:
                    raise DamagedFileError(f"{part}: NumPart_Total is not that of {first.name}; {AGAIN}")
                for name in COMMON:
                    if name in header and not np.array_equal(header[name], here.get(name, np.nan)):
                        raise DamagedFileError(f"{part}: {name} is not that of {first.name}; {AGAIN}")
    if any(len(here) != len(total) for here in counts.values()):
        raise DamagedFileError(f"{first}: the parts have different numbers of types; {AGAIN}")
    return files, [counts[part] for part in files], total


def check_totals(path: Path, counts: list[list[int]], total: list[int]) -> None:
    """`DamagedFileError` where the totals in the header are not what the files hold."""
    for kind, here in enumerate(zip(*counts, strict=True)):
        if sum(here) % 2**32 != total[kind] % 2**32:  # some writers leave the high word out
            raise DamagedFileError(
                f"{path}: NumPart_Total says {total[kind]} particles of type {kind} but its files have {sum(here)}; {AGAIN}"
            )


@dataclass(frozen=True)
class Species:
    """The particles of one type in a set of files.

    Parameters
    ----------
    files : list of Path
        The parts.
    rows, totals : list of int
        Of the type in each part, and of each type in all of them.
    kind : int
        The type.
    fields : dict of str to dtype
        The fields that all parts have.
    names : dict of str to str
        The data sets of the fields.
    described : dict of str to dict
        The attributes of the data sets, by field.
    """

    files: list[Path]
    rows: list[int]
    totals: list[int]
    kind: int
    fields: dict[str, np.dtype]
    names: dict[str, str]
    described: dict[str, dict[str, Any]]

    @property
    def group(self) -> str:
        return f"PartType{self.kind}"

    @property
    def count(self) -> int:
        return self.totals[self.kind]

    @property
    def alone(self) -> bool:
        """Whether the files have no other type."""
        return sum(1 for total in self.totals if total) == 1


def totals_of(counts: list[list[int]]) -> list[int]:
    """Particles of each type in all files."""
    return [sum(here) for here in zip(*counts, strict=True)]


def species_of(files: list[Path], counts: list[list[int]], said: list[int], kind: int) -> Species:
    """The particles of a type. `DamagedFileError` as of `fields_of`, and for totals in the header that are wrong."""
    rows = [here[kind] for here in counts]
    fields, names, described = fields_of(files, rows, f"PartType{kind}")
    check_totals(files[0], counts, said)
    return Species(files, rows, totals_of(counts), kind, fields, names, described)


class HDF5Source(Scaled):
    """A species in HDF5 files, of which one is open at a time. `header` and `factors` are as in `Scaled`."""

    def __init__(self, species: Species, header: Header, factors: Mapping[str, float]) -> None:
        files = species.files
        super().__init__(str(name_of(files)), header, species.fields, species.rows, factors)
        self._files, self._group, self._data = files, species.group, species.names
        self._part: tuple[int, h5py.File] | None = None
        self._open: tuple[str, h5py.Dataset] | None = None

    def close(self) -> None:
        self._open = None
        if self._part is not None:
            with suppress(RuntimeError):
                self._part[1].close()
            self._part = None

    def stored(self, part: int, field: str, start: int, stop: int) -> np.ndarray:
        if self._part is None or self._part[0] != part:
            self.close()
            self._part = part, opened(self._files[part])
            self._open = None
        with readable(self._files[part]):
            if self._open is None or self._open[0] != field:  # opening one takes as long as a slice of it
                self._open = field, self._part[1][self._group][self._data[field]]
            return self._open[1][start:stop]


def fields_of(
    files: list[Path], counts: list[int], group: str
) -> tuple[dict[str, np.dtype], dict[str, str], dict[str, dict[str, Any]]]:
    """The fields that all files have: their types, data sets and attributes.

    Raises
    ------
    DamagedFileError
        Where a data set has another shape or type, or is missing in one of the files, or its count is a lie.
    """
    fields: dict[str, np.dtype] | None = None
    names: dict[str, str] = {}
    described: dict[str, dict[str, Any]] = {}
    for path, count in zip(files, counts, strict=True):
        if not count:
            continue
        with opened(path) as file, readable(path):
            if group not in file or not ({NAMES["positions"], OTHER_NAMES["positions"]} & set(file[group])):
                raise DamagedFileError(
                    f"{path} lacks /{group}/Coordinates: zeldo reads Gadget's layout; {AGAIN}"
                )
            here = {}
            for field in NAMES:
                name = next((n[field] for n in (NAMES, OTHER_NAMES) if n[field] in file[group]), None)
                if name is None:
                    continue
                data = file[f"{group}/{name}"]
                here[field] = _checked(data, field, name, count, path)
                names[field] = name
                if field not in described:
                    described[field] = {key: decoded(value) for key, value in data.attrs.items()}
        if fields is not None and set(here) != set(fields):
            raise DamagedFileError(f"{path}: its data sets are not those of {files[0].name}; {AGAIN}")
        known = fields or here
        fields = {field: np.result_type(known[field], dtype) for field, dtype in here.items()}
        if any(dtype.kind not in KINDS[field] for field, dtype in fields.items()):
            raise DamagedFileError(
                f"{path}: its ids have a sign, those of {files[0].name} have none; {AGAIN}"
            )
    return fields or {}, names, described


def _checked(data: h5py.Dataset, field: str, name: str, count: int, path: Path) -> np.dtype:
    """The type of a data set after a check of its shape."""
    import h5py

    if not isinstance(data, h5py.Dataset):
        raise DamagedFileError(f"{path}: {name} is not a data set; {AGAIN}")
    wanted = (count, *FIELDS[field])
    if data.dtype.kind in KINDS[field] and data.shape != wanted and data.shape[1:] == FIELDS[field]:
        raise DamagedFileError(
            f"{path}: NumPart_ThisFile says {count} particles but there are {data.shape[0]} {name}; {AGAIN}"
        )
    if data.shape != wanted or data.dtype.kind not in KINDS[field]:
        said = f"whole numbers, ({count},)" if field == "ids" else f"floating-point numbers, {wanted}"
        raise DamagedFileError(f"{path}: {name} are {data.dtype} {data.shape}, not {said}; {AGAIN}")
    if data.is_virtual:
        _check_sources(data, name, path)
    # equal masses, and ids in a row, take next to nothing where they are compressed
    elif data.id.get_storage_size() < (count * data.dtype.itemsize / SQUEEZED if FIELDS[field] else 1):
        raise DamagedFileError(
            f"{path}: {name} are said to be {count}, and most are not in the file; {AGAIN}"
        )
    plist = data.id.get_create_plist()
    codes = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not all(h5py.h5z.filter_avail(code) for code in codes):
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401  registers Blosc and others
    for code in codes:
        if not h5py.h5z.filter_avail(code):
            raise InputError(f"{path}: {name} is compressed by HDF5's filter {code}: pip install hdf5plugin")
    return data.dtype


def _check_sources(data: h5py.Dataset, name: str, path: Path) -> None:
    """`InputError` where a file that a virtual data set is put together from is missing: HDF5 reads zeros there."""
    for source in data.virtual_sources():
        if source.file_name != "." and not (path.parent / source.file_name).is_file():
            raise InputError(f"{path}: its {name} are in {source.file_name}, which is missing; copy it too")
