"""Writing particles as HDF5, in one file or several, with a checksum on everything: data, headers and indices.

Data sets are chunked with HDF5's Fletcher-32. The file's own structures have the checksums of HDF5 1.10, and texts are of
fixed length, since those of variable length have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.files.entries import origin_attributes
from zeldo.files.formats import Sink
from zeldo.files.gadget import GADGET_NAMES
from zeldo.files.hdf5_set import NAMES, files_of
from zeldo.files.parted import PartedSink, split
from zeldo.files.sets import writing_parts
from zeldo.files.units import KM, MASS, MPC
from zeldo.particles.particles import FIELDS, Header, known_parameters, row_bytes

if TYPE_CHECKING:
    import h5py

GROUP = "PartType1"
CHUNK = 32768  # rows; a chunk of positions fits HDF5's cache of 1 MiB
CGS_UNITS = {"UnitLength_in_cm": MPC, "UnitMass_in_g": MASS, "UnitVelocity_in_cm_per_s": KM}
# how a field scales with a, h and length, mass and velocity, and its unit in CGS and as Gadget names it
SCALING = {
    "positions": ({"a": 1.0, "h": -1.0, "length": 1.0}, MPC, "U_L"),
    "velocities": ({"a": 0.5, "velocity": 1.0}, KM, "U_V"),
    "masses": ({"h": -1.0, "mass": 1.0}, MASS, "U_M"),
}
GYR = 3.15576e16  # s
Layout = Callable[["h5py.File", Header, list[int], int], None]


def writing_gadget(
    path: Path, header: Header, fields: Mapping[str, np.dtype], files: int
) -> AbstractContextManager[Sink]:
    """A sink to files in Gadget-4's layout."""
    velocities = header.scale_factor**-0.5
    return writing_set(path, header, fields, files, _layout, {"velocities": velocities}, _scaling)


@contextmanager
def writing_set(
    path: Path,
    header: Header,
    fields: Mapping[str, np.dtype],
    files: int,
    layout: Layout,
    factors: Mapping[str, float],
    describe: Callable[[str], Mapping[str, object]],
) -> Iterator[Sink]:
    """A sink to one file or several, which appear together, as of `writing_parts`.

    Parameters
    ----------
    path : Path
        The name of the file; of a set, the parts are NAME.0.hdf5 and so on.
    layout : callable
        (file, header, rows of each part, number of the part): writes all groups but the particles'.
    factors : mapping of str to float
        What the values of a field are multiplied by.
    describe : callable
        Field to the attributes of its data set.
    """
    if "ids" not in fields:
        header = replace(header, n=None)  # readers of a lattice ask for its ids
    counts = split(header.count, files)
    sizes = [count * row_bytes(fields) + 16384 for count in counts]
    with writing_parts(path, sizes, files_of) as temporary:
        for number, (name, count) in enumerate(zip(temporary, counts, strict=True)):
            with _opened(name, "w") as file:
                layout(file, header, counts, number)
                _create_data(file, count, fields, describe)
        with _Sink(temporary, counts, header, fields, factors) as sink:
            yield sink


def _opened(path: Path, mode: str) -> h5py.File:
    import h5py

    # no locks: many file systems have none, and nobody else knows the temporary name
    return h5py.File(path, mode, locking=False, libver=("v110", "v110"))


def _create_data(
    file: h5py.File,
    count: int,
    fields: Mapping[str, np.dtype],
    describe: Callable[[str], Mapping[str, object]],
) -> None:
    group = file.require_group(GROUP)
    for field, dtype in fields.items():
        shape = (count, *FIELDS[field])
        chunks = (min(count, CHUNK), *FIELDS[field])
        # a part without particles has no chunks
        options = {"chunks": chunks, "fletcher32": True} if count else {}
        data = group.create_dataset(NAMES[field], shape, dtype, **options)
        data.attrs.update(describe(field))


class _Sink(PartedSink):
    """One file and one data set are open at a time, so that rows gather in HDF5's cache until a chunk is full."""

    def __init__(
        self,
        paths: list[Path],
        counts: list[int],
        header: Header,
        fields: Mapping[str, np.dtype],
        factors: Mapping[str, float],
    ) -> None:
        super().__init__(header, fields, counts)
        self._paths, self._factors = paths, factors
        self._place: tuple[int, str] | None = None
        self._file: h5py.File | None = None
        self._data: Any = None

    def close(self) -> None:
        self._data = None
        if self._file is not None:
            self._file.close()
            self._file = self._place = None

    def converted(self, field: str, values: np.ndarray) -> np.ndarray:
        factor = self._factors.get(field, 1.0)
        return values if factor == 1.0 else values * values.dtype.type(factor)

    def store(self, part: int, field: str, start: int, values: np.ndarray) -> None:
        self._dataset(part, field)[start : start + len(values)] = values

    def _dataset(self, part: int, field: str) -> Any:
        if self._place != (part, field):
            if self._place is None or self._place[0] != part:
                self.close()
                self._file = _opened(self._paths[part], "r+")
            assert self._file is not None
            self._data, self._place = self._file[GROUP][NAMES[field]], (part, field)
        return self._data


