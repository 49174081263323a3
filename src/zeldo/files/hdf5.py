"""Snapshots as HDF5 in the layout of Gadget-4 (Springel et al. 2021, arXiv:2010.03567).

Lengths Mpc/h, masses 10^10 Msun/h, velocities km/s divided by sqrt(a), as Gadget has them; the ids of a lattice
count from 1 in its order. What Gadget has no place for (the whole cosmology, seed, engine, settings) stands in /Zeldo.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError, ZeldoError
from zeldo.files.archive import (
    COSMOLOGY,
    cosmology_of,
    drawn,
    existing,
    integer,
    known_cosmology,
    number,
    positive,
    redshift_of,
    settings_of,
)
from zeldo.files.atomic import writing
from zeldo.files.formats import DAMAGED, Format, Sink, register_format
from zeldo.particles.particles import FIELDS, Header, Source
from zeldo.particles.snapshot import DRAWN

if TYPE_CHECKING:
    import h5py

MPC = 3.085678e24  # cm
MASS = 1.98841e43  # g, 10^10 Msun
KM = 1e5  # cm
UNITS = {"UnitLength_in_cm": MPC, "UnitMass_in_g": MASS, "UnitVelocity_in_cm_per_s": KM}
GROUP = "PartType1"
NAMES = {"positions": "Coordinates", "velocities": "Velocities", "ids": "ParticleIDs", "masses": "Masses"}
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SAID = {
    "omega_m": "Omega0",
    "omega_b": "OmegaBaryon",
    "h": "HubbleParam",
    "sigma_8": "Sigma8",
    "n_s": "PrimordialIndex",
}
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

        with _readable(existing(path)):
            file = h5py.File(path, "r", locking=False)
        with file:
            with _readable(path):
                source = _read(file, path, cosmology)
            yield source

    @contextmanager
    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype], **options: Any
    ) -> Iterator[Sink]:
        size = header.count * sum(
            dtype.itemsize * int(np.prod(FIELDS[name])) for name, dtype in fields.items()
        )
        with writing(path, size + 16384) as temporary:
            offsets = _lay_out(temporary, header, fields)
            with open(temporary, "r+b") as stream:
                yield _Sink(stream, header, fields, offsets)


def _lay_out(path: Path, header: Header, fields: Mapping[str, np.dtype]) -> dict[str, int]:
    """Make the file with room for its fields, and return where each begins.

    The fields are then written without the library, which dies of a disk that fills up.
    """
    import h5py

    with h5py.File(path, "w") as file:
        _write_attributes(header, file)
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
    """A unit said twice: as Gadget-4 says it, and as older readers (pynbody) expect it."""
    names = ("a", "h", "length", "mass", "velocity")
    return {f"{name}_scaling": powers.get(name, 0.0) for name in names} | {
        "to_cgs": cgs,
        "VarDescription": unit,
        "CGSConversionFactor": cgs,
        "aexp-scale-exponent": powers.get("a", 0.0),
        "h-scale-exponent": powers.get("h", 0.0),
    }


def _write_attributes(header: Header, file: h5py.File) -> None:
    cosmology, count = known_cosmology(header), header.count
    counts = np.array([0, count, 0, 0, 0, 0], dtype=np.uint64)
    densities = {
        "Omega0": cosmology.omega_m,
        "OmegaLambda": cosmology.omega_de,
        "OmegaBaryon": cosmology.omega_b,
        "HubbleParam": cosmology.h,
    }
    file.create_group("Header").attrs.update(
        {
            "BoxSize": header.box,
            "MassTable": np.array([0.0, header.particle_mass or 0.0, 0.0, 0.0, 0.0, 0.0]),
            "NumPart_ThisFile": counts,
            "NumPart_Total": counts,
            "NumPart_Total_HighWord": np.zeros(6, dtype=np.uint32),
            "NumFilesPerSnapshot": np.int32(1),
            "Redshift": header.redshift,
            "Time": header.scale_factor,
            **{
                f"Flag_{name}": np.int32(0) for name in ("Sfr", "Cooling", "Feedback", "StellarAge", "Metals")
            },
            **densities,
            **UNITS,
        }
    )
    # Gadget-4 and its readers look here for what older versions had in the header
    file.create_group("Parameters").attrs.update(
        {
            "BoxSize": header.box,
            "Hubble": 100.0,
            "ComovingIntegrationOn": np.int32(1),
            "Sigma8": cosmology.sigma_8,
            "PrimordialIndex": cosmology.n_s,
            **densities,
            **UNITS,
        }
    )
    own = file.create_group("Zeldo").attrs
    own.update({name: getattr(cosmology, name) for name in COSMOLOGY})
    own["format"] = np.int32(1)
    if header.n is not None:
        own["n"] = header.n
    own.update({"engine": header.engine, "version": header.version})
    own["settings"] = json.dumps(dict(header.settings), default=str)
    said = {name: getattr(header, name) for name in ("seed", *DRAWN)}
    own.update({name: value for name, value in said.items() if value is not None})


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """`DamagedFileError`, one line, for whatever h5py raises inside."""
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


def _read(file: h5py.File, path: Path, given: Cosmology | None) -> Source:
    for name in ("Header", f"{GROUP}/Coordinates", f"{GROUP}/ParticleIDs"):
        if name not in file:
            raise DamagedFileError(f"{path} lacks /{name}: zeldo reads Gadget's layout; {AGAIN}")
    header: dict[str, Any] = dict(file["Header"].attrs)
    for name in ("BoxSize", "MassTable", "NumPart_ThisFile", "NumPart_Total", "Redshift"):
        if name not in header:
            raise DamagedFileError(f"{path} lacks {name} in /Header: it must say it; {AGAIN}")
    parameters = {**header, **_parameters(header, file, path)}
    own: dict[str, Any] = dict(file["Zeldo"].attrs) if "Zeldo" in file else {}
    group = file[GROUP]
    count = _count(header, group, path)
    dtypes = _dtypes(group, count, path)
    said = {name: number(parameters, key, path) for name, key in SAID.items() if key in parameters}
    cosmology = _cosmology(own, said, parameters, given, path)
    box, mass = positive(header, "BoxSize", path), float(np.asarray(header["MassTable"])[1])
    if mass:
        dtypes.pop("masses", None)
    redshift = redshift_of(header, "Redshift", path)
    a = number(header, "Time", path) if "Time" in header else 1 / (1 + redshift)
    if abs(a * (1 + redshift) - 1) > 1e-3:
        raise DamagedFileError(
            f"{path}: Time = {a:g} and Redshift = {redshift:g} contradict each other; {AGAIN}"
        )
    units = {
        name: number(parameters, name, path) / unit for name, unit in UNITS.items() if name in parameters
    }
    length, in_mass = units.get("UnitLength_in_cm", 1.0), units.get("UnitMass_in_g", 1.0)
    if "UnitLength_in_cm" not in units:
        omega_m = cosmology.omega_m if cosmology is not None else said.get("omega_m", np.nan)
        first = float(group["Masses"][0]) if "masses" in dtypes else mass
        if abs(first / (CRITICAL_DENSITY * omega_m * (box / 1e3) ** 3 / count) - 1) < 1e-2:
            length = 1e-3  # Gadget's own default, kpc/h, and the mass agrees
    speed = np.sqrt(1 / (1 + redshift)) * units.get(
        "UnitVelocity_in_cm_per_s", 1.0
    )  # Gadget's u = v / sqrt(a)
    found = Header(
        count=count,
        box=box * length,
        redshift=redshift,
        cosmology=cosmology,
        parameters=said,
        particle_mass=None if "masses" in dtypes else mass * in_mass,
        engine=str(own.get("engine", "gadget")),
        settings=settings_of(own, path),
        version=str(own.get("version", "")),
        seed=integer(own, "seed", path) if "seed" in own else None,
        extra=header,
        **drawn(own, path),
    )
    return _Source(group, path, found, dtypes, {"positions": length, "velocities": speed, "masses": in_mass})


def _dtypes(group: h5py.Group, count: int, path: Path) -> dict[str, np.dtype]:
    """The type of each field that is there, once its shape is right."""
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


def _count(header: Mapping[str, Any], group: h5py.Group, path: Path) -> int:
    """Number of particles, the same wherever the file says it."""
    if int(header.get("NumFilesPerSnapshot", 1)) != 1:
        raise InputError(
            f"{path} is one of {int(header['NumFilesPerSnapshot'])} files of a snapshot: "
            "zeldo reads single files; join them first"
        )
    count = len(group["ParticleIDs"])
    for name in ("NumPart_ThisFile", "NumPart_Total"):
        numbers = np.asarray(header[name]).astype(np.int64)
        if numbers.sum() != numbers[1]:
            raise InputError(f"{path}: {name} = {numbers.tolist()}: zeldo reads particles of type 1 only")
        if numbers[1] != count:
            raise DamagedFileError(
                f"{path}: {name} says {numbers[1]} particles but there are {count} ids; {AGAIN}"
            )
    return count


def _parameters(header: Mapping[str, Any], file: h5py.File, path: Path) -> dict[str, Any]:
    """What stands in /Parameters; where /Header says it too, both must agree."""
    parameters: dict[str, Any] = dict(file["Parameters"].attrs) if "Parameters" in file else {}
    for name in ("BoxSize", *SAID.values(), "OmegaLambda", *UNITS):
        if name in header and name in parameters:
            one, other = number(header, name, path), number(parameters, name, path)
            if abs(one - other) > 1e-6 * abs(one):
                raise DamagedFileError(
                    f"{path}: {name} is {one:g} in /Header and {other:g} in /Parameters: they must agree; {AGAIN}"
                )
    return parameters


def _cosmology(
    own: Mapping[str, Any],
    said: Mapping[str, float],
    parameters: Mapping[str, Any],
    given: Cosmology | None,
    path: Path,
) -> Cosmology | None:
    """The file's, in full, or what is given. `DamagedFileError` where the file contradicts it."""
    cosmology = cosmology_of(own, path) if "omega_m" in own else given
    if cosmology is None and len(said) == len(SAID):
        cosmology = cosmology_of(said, path)
    if cosmology is None:
        return None
    # Gadget's Sigma8 and so on are of the initial conditions that it makes itself, and may be of no others
    for name in SAID if "omega_m" in own else ("omega_m", "h"):
        if name in said and abs(said[name] / getattr(cosmology, name) - 1) > 1e-4:
            raise DamagedFileError(
                f"{path}: {SAID[name]} = {said[name]:g} in the header contradicts {name} = "
                f"{getattr(cosmology, name):g}; {AGAIN}, or pass its cosmology"
            )
    if "OmegaLambda" in parameters:
        dark = number(parameters, "OmegaLambda", path)
        if abs(dark - cosmology.omega_de) > 1e-3:
            raise InputError(
                f"{path}: Omega0 = {cosmology.omega_m:g} and OmegaLambda = {dark:g} make no flat universe: "
                "zeldo reads flat ones only"
            )
    return cosmology
