"""Writing particles in SWIFT's layout, with all that swiftsimio, pynbody and yt ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY, expansion
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files.formats import Sink
from zeldo.files.hdf5_writing import GROUP, GYR, age, counts_attributes, write_origin, writing_set
from zeldo.files.units import KM, MASS, MPC
from zeldo.particles.particles import Header

if TYPE_CHECKING:
    import h5py

TYPES = 7
NAMES = ("Gas", "DM", "DMBackground", "Sink", "Stars", "BH", "Neutrino")
# exponents of length, mass, time and a, whether it is physical, and what it is
FIELDS = {
    "positions": ((1.0, 0.0, 0.0), 1.0, "a U_L  [ cm ]", "Co-moving position of the particles"),
    "velocities": (
        (1.0, 0.0, -1.0),
        0.0,
        "U_L U_t^-1  [ cm s^-1 ]",
        "Peculiar velocities of the particles. This is a * dx/dt where x is the co-moving position of the particles.",
    ),
    "masses": ((0.0, 1.0, 0.0), 0.0, "U_M  [ g ]", "Masses of the particles"),
    "ids": ((0.0, 0.0, 0.0), 0.0, "[ - ] ", "Unique ID of the particles"),
}


@contextmanager
def writing_swift(path: Path, header: Header, fields: Mapping[str, np.dtype], files: int) -> Iterator[Sink]:
    """A sink to files in SWIFT's layout. `InputError` where h is not known, since SWIFT's units have none."""
    if header.cosmology is None:
        missing = [name for name in Cosmology.required() if name not in header.parameters]
        raise InputError(
            f"files in SWIFT's layout need h and the rest of the cosmology: give {', '.join(missing)}, or "
            "a cosmology by its name"
        )
    h, a = header.cosmology.h, header.scale_factor
    # every particle has its mass, as SWIFT's do
    types = {**fields}
    masses = "masses" in types
    if not masses and header.particle_mass:
        types["masses"] = np.dtype(np.float32)
    units = {"positions": 1 / h, "masses": 1 / h}

    def describe(field: str) -> dict[str, object]:
        return _described(field, a)

    with writing_set(path, header, types, files, _layout, units, describe) as sink:
        yield sink if masses or not header.particle_mass else _WithMasses(sink, fields)


class _WithMasses(Sink):
    """Adds the masses, all one, after the fields that the caller writes."""

    def __init__(self, sink: Sink, fields: Mapping[str, np.dtype]) -> None:
        super().__init__(sink.header, fields)
        self._sink = sink

    def put(self, field: str, start: int, values: np.ndarray) -> None:
        self._sink.write(field, start, values)

    def check_complete(self) -> None:
        super().check_complete()
        count, rows = self.header.count, 2**18
        for start in range(0, count, rows):
            values = np.full(min(rows, count - start), self.header.particle_mass, dtype=np.float32)
            self._sink.write("masses", start, values)
        self._sink.check_complete()


def _one(value: object, dtype: type | None = None) -> np.ndarray:
    """SWIFT's attributes are arrays of one number."""
    return np.atleast_1d(np.asarray(value, dtype=dtype))


def _described(field: str, a: float) -> dict[str, object]:
    (length, mass, time), of_a, expression, description = FIELDS[field]
    unit = MPC**length * MASS**mass * (MPC / KM) ** time
    factors = "including cosmological corrections"
    return {
        "Conversion factor to CGS (not including cosmological corrections)": _one(unit),
        f"Conversion factor to physical CGS ({factors})": _one(unit * a**of_a),
        "Description": np.bytes_(description),
        "Expression for physical CGS units": np.bytes_(expression),
        "Lossy compression filter": np.bytes_("None"),
        "Property can be converted to comoving": _one(field != "ids", np.uint8),
        "Value stored as physical": _one(field == "ids", np.uint8),
        "U_I exponent": _one(0, np.float32),
        "U_L exponent": _one(length, np.float32),
        "U_M exponent": _one(mass, np.float32),
        "U_T exponent": _one(0, np.float32),
        "U_t exponent": _one(time, np.float32),
        "a-scale exponent": _one(of_a, np.float32),
        "h-scale exponent": _one(0, np.float32),
    }


