"""Particles as npz: `pos` (N, 3) in Mpc/h and `vel` (N, 3) in km/s, in lattice order, with a description of the run.

Particles in another order, or in a number that is not n^3, have `count` in place of `n`, and `ids` where known. Archives of
others need `pos` alone: box and redshift may come from options.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.archive import existing_file, names_in, read_arrays, readable
from zeldo.files.atomic import writing
from zeldo.files.entries import OFFSET_KNOWN, WHOLE, integer, origin_attributes, own_header
from zeldo.files.formats import Format, Sink
from zeldo.files.given import Given, Rescaled, check_not_given
from zeldo.files.registry import register_format
from zeldo.particles.particles import FIELDS, KINDS, Header, Source, known_parameters, row_bytes
from zeldo.particles.snapshot import DRAWN, MADE, TOLD

NAMES = {"positions": "pos", "velocities": "vel", "ids": "ids", "masses": "mass"}
OTHER_NAMES = {"positions": "positions", "velocities": "velocities", "ids": "id", "masses": "masses"}
NEEDED = ("box", "redshift", "engine", "version", "settings", "particle_mass")
OPTIONAL = ("seed", *DRAWN, *MADE, *TOLD, "offset", OFFSET_KNOWN, WHOLE)
OTHERS = ("box", "redshift", *Cosmology.names())  # what is read of an archive that zeldo did not write
STORED = {
    "format": "npz of zeldo",
    "lengths": "Mpc/h",
    "velocities": "peculiar",
    "masses": "10^10 Msun/h",
}
UNKNOWN = "unknown"  # the cosmological parameters that particles came without


@register_format
class Npz(Format):
    """NumPy's archive of arrays, without compression and without pickled objects."""

    name = "npz"
    suffixes = (".npz",)
    snapshot_ids = False

    def sniff(self, path: Path) -> bool:
        if not path.is_file():
            return False
        try:
            return bool({"pos", "positions"} & set(names_in(path)))
        except DamagedFileError:
            return False

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
        present = names_in(existing_file(path))
        names = {
            field: name for names in (OTHER_NAMES, NAMES) for field, name in names.items() if name in present
        }
        if "positions" not in names:
            raise DamagedFileError(f"{path} lacks pos: it has {', '.join(present)}; give a complete file")
        with ExitStack() as stack:
            members = {}
            for field, name in names.items():
                members[field] = stack.enter_context(_Member(path, name, field))
            shape = members["positions"].shape
            if len(shape) == 2 and shape[0] == 3 != shape[1]:
                raise InputError(
                    f"{path}: {names['positions']} has the shape {shape}: give positions as (N, 3)"
                )
            count = shape[0] if shape else 0
            if {"engine", "settings"} & set(present):
                check_not_given(path, box=box, redshift=redshift, length=length, velocities=velocities)
                header = _own_header(path, present)
                yield _Source(path, header, members)
            else:
                given = Given(path, box, redshift, length, velocities, cosmology)
                values = read_arrays(path, [name for name in OTHERS if name in present])
                header, factors = given.header(count, values, "npz archive")
                source = _Source(path, header, members)
                yield Rescaled(source, factors)

    @contextmanager
    def create(self, path: Path, header: Header, fields: Mapping[str, np.dtype]) -> Iterator[Sink]:
        values: dict[str, object] = dict(known_parameters(header))
        unknown = [name for name in Cosmology.names() if name not in values]
        values |= {UNKNOWN: np.array(unknown)} if unknown else {}
        values |= {"n": header.n} if header.n is not None else {"count": header.count}
        values |= {"box": header.box, "redshift": header.redshift}
        values |= {"particle_mass": header.particle_mass or 0.0, **origin_attributes(header)}
        with (
            writing(path, header.count * row_bytes(fields)) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            for name, value in values.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asanyarray(value), allow_pickle=False)
            with _Sink(archive, header, fields) as sink:
                yield sink


