"""Particles as a zarr group (version 3), which xarray opens: positions, velocities, ids and masses, with named dimensions.

Each chunk has a CRC-32C checksum, and the attributes have their sha256, so that a changed byte is damage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, ZeldoError
from zeldo.files.atomic import check_directory_writable, holds_only, writing_directory
from zeldo.files.entries import DIGEST, attributes_digest, integer, origin_attributes, own_header
from zeldo.files.formats import Format, Sink
from zeldo.files.given import Given, Rescaled, check_not_given
from zeldo.files.registry import register_format
from zeldo.particles.particles import FIELDS, KINDS, Header, Source, known_parameters

CHUNK = 2**18  # rows
OTHER_NAMES = {"pos": "positions", "vel": "velocities", "id": "ids", "mass": "masses"}
FIELD_UNITS = {"positions": "Mpc/h", "velocities": "km/s", "masses": "1e10 Msun/h"}
STORED = {"format": "zarr of zeldo", "lengths": "Mpc/h", "velocities": "peculiar"}
LARGEST_TEXT = 2**24  # bytes of zarr.json
LIES = 1000  # no codec makes positions so many times smaller


@register_format
class Zarr(Format):
    """A directory with a zarr group of arrays, one a field."""

    name = "zarr"
    suffixes = (".zarr",)

    def sniff(self, path: Path) -> bool:
        names = ("positions", *(name for name, field in OTHER_NAMES.items() if field == "positions"))
        return (path / "zarr.json").is_file() and any((path / name).is_dir() for name in names)

    @contextmanager
    def open(
        self,
        path: Path,
        cosmology: Cosmology | None = None,
        *,
        box: float | None = None,
        redshift: float | None = None,
        length: str | None = None,
        velocities: str | None = None,
    ) -> Iterator[Source]:
        with _readable(path):
            arrays, values = _arrays(path), _attributes(path)
        count = int(arrays["positions"].shape[0]) if arrays["positions"].shape else 0
        if DIGEST in values:
            check_not_given(path, box=box, redshift=redshift, length=length, velocities=velocities)
            with _readable(path):
                _check_arrays(path, arrays, values)
            yield _Source(path, _own_header(path, count, values), arrays)
        else:
            given = Given(path, box, redshift, length, velocities, cosmology)
            named = {name: values[name] for name in ("box", "redshift", *Cosmology.names()) if name in values}
            header, factors = given.header(count, named, "zarr group")
            yield Rescaled(_Source(path, header, arrays), factors)

    @contextmanager
    def create(self, path: Path, header: Header, fields: Mapping[str, np.dtype]) -> Iterator[Sink]:
        import zarr
        from zarr.codecs import Crc32cCodec

        with writing_directory(path) as temporary:
            group = zarr.create_group(temporary, zarr_format=3)
            arrays = {}
            for field, dtype in fields.items():
                shape = (header.count, *FIELDS[field])
                arrays[field] = group.create_array(
                    field,
                    shape=shape,
                    dtype=dtype,
                    chunks=(max(1, min(CHUNK, header.count)), *FIELDS[field]),
                    compressors=Crc32cCodec(),
                    dimension_names=("particle", "axis")[: len(shape)],
                    attributes={"units": FIELD_UNITS[field]} if field in FIELD_UNITS else {},
                    config={"write_empty_chunks": True},  # a missing chunk is damage, not zeros
                )
            group.attrs.update(
                _described(header, {field: _file_digest(temporary, field) for field in arrays})
            )
            sink = _Sink(header, fields, arrays)
            yield sink
            sink.flush()

    def check_writable(self, path: Path) -> Path:
        # a user's own arrays beside these would be lost
        return check_directory_writable(
            path, replaces=lambda place: self.sniff(place) and holds_only(place, ("zarr.json", *FIELDS))
        )


class _Sink(Sink):
    """Gathers rows until a chunk is full, since a chunk is written whole."""

    def __init__(self, header: Header, fields: Mapping[str, np.dtype], arrays: Mapping[str, Any]) -> None:
        super().__init__(header, fields)
        self._arrays = arrays
        self._field, self._start, self._length = "", 0, 0
        self._waiting: list[np.ndarray] = []

    def put(self, field: str, start: int, values: np.ndarray) -> None:
        if field != self._field:
            self.flush()
            self._field, self._start = field, 0
        while len(values):
            space = CHUNK - self._length
            self._waiting.append(values[:space].copy())  # the caller may use its array again
            self._length += len(self._waiting[-1])
            values = values[space:]
            if self._length == CHUNK:
                self.flush()

    def flush(self) -> None:
        """Write the rows that are waiting."""
        if self._waiting:
            stop = self._start + self._length
            self._arrays[self._field][self._start : stop] = np.concatenate(self._waiting)
            self._start, self._length, self._waiting = stop, 0, []


class _Source(Source):
    def __init__(self, path: Path, header: Header, arrays: Mapping[str, Any]) -> None:
        for field, array in arrays.items():
            shape, dtype = tuple(array.shape), np.dtype(array.dtype)
            if shape != (header.count, *FIELDS[field]) or dtype.kind not in KINDS[field]:
                raise DamagedFileError(
                    f"{path}: {field} are {dtype} of shape {shape}, not {(header.count, *FIELDS[field])}; {AGAIN}"
                )
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if header.count * 12 > LIES * size:
            raise DamagedFileError(f"{path}: {header.count} particles are not in its {size} bytes; {AGAIN}")
        super().__init__(str(path), header, {field: np.dtype(array.dtype) for field, array in arrays.items()})
        self._arrays, self._path = arrays, path
        self._chunk: tuple[str, int, np.ndarray] | None = None

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        """Whole chunks are read and kept, since each has one checksum."""
        array, pieces = self._arrays[field], []
        length = int(array.chunks[0])
        for begin in range(start // length * length, stop, length):
            if self._chunk is None or self._chunk[:2] != (field, begin):
                with _readable(self._path):
                    values = np.asarray(array[begin : begin + length])
                self._chunk = field, begin, values
            pieces.append(self._chunk[2][max(0, start - begin) : stop - begin])
        if not pieces:
            return np.empty((0, *FIELDS[field]), self.fields[field])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever zarr raises inside into a `DamagedFileError` of one line."""
    try:
        yield
    except ZeldoError:
        raise
    except Exception as error:  # its codecs raise what they like
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(f"{path} is not a readable zarr group ({reason}); {AGAIN}") from error