def _layout(file: h5py.File, header: Header, counts: list[int], number: int) -> None:
    cosmology = header.cosmology
    assert cosmology is not None  # `writing_swift` has checked it
    numbers = counts_attributes(counts, number, TYPES)
    numbers["NumFilesPerSnapshot"] = _one(len(counts), np.int32)
    a, box = header.scale_factor, header.box / cosmology.h
    present = np.eye(1, TYPES, 1, dtype=np.int32)[0]
    masses = np.zeros(TYPES)
    masses[1] = (header.particle_mass or 0.0) / cosmology.h
    time = age(cosmology, a) * GYR / (MPC / KM)
    entries = file.create_group("Header")
    entries.attrs.update(
        {
            **numbers,
            "TotalNumberOfParticles": np.asarray(numbers["NumPart_Total"]).astype(np.int64),
            "BoxSize": np.full(3, box),
            "CanHaveTypes": present,
            "Code": np.bytes_("SWIFT"),
            "Dimension": _one(3, np.int32),
            "Flag_Entropy_ICs": np.zeros(TYPES, dtype=np.uint32),
            "InitialMassTable": masses,
            "MassTable": np.zeros(TYPES),
            "NumPartTypes": _one(TYPES, np.int32),
            "OutputType": np.bytes_("FullVolume"),
            "RunName": np.bytes_(header.engine or "zeldo"),
            "Redshift": _one(header.redshift),
            "Scale-factor": _one(a),
            "SelectOutput": np.bytes_("Default"),
            "Shift": np.zeros(3),
            "SnapshotDate": np.bytes_("00:00:00 1970-01-01 UTC"),
            "System": np.bytes_("zeldo"),
            "ThisFile": _one(number, np.int32),
            "Time": _one(time),
            "TimeBase_dloga": _one(1e-10),
            "TimeBase_dt": _one(1e-10),
            "Virtual": _one(0, np.int32),
        }
    )
    entries["PartTypeNames"] = np.array(NAMES, dtype="S32")
    units = {
        "Unit current in cgs (U_I)": 1.0,
        "Unit length in cgs (U_L)": MPC,
        "Unit mass in cgs (U_M)": MASS,
        "Unit temperature in cgs (U_T)": 1.0,
        "Unit time in cgs (U_t)": MPC / KM,
    }
    for group in ("Units", "InternalCodeUnits"):
        file.create_group(group).attrs.update({name: _one(value) for name, value in units.items()})
    file.create_group("Cosmology").attrs.update(_cosmology(cosmology, a, header.redshift))
    file.create_group("Parameters").attrs.update(_parameters(cosmology))
    file.create_group("Policy").attrs.update(
        {
            "cosmological integration": _one(1, np.int32),
            "self gravity": _one(1, np.int32),
            "hydro": _one(0, np.int32),
        }
    )
    file.create_group("Code").attrs.update(
        {"Code": np.bytes_("zeldo"), "Code Version": np.bytes_(header.version or "0")}
    )
    scheme = {"Scheme": np.bytes_("With per-particle softening")}
    file.create_group("GravityScheme").attrs.update(scheme)
    file.create_group("HydroScheme").attrs.update({"Kernel function": np.bytes_("none")})
    names = ("Chemistry", "Cooling", "Feedback")
    file.create_group("SubgridScheme").attrs.update({f"{name} Model": np.bytes_("None") for name in names})
    group = file.create_group(GROUP)
    group.attrs["NumberOfFields"] = _one(4, np.int32)
    group.attrs["NumberOfParticles"] = _one(counts[number])
    group.attrs["TotalNumberOfParticles"] = _one(sum(counts))
    _one_cell(file, box, counts, number)
    write_origin(file, header)


def _one_cell(file: h5py.File, box: float, counts: list[int], number: int) -> None:
    """One cell, the whole box: particles are in lattice order, which no finer cells are."""
    cells = file.create_group("Cells")
    cells["Centres"] = np.full((1, 3), box / 2)
    entries = {"dimension": np.ones(3, np.int32), "nr_cells": _one(1, np.int32), "size": np.full(3, box)}
    cells.create_group("Meta-data").attrs.update(entries)
    for name, value in (("Counts", counts[number]), ("OffsetsInFile", 0)):
        cells[f"{name}/{GROUP}"] = _one(value, np.int64)
    cells[f"Files/{GROUP}"] = _one(number, np.int32)
    cells[f"MinPositions/{GROUP}"] = np.zeros((1, 3))
    cells[f"MaxPositions/{GROUP}"] = np.full((1, 3), box)


def _cosmology(cosmology: Cosmology, a: float, redshift: float) -> dict[str, object]:
    rate = float(expansion(cosmology, a))
    critical = CRITICAL_DENSITY * cosmology.h**2
    values = {
        "Scale-factor": a,
        "Redshift": redshift,
        "h": cosmology.h,
        "Omega_m": cosmology.omega_m,
        "Omega_b": cosmology.omega_b,
        "Omega_cdm": cosmology.omega_m - cosmology.omega_b,
        "Omega_lambda": cosmology.omega_de,
        "w": cosmology.w0 + cosmology.wa * (1 - a),
        "w_0": cosmology.w0,
        "w_a": cosmology.wa,
        "H [internal units]": 100 * cosmology.h * rate,
        "H0 [internal units]": 100 * cosmology.h,
        "Critical density [internal units]": critical * rate**2,
        "Critical density at redshift zero [internal units]": critical,
        "Universe age [internal units]": age(cosmology, a) * GYR / (MPC / KM),
        "a_beg": 1e-3,
        "a_end": 1.0,
    }
    nothing = (
        "N_eff N_ur Omega_g Omega_k Omega_nu Omega_nu_0 Omega_r Omega_ur deg_nu_tot T_CMB_0_[K] "
        "T_CMB_0_[internal_units] T_nu_0_[eV] T_nu_0_[internal_units]"
    )
    values |= {name.replace("_[", " [").replace("l_u", "l u"): 0.0 for name in nothing.split()}
    numbers: dict[str, object] = {name: _one(value) for name, value in values.items()}
    return numbers | {"Cosmological run": _one(1, np.int32), "N_nu": _one(0, np.int32)}


def _parameters(cosmology: Cosmology) -> dict[str, object]:
    """SWIFT's parameter file, as far as readers look into it."""
    values = {
        "Cosmology:Omega_b": cosmology.omega_b,
        "Cosmology:Omega_cdm": cosmology.omega_m - cosmology.omega_b,
        "Cosmology:Omega_lambda": cosmology.omega_de,
        "Cosmology:Omega_m": cosmology.omega_m,
        "Cosmology:h": cosmology.h,
        "Cosmology:w_0": cosmology.w0,
        "Cosmology:w_a": cosmology.wa,
        "InitialConditions:periodic": 1,
        "InternalUnitSystem:UnitLength_in_cgs": MPC,
        "InternalUnitSystem:UnitMass_in_cgs": MASS,
        "InternalUnitSystem:UnitVelocity_in_cgs": KM,
    }
    return {name: np.bytes_(f"{value!r}") for name, value in values.items()}
