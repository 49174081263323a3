"""Headers of Gadget's HDF5 files: counts, units and cosmology, in /Header and /Parameters.

What Gadget has no entry for (the full cosmology, seed, engine, settings) is in the group /Zeldo.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.archive import cosmology_of, number, origin_attributes, required_cosmology
from zeldo.particles.particles import Header

if TYPE_CHECKING:
    import h5py

MPC = 3.085678e24  # cm
MASS = 1.98841e43  # g, 10^10 Msun
KM = 1e5  # cm
UNITS = {"UnitLength_in_cm": MPC, "UnitMass_in_g": MASS, "UnitVelocity_in_cm_per_s": KM}
GADGET_NAMES = {
    "omega_m": "Omega0",
    "omega_b": "OmegaBaryon",
    "h": "HubbleParam",
    "sigma_8": "Sigma8",
    "n_s": "PrimordialIndex",
}


def write_attributes(header: Header, file: h5py.File) -> None:
    """Write the header of particles into the groups /Header, /Parameters and /Zeldo of a file."""
    cosmology, count = required_cosmology(header), header.count
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
    zeldo_attributes = file.create_group("Zeldo").attrs
    zeldo_attributes.update(cosmology.to_dict())
    zeldo_attributes["format"] = np.int32(1)
    if header.n is not None:
        zeldo_attributes["n"] = header.n
    zeldo_attributes.update(origin_attributes(header))


def particle_count(header: Mapping[str, Any], group: h5py.Group, path: Path) -> int:
    """The number of particles, checked to be the same in every entry of the file."""
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


def parameters_of(header: Mapping[str, Any], file: h5py.File, path: Path) -> dict[str, Any]:
    """The entries of /Parameters. `DamagedFileError` where /Header contradicts one of them."""
    parameters: dict[str, Any] = dict(file["Parameters"].attrs) if "Parameters" in file else {}
    for name in ("BoxSize", *GADGET_NAMES.values(), "OmegaLambda", *UNITS):
        if name in header and name in parameters:
            in_header, in_parameters = number(header, name, path), number(parameters, name, path)
            if abs(in_header - in_parameters) > 1e-6 * abs(in_header):
                raise DamagedFileError(
                    f"{path}: {name} is {in_header:g} in /Header and {in_parameters:g} in /Parameters: "
                    f"they must agree; {AGAIN}"
                )
    return parameters


def gadget_cosmology(
    zeldo_attributes: Mapping[str, Any],
    gadget_values: Mapping[str, float],
    parameters: Mapping[str, Any],
    fallback: Cosmology | None,
    path: Path,
) -> Cosmology | None:
    """The full cosmology of the file, or else the fallback. `DamagedFileError` where the file contradicts it."""
    cosmology = cosmology_of(zeldo_attributes, path) if "omega_m" in zeldo_attributes else fallback
    if cosmology is None and len(gadget_values) == len(GADGET_NAMES):
        cosmology = cosmology_of(gadget_values, path)
    if cosmology is None:
        return None
    # Gadget's Sigma8 and so on describe initial conditions that it makes itself, and may not apply to others
    for name in GADGET_NAMES if "omega_m" in zeldo_attributes else ("omega_m", "h"):
        if name in gadget_values and abs(gadget_values[name] / getattr(cosmology, name) - 1) > 1e-4:
            raise DamagedFileError(
                f"{path}: {GADGET_NAMES[name]} = {gadget_values[name]:g} in the header contradicts {name} = "
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