def _scaling(field: str) -> dict[str, object]:
    """A unit, in the form of Gadget-4 and in the form that older readers (pynbody) expect; {} for a field without."""
    if field not in SCALING:
        return {}
    powers, cgs, unit = SCALING[field]
    names = ("a", "h", "length", "mass", "velocity")
    return {f"{name}_scaling": powers.get(name, 0.0) for name in names} | {
        "to_cgs": cgs,
        "VarDescription": np.bytes_(unit),
        "CGSConversionFactor": cgs,
        "aexp-scale-exponent": powers.get("a", 0.0),
        "h-scale-exponent": powers.get("h", 0.0),
    }


def counts_attributes(counts: list[int], number: int, types: int = 6) -> dict[str, object]:
    """The entries of /Header that count the particles of type 1, in this file and in all."""
    here, total = np.zeros(types, dtype=np.uint64), np.zeros(types, dtype=np.uint64)
    here[1], total[1] = counts[number], sum(counts)
    return {
        "NumPart_ThisFile": here,
        "NumPart_Total": total,
        "NumPart_Total_HighWord": (total >> np.uint64(32)).astype(np.uint32),
        "NumFilesPerSnapshot": np.int32(len(counts)),
    }


def write_origin(file: h5py.File, header: Header) -> None:
    """The group /Zeldo: the cosmology as far as it is known, and where the particles come from."""
    attributes = file.create_group("Zeldo").attrs
    attributes["format"] = np.int32(2)
    if header.n is not None:
        attributes["n"] = header.n
    for name, value in {**known_parameters(header), **origin_attributes(header)}.items():
        if not isinstance(value, str):
            attributes[name] = value
        elif value:
            attributes[name] = np.bytes_(value.encode())


def _layout(file: h5py.File, header: Header, counts: list[int], number: int) -> None:
    parameters = known_parameters(header)
    densities = {GADGET_NAMES[name]: value for name, value in parameters.items() if name in GADGET_NAMES}
    primordial: dict[str, object] = {
        name: densities.pop(name) for name in ("Sigma8", "PrimordialIndex") if name in densities
    }
    if "omega_m" in parameters:
        densities["OmegaLambda"] = 1 - parameters["omega_m"]
    cosmology = header.cosmology
    names = ("Sfr", "Cooling", "Feedback", "StellarAge", "Metals")
    flags: dict[str, object] = {f"Flag_{name}": np.int32(0) for name in names}
    file.create_group("Header").attrs.update(
        {
            "BoxSize": header.box,
            "MassTable": np.array([0.0, header.particle_mass or 0.0, 0.0, 0.0, 0.0, 0.0]),
            **counts_attributes(counts, number),
            "Redshift": header.redshift,
            "Time": header.scale_factor,
            "Time_GYR": age(cosmology, header.scale_factor) if cosmology is not None else 0.0,
            **flags,
            **densities,
            **CGS_UNITS,
        }
    )
    # Gadget-4 and its readers look here for what older versions had in the header
    known: dict[str, object] = {**primordial, **densities, **CGS_UNITS}
    entries = {"BoxSize": header.box, "Hubble": 100.0, "ComovingIntegrationOn": np.int32(1)}
    file.create_group("Parameters").attrs.update({**entries, **known})
    # yt takes lengths for kpc/h but in the layout of OWLS, which it knows by these two groups
    file.create_group("Units").attrs.update(
        {
            **CGS_UNITS,
            "UnitTime_in_s": MPC / KM,
            "UnitEnergy_in_cgs": MASS * KM**2,
            "UnitDensity_in_cgs": MASS / MPC**3,
        }
    )
    file.create_group("Constants").attrs.update(
        {"GRAVITY": 6.6743e-8, "CM_PER_MPC": MPC, "SOLAR_MASS": MASS / 1e10}
    )
    write_origin(file, header)


def age(cosmology: Cosmology, a: float) -> float:
    """The age of the universe at a scale factor, 10^9 years."""
    from scipy.integrate import quad

    from zeldo.cosmology.background import expansion

    # t = integral of da / (a H), by x = a^(3/2) regular at 0
    value = quad(lambda x: (2 / 3) / (x * float(expansion(cosmology, x ** (2 / 3)))), 0, a**1.5)[0]
    return value * MPC / KM / 100 / cosmology.h / GYR
