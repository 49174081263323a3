"""Headers of Gadget's binary files, of 256 bytes, and of Gadget-4's own, whose length depends on its number of types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError

ByteOrder = Literal["<", ">"]
SIZE = 256
FIELDS_OF_GADGET2 = [
    ("npart", "u4", 6),
    ("mass", "f8", 6),
    ("time", "f8"),
    ("redshift", "f8"),
    ("flag_sfr", "i4"),
    ("flag_feedback", "i4"),
    ("nall", "u4", 6),
    ("flag_cooling", "i4"),
    ("num_files", "i4"),
    ("box", "f8"),
    ("omega_m", "f8"),
    ("omega_lambda", "f8"),
    ("h", "f8"),
    ("flag_stellarage", "i4"),
    ("flag_metals", "i4"),
    ("nall_high", "u4", 6),
    ("flag_entropy", "i4"),
    ("flag_double", "i4"),
    ("flag_ics", "i4"),
    ("lpt_scale", "f4"),
    ("padding", "V48"),
]
PART = b"zeldo: part of the matter"  # in the padding, of particles that others stand beside
TYPES = range(1, 17)  # that Gadget-4 may be built with


def gadget2_dtype(order: ByteOrder) -> np.dtype:
    """The 256 bytes of Gadget-1 and -2, in a byte order."""
    return np.dtype(FIELDS_OF_GADGET2).newbyteorder(order)


def gadget4_dtype(types: int, order: ByteOrder) -> np.dtype:
    """The header of Gadget-4 that is not built for Gadget-2's: 24 bytes a type, and 48."""
    return np.dtype(
        [
            ("npart", "i8", types),
            ("nall", "i8", types),
            ("mass", "f8", types),
            ("time", "f8"),
            ("redshift", "f8"),
            ("box", "f8"),
            ("num_files", "i4"),
            ("padding", "V4"),
            ("trees", "i8", 2),
        ]
    ).newbyteorder(order)


def gadget4_types(length: int) -> int | None:
    """The number of types whose header has this length, None where there is none."""
    types, rest = divmod(length - 48, 24)
    return types if rest == 0 and types in TYPES else None


@dataclass(frozen=True)
class BinaryHeader:
    """What the header of one file says; sizes in the file's units.

    Parameters
    ----------
    npart, nall : tuple of int
        Particles of each type in this file, and in all.
    mass : tuple of float
        Of a particle of each type; 0 where particles have their own.
    parameters : dict of str to float
        Omega0, OmegaLambda, HubbleParam, under Gadget's names, as far as the header has them.
    """

    npart: tuple[int, ...]
    nall: tuple[int, ...]
    mass: tuple[float, ...]
    time: float
    redshift: float
    box: float
    num_files: int
    parameters: dict[str, float]
    gadget4: bool
    part: bool = False


def parse(content: bytes, order: ByteOrder, path: Path) -> BinaryHeader:
    """The header of a file from its first record. `DamagedFileError` for one of another length."""
    if len(content) == SIZE:
        values = np.frombuffer(content, gadget2_dtype(order))[0]
        parameters = {
            "Omega0": float(values["omega_m"]),
            "OmegaLambda": float(values["omega_lambda"]),
            "HubbleParam": float(values["h"]),
        }
    else:
        types = gadget4_types(len(content))
        if types is None:
            raise DamagedFileError(f"{path}: a header of {len(content)} bytes is not Gadget's; {AGAIN}")
        values = np.frombuffer(content, gadget4_dtype(types, order))[0]
        parameters = {}
    npart = tuple(int(count) for count in values["npart"])
    # the high words are wrong in files of several codes: the counts of all files are compared with the low ones
    nall = tuple(int(count) for count in values["nall"])
    if min(*npart, *nall) < 0:
        raise DamagedFileError(f"{path}: its header counts {npart} of {nall} particles; {AGAIN}")
    return BinaryHeader(
        npart=npart,
        nall=nall,
        mass=tuple(float(mass) for mass in values["mass"]),
        time=float(values["time"]),
        redshift=float(values["redshift"]),
        box=float(values["box"]),
        num_files=max(1, int(values["num_files"])),
        parameters=parameters,
        gadget4=len(content) != SIZE,
        part=values["padding"].tobytes().startswith(PART),
    )
