"""Initial conditions of GRAFIC2 (Bertschinger 2001), as MUSIC and monofonIC write them for RAMSES: a file a component.

`ic_poscx` and so on are displacements in comoving Mpc/h, `ic_velcx` and so on peculiar velocities in km/s. Each is a field
on the lattice in Fortran records: a header of 44 bytes, then a plane along z a record, with x varying fastest. The cell in
the header is in Mpc, without h.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.formats import Format
from zeldo.files.gadget import gadget_cosmology
from zeldo.files.registry import register_format
from zeldo.particles.particles import Header, Source

HEADER = 44  # bytes of the first record
NAMES = {"displacements": "ic_posc", "velocities": "ic_velc"}


@register_format
class Grafic(Format):
    """A directory with ic_poscx, ic_velcx and so on."""

    name = "grafic"

    def sniff(self, path: Path) -> bool:
        return _directory(path) is not None

    @contextmanager
    def open(self, path: Path, cosmology: Cosmology | None = None) -> Iterator[Source]:
        directory = _directory(path)
        assert directory is not None
        yield _Source(directory, cosmology)


def _directory(path: Path) -> Path | None:
    """The directory of the fields that a path belongs to."""
    for place in (path, path.parent):
        if any((place / f"{stem}x").is_file() for stem in NAMES.values()):
            if place == path.parent and not path.name.startswith("ic_"):
                return None
            return place
    return None


class _Field:
    """One component, [x, y, z], read by planes along x of all its records."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"{path} is missing: give a directory with all three components")
        size = path.stat().st_size
        with open(path, "rb") as stream:
            start = stream.read(HEADER + 8)
        order = next(
            (
                sign
                for sign in "<>"
                if len(start) == HEADER + 8 and np.frombuffer(start, f"{sign}u4")[0] == HEADER
            ),
            None,
        )
        if order is None or np.frombuffer(start[-4:], f"{order}u4")[0] != HEADER:
            raise DamagedFileError(
                f"{path} is not a field of GRAFIC: its first record is not a header; {AGAIN}"
            )
        self.shape = tuple(int(count) for count in np.frombuffer(start[4:16], f"{order}i4"))
        self.values = tuple(float(value) for value in np.frombuffer(start[16:48], f"{order}f4"))
        nx, ny, nz = self.shape
        if min(self.shape) < 1 or not np.isfinite(self.values).all():
            raise DamagedFileError(
                f"{path}: a lattice of {self.shape} and header {self.values} are not possible; {AGAIN}"
            )
        width = next(
            (w for w in (4, 8) if size == HEADER + 8 + nz * (nx * ny * w + 8)),
            None,
        )
        if width is None:
            raise DamagedFileError(
                f"{path}: {size} bytes are not those of {nx} x {ny} x {nz} numbers; {AGAIN}"
            )
        plane = nx * ny * width
        records = np.memmap(path, np.uint8, "r", HEADER + 8, (nz, plane + 8))
        for ends in (records[:, :4], records[:, -4:]):
            if (np.ascontiguousarray(ends).view(f"{order}u4") != plane).any():
                raise DamagedFileError(f"{path}: the lengths of its records contradict each other; {AGAIN}")
        self.dtype = np.dtype(f"{order}f{width}")
        self._records = records[:, 4:-4]

    def load(self) -> np.ndarray:
        """[x, y, z]"""
        nx, ny, nz = self.shape
        values = np.ascontiguousarray(self._records).view(self.dtype).reshape(nz, ny, nx)
        return values.T.astype(self.dtype.newbyteorder("="))


class _Source(Source):
    """Fields in memory: lattice order runs across all records."""

    def __init__(self, directory: Path, fallback: Cosmology | None) -> None:
        kinds = {kind: stem for kind, stem in NAMES.items() if (directory / f"{stem}x").is_file()}
        self._components = {
            kind: [_Field(directory / f"{stem}{axis}") for axis in "xyz"] for kind, stem in kinds.items()
        }
        fields = [field for group in self._components.values() for field in group]
        first = fields[0]
        for field in fields:
            if field.shape != first.shape or field.values != first.values:
                raise DamagedFileError(
                    f"{directory}: the headers of its fields contradict each other; {AGAIN}"
                )
        n = first.shape[0]
        if len(set(first.shape)) != 1:
            raise InputError(
                f"{directory}: a lattice of {first.shape} is not a cube: zeldo reads cubic boxes"
            )
        spacing, *starts, a, omega_m, omega_v, h0 = first.values
        if spacing <= 0 or a <= 0 or h0 <= 0:
            raise DamagedFileError(
                f"{directory}: dx = {spacing}, a = {a} and H0 = {h0} are not possible; {AGAIN}"
            )
        # the header's numbers are float32: 0.3175 is stored as 0.31749999523
        omega_m, omega_v, h, a = (float(f"{value:.6g}") for value in (omega_m, omega_v, h0 / 100, a))
        known = {name: value for name, value in (("omega_m", omega_m), ("h", h)) if value > 0}
        cosmology = gadget_cosmology({}, known, {"OmegaLambda": omega_v}, fallback, directory)
        box = float(f"{n * spacing * h:.6g}")
        notes = [
            "displacements are taken as Mpc/h and velocities as peculiar, in km/s: the files do not say",
            "the header's numbers have single precision: the box is rounded to six digits",
        ]
        offset = tuple(start / spacing for start in starts)
        self._factor = None
        if "displacements" not in kinds:
            if cosmology is None:
                raise InputError(
                    f"{directory} has velocities and no displacements, which follow from them by linear growth: pass the "
                    "cosmology of the run"
                )
            rate = 100 * float(expansion(cosmology, a)) * a * float(growth(cosmology).f1(a))
            self._factor = 1 / rate
            notes.append("displacements are taken as Zel'dovich's, v / (a H f): there are velocities alone")
        types = {"positions": np.dtype(np.float64)}
        if "velocities" in kinds:
            types["velocities"] = first.dtype.newbyteorder("=")
        header = Header(
            count=n**3,
            box=box,
            redshift=float(f"{1 / a - 1:.6g}"),
            cosmology=cosmology,
            parameters=known,
            n=n,
            engine="grafic",
            offset=(offset[0], offset[1], offset[2]),
            stored={
                "format": "GRAFIC2 fields",
                "lengths": "displacements in Mpc/h, cells in Mpc",
                "velocities": "peculiar",
            },
            notes=tuple(notes),
        )
        super().__init__(str(directory), header, types)
        self.stored_fields = dict.fromkeys(types, first.dtype.newbyteorder("="))
        self._loaded: tuple[str, list[np.ndarray]] | None = None

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        kind = "velocities" if field == "velocities" or self._factor else "displacements"
        if self._loaded is None or self._loaded[0] != kind:
            self._loaded = kind, [part.load() for part in self._components[kind]]
        components = [part.reshape(-1)[start:stop] for part in self._loaded[1]]
        values = np.stack(components, axis=1)
        if field == "velocities":
            return values
        n, box, offset = self.header.n, self.header.box, self.header.offset
        assert n is not None and offset is not None
        points = np.stack(np.unravel_index(np.arange(start, stop), (n, n, n)), axis=1)
        return np.mod((points + offset) * (box / n) + values * (self._factor or 1.0), box)