def _own_header(path: Path, present: list[str]) -> Header:
    """The header of a file that zeldo wrote. `DamagedFileError` where an entry is missing."""
    counted = "count" if "count" in present else "n"
    unknown = read_arrays(path, [UNKNOWN])[UNKNOWN].tolist() if UNKNOWN in present else []
    parameters = [name for name in Cosmology.names() if name not in unknown]
    optional = [name for name in OPTIONAL if name in present]
    values = read_arrays(path, [counted, *parameters, *NEEDED, *optional])
    count = integer(values, counted, path) ** (3 if counted == "n" else 1)
    if count < 0:
        raise DamagedFileError(f"{path}: {count} particles are not possible; {AGAIN}")
    header = own_header(values, path, count, STORED)
    return replace(header, particle_mass=None) if "mass" in present else header


class _Sink(Sink):
    """Each field is a member of the archive, open while its rows come."""

    def __init__(self, archive: zipfile.ZipFile, header: Header, fields: Mapping[str, np.dtype]) -> None:
        super().__init__(header, fields)
        self._archive = archive
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def put(self, field: str, start: int, values: np.ndarray) -> None:
        if not start:
            self.__exit__()
            self._stream = self._archive.open(f"{NAMES[field]}.npy", "w", force_zip64=True)
            described: Any = {
                "descr": np.lib.format.dtype_to_descr(self.fields[field]),
                "fortran_order": False,
                "shape": (self.header.count, *FIELDS[field]),
            }
            np.lib.format.write_array_header_1_0(self._stream, described)
        assert self._stream is not None
        self._stream.write(values.data)


class _Member:
    """The rows of one array in the archive; its checksum is compared when they are read to the end in order."""

    def __init__(self, path: Path, name: str, field: str) -> None:
        self._path, self._name, self._row = path, name, 0
        with readable(path):
            self._archive = zipfile.ZipFile(path)
            self._open()
        self.dtype = self._dtype
        self.shape = self._shape
        self._field = field

    def check(self, count: int) -> None:
        """`DamagedFileError` where the shape or type is not that of `count` particles, or of the bytes there are."""
        wanted = (count, *FIELDS[self._field])
        if self._shape != wanted or self.dtype.kind not in KINDS[self._field]:
            subject = {"positions": f"{self._name} is"}.get(self._field, f"{self._field} are")
            raise DamagedFileError(
                f"{self._path}: {subject} {self.dtype} of shape {self._shape}, not {wanted}; {AGAIN}"
            )
        size = self._archive.getinfo(f"{self._name}.npy").file_size
        if size < count * row_bytes({self._field: self.dtype}):
            raise DamagedFileError(
                f"{self._path}: {self._name} has {size} bytes, too few for its shape; {AGAIN}"
            )

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    def _open(self) -> None:
        """Go to the first row."""
        form = np.lib.format
        self._stream, self._row = self._archive.open(f"{self._name}.npy"), 0
        version = form.read_magic(self._stream)
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        self._shape, self._fortran, self._dtype = read(self._stream)

    def rows(self, start: int, stop: int) -> np.ndarray:
        if self._fortran:  # as np.savez writes a transposed array
            return read_arrays(self._path, [self._name])[self._name][start:stop]
        width = self._dtype.itemsize * int(np.prod(self._shape[1:]))
        with readable(self._path):
            if start != self._row:
                if start < self._row:
                    self._open()
                self._stream.seek((start - self._row) * width, 1)
            content = self._stream.read((stop - start) * width)
            self._row = stop
            return np.frombuffer(content, self._dtype).reshape(stop - start, *self._shape[1:])


class _Source(Source):
    def __init__(self, path: Path, header: Header, members: dict[str, _Member]) -> None:
        for member in members.values():
            member.check(header.count)
        super().__init__(str(path), header, {field: member.dtype for field, member in members.items()})
        self._members = members

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        return self._members[field].rows(start, stop)
