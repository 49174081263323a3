"""Snapshots as HDF5 in the layout of Gadget-4 (Springel et al. 2021, arXiv:2010.03567).

Lengths are in Mpc/h, masses in 10^10 Msun/h, and velocities in km/s divided by sqrt(a), as in Gadget. The ids of a
lattice count from 1 in lattice order. What Gadget has no entry for (the full cosmology, seed, engine, settings) is in
the group /Zeldo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import AGAIN, DamagedFileError, ZeldoError
from zeldo.files.archive import existing_file, number, positive, read_origin, redshift_of
from zeldo.files.atomic import writing
from zeldo.files.formats import DAMAGED, Format, Sink, register_format
from zeldo.files.gadget import (
    GADGET_NAMES,
    KM,
    MASS,
    MPC,
    UNITS,
    gadget_cosmology,
    parameters_of,
    particle_count,
    write_attributes,
)
from zeldo.particles.particles import FIELDS, Header, Source

if TYPE_CHECKING:
    import h5py

GROUP = "PartType1"
NAMES = {"positions": "Coordinates", "velocities": "Velocities", "ids": "ParticleIDs", "masses": "Masses"}
SIGNATURE = b"\x89HDF\r\n\x1a\n"
# how a field scales with a, h and length, mass and velocity, and its unit in CGS and as Gadget names it
SCALING = {
    "positions": ({"a": 1.0, "h": -1.0, "length": 1.0}, MPC, "U_L"),
    "velocities": ({"a": 0.5, "velocity": 1.0}, KM, "U_V"),
    "masses": ({"h": -1.0, "mass": 1.0}, MASS, "U_M"),
}


@register_format
class GadgetHDF5(Format):
    """One file of dark matter in the layout of Gadget-3 and Gadget-4."""

    name = "gadget-hdf5"
    suffixes = (".hdf5", ".h5")

    def sniff(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with open(path, "rb") as stream:
            return stream.read(len(SIGNATURE)) == SIGNATURE

    @contextmanager
    def open(self, path: Path, cosmology: Cosmology | None = None) -> Iterator[Source]:
        import h5py

        with _readable(existing_file(path)):
            file = h5py.File(path, "r", locking=False)
        with file:
            with _readable(path):
                source = _open_source(file, path, cosmology)
            yield source

    @contextmanager
    def create(self, path: Path, header: Header, fields: Mapping[str, np.dtype]) -> Iterator[Sink]:
        size = header.count * sum(
            dtype.itemsize * int(np.prod(FIELDS[name])) for name, dtype in fields.items()
        )
        with writing(path, size + 16384) as temporary:
            offsets = _create_layout(temporary, header, fields)
            with open(temporary, "r+b") as stream:
                yield _Sink(stream, header, fields, offsets)


def _create_layout(path: Path, header: Header, fields: Mapping[str, np.dtype]) -> dict[str, int]:
    """Create the file with room for its fields, and return the offset of each in bytes."""
    import h5py

    with h5py.File(path, "w") as file:
        write_attributes(header, file)
        group, offsets = file.create_group(GROUP), {}
        for field, dtype in fields.items():
            now = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            now.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            now.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            data = group.create_dataset(NAMES[field], (header.count, *FIELDS[field]), dtype, dcpl=now)
            if field in SCALING:
                data.attrs.update(_scaling(*SCALING[field]))
            offsets[field] = data.id.get_offset()
        return offsets


class _Sink(Sink):
    def __init__(
        self, stream: IO[bytes], header: Header, fields: Mapping[str, np.dtype], offsets: Mapping[str, int]
    ) -> None:
        super().__init__(header, fields)
        self._stream, self._offsets = stream, offsets
        self._root = np.float32(np.sqrt(header.scale_factor))

    def put(self, field: str, start: int, values: np.ndarray) -> None:
        if field == "velocities":
            values = values / self._root
        if not start:
            self._stream.seek(self._offsets[field])
        self._stream.write(values.data)


def _scaling(powers: Mapping[str, float], cgs: float, unit: str) -> dict[str, object]:
    """A unit, in the form of Gadget-4 and in the form that older readers (pynbody) expect."""
    names = ("a", "h", "length", "mass", "velocity")
    return {f"{name}_scaling": powers.get(name, 0.0) for name in names} | {
        "to_cgs": cgs,
        "VarDescription": unit,
        "CGSConversionFactor": cgs,
        "aexp-scale-exponent": powers.get("a", 0.0),
        "h-scale-exponent": powers.get("h", 0.0),
    }


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises inside into a `DamagedFileError` of one line."""
    try:
        yield
    except ZeldoError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split()).strip("'\"")
        raise DamagedFileError(
            f"{path} is not a readable HDF5 snapshot ({reason}): it is damaged or incomplete, {AGAIN}"
        ) from error