def _arrays(path: Path) -> dict[str, Any]:
    import zarr

    for name in ("zarr.json", *(f"{place.name}/zarr.json" for place in path.iterdir() if place.is_dir())):
        if (path / name).is_file() and (path / name).stat().st_size > LARGEST_TEXT:
            raise DamagedFileError(f"{path}: {name} is too long for a description; {AGAIN}")
    group = zarr.open_group(path, mode="r")
    arrays = {}
    for name in (*FIELDS, *OTHER_NAMES):
        field = OTHER_NAMES.get(name, name)
        if field not in arrays and name in group:
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise DamagedFileError(f"{path}: {name} is not an array; {AGAIN}")
            arrays[field] = array
    if "positions" not in arrays:
        raise DamagedFileError(f"{path} lacks positions; {AGAIN}")
    return arrays


def _attributes(path: Path) -> dict[str, Any]:
    """The attributes of the group. `DamagedFileError` where they are not those that their digest was taken of."""
    values = json.loads((path / "zarr.json").read_text())["attributes"]
    if DIGEST in values and values[DIGEST] != attributes_digest(values):
        raise DamagedFileError(f"{path}: the attributes do not agree with their checksum; {AGAIN}")
    return values


def _file_digest(path: Path, field: str) -> str:
    """Of the description of an array, which has no checksum in it."""
    return hashlib.sha256((path / field / "zarr.json").read_bytes()).hexdigest()


def _described(header: Header, arrays: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {"count": header.count, "box": header.box, "redshift": header.redshift}
    values["arrays"] = dict(arrays)
    values |= {**known_parameters(header), **origin_attributes(header)}
    values["particle_mass"] = header.particle_mass or 0.0
    if header.n is not None:
        values["n"] = header.n
    plain = json.loads(json.dumps(values))  # as they will be read
    return plain | {DIGEST: attributes_digest(plain)}


def _check_arrays(path: Path, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """`DamagedFileError` where arrays or chunks are missing, or an array's description is not the one written."""
    if set(values["arrays"]) != set(arrays):
        raise DamagedFileError(
            f"{path} has {', '.join(arrays)}, and {', '.join(values['arrays'])} were written; {AGAIN}"
        )
    for field, array in arrays.items():
        if _file_digest(path, field) != values["arrays"][field]:
            raise DamagedFileError(
                f"{path}: the description of {field} does not agree with its checksum; {AGAIN}"
            )
        if array.nchunks_initialized != array.nchunks:
            raise DamagedFileError(f"{path}: chunks of {field} are missing; {AGAIN}")


def _own_header(path: Path, count: int, values: Mapping[str, Any]) -> Header:
    if integer(values, "count", path) != count:
        raise DamagedFileError(f"{path}: count = {values['count']} and there are {count} positions; {AGAIN}")
    return own_header(values, path, count, STORED)