class _Source(Source):
    """scales: what the numbers of a field are multiplied by."""

    def __init__(
        self,
        group: h5py.Group,
        path: Path,
        header: Header,
        dtypes: dict[str, np.dtype],
        scales: dict[str, float],
    ) -> None:
        super().__init__(str(path), header, dtypes)
        self._group, self._path, self._scales = group, path, scales

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        with _readable(self._path):
            values = self._group[NAMES[field]][start:stop]
        scale = self._scales.get(field, 1.0)
        if field == "velocities":
            values = values.astype(np.float32, copy=False)
            values *= np.float32(scale)
            return values
        return values * scale if scale != 1.0 else values


def _open_source(file: h5py.File, path: Path, fallback: Cosmology | None) -> Source:
    for name in ("Header", f"{GROUP}/Coordinates", f"{GROUP}/ParticleIDs"):
        if name not in file:
            raise DamagedFileError(f"{path} lacks /{name}: zeldo reads Gadget's layout; {AGAIN}")
    header: dict[str, Any] = dict(file["Header"].attrs)
    for name in ("BoxSize", "MassTable", "NumPart_ThisFile", "NumPart_Total", "Redshift"):
        if name not in header:
            raise DamagedFileError(f"{path} lacks {name} in /Header: it must say it; {AGAIN}")
    parameters = {**header, **parameters_of(header, file, path)}
    zeldo_attributes: dict[str, Any] = dict(file["Zeldo"].attrs) if "Zeldo" in file else {}
    group = file[GROUP]
    count = particle_count(header, group, path)
    dtypes = _dtypes(group, count, path)
    gadget_values = {
        name: number(parameters, key, path) for name, key in GADGET_NAMES.items() if key in parameters
    }
    cosmology = gadget_cosmology(zeldo_attributes, gadget_values, parameters, fallback, path)
    box, mass = positive(header, "BoxSize", path), float(np.asarray(header["MassTable"])[1])
    if mass:
        dtypes.pop("masses", None)
    redshift = redshift_of(header, "Redshift", path)
    a = number(header, "Time", path) if "Time" in header else 1 / (1 + redshift)
    if a <= 0 or not same_redshift(1 / a - 1, redshift):
        raise DamagedFileError(
            f"{path}: Time = {a:g} and Redshift = {redshift:g} contradict each other; {AGAIN}"
        )
    units = {
        name: number(parameters, name, path) / unit for name, unit in UNITS.items() if name in parameters
    }
    length, in_mass = units.get("UnitLength_in_cm", 1.0), units.get("UnitMass_in_g", 1.0)
    if "UnitLength_in_cm" not in units:
        omega_m = cosmology.omega_m if cosmology is not None else gadget_values.get("omega_m", np.nan)
        first = float(group["Masses"][0]) if "masses" in dtypes else mass
        if abs(first / (CRITICAL_DENSITY * omega_m * (box / 1e3) ** 3 / count) - 1) < 1e-2:
            length = 1e-3  # Gadget's own default, kpc/h, and the mass agrees
    speed = np.sqrt(1 / (1 + redshift)) * units.get(
        "UnitVelocity_in_cm_per_s", 1.0
    )  # Gadget's u = v / sqrt(a)
    particles_header = Header(
        count=count,
        box=box * length,
        redshift=redshift,
        cosmology=cosmology,
        parameters=gadget_values,
        particle_mass=None if "masses" in dtypes else mass * in_mass,
        extra=header,
        **read_origin(zeldo_attributes, path, "gadget"),
    )
    return _Source(
        group, path, particles_header, dtypes, {"positions": length, "velocities": speed, "masses": in_mass}
    )


def _dtypes(group: h5py.Group, count: int, path: Path) -> dict[str, np.dtype]:
    """The type of each field that exists, after a check of its shape."""
    dtypes = {}
    for field, name in NAMES.items():
        if name not in group:
            continue
        data, kind = group[name], "iu" if field == "ids" else "f"
        if data.shape != (count, *FIELDS[field]) or data.dtype.kind not in kind:
            wanted = f"whole numbers, ({count},)" if field == "ids" else (count, *FIELDS[field])
            raise DamagedFileError(f"{path}: {name} are {data.dtype} {data.shape}, not {wanted}; {AGAIN}")
        dtypes[field] = np.dtype(np.float32) if field == "velocities" else data.dtype
    return dtypes
