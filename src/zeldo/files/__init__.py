"""Snapshots: the type, and one file a format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zeldo.errors import InputError, nearest
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology

__all__ = ["SUFFIXES", "Snapshot", "check_writable", "read", "write"]

SUFFIXES = (".hdf5", ".h5", ".npz")


def read(path: str | os.PathLike, cosmology: Cosmology | None = None) -> Snapshot:
    """Read a snapshot, its format by the suffix: Gadget-style .hdf5 or .h5, or zeldo's .npz.

    cosmology: needed only for an HDF5 file of another code that does not say its own in full.
    Raises `InputError` for an unknown suffix or a missing file, `DamagedFileError` for a file that is
    truncated or contradicts itself.
    """
    if _format(path) == ".npz":
        from zeldo.files.npz import read_npz

        return read_npz(path)
    from zeldo.files.hdf5 import read_hdf5

    return read_hdf5(path, cosmology)


def write(snapshot: Snapshot, path: str | os.PathLike) -> Path:
    """Write a snapshot, its format by the suffix, and return the path. A file under that name is replaced.

    The file appears under its name when it is whole: a write that fails or is interrupted leaves nothing.
    Raises `InputError` for an unknown suffix or a directory that is missing or not writable, `ZeldoError` for
    a full disk.
    """
    check_finite(snapshot)
    if _format(path) == ".npz":
        from zeldo.files.npz import write_npz

        return write_npz(snapshot, path)
    from zeldo.files.hdf5 import write_hdf5

    return write_hdf5(snapshot, path)


def check_finite(snapshot: Snapshot) -> None:
    """`InputError` where displacements or velocities are not finite: no reader would take the file."""
    import numpy as np

    for name in ("psi", "vel"):
        field = getattr(snapshot, name)
        if field is not None and not np.isfinite(field).all():
            raise InputError(
                f"{name} of the snapshot ({snapshot.engine}, z = {snapshot.redshift:g}) holds values that are not "
                "finite: it is not written; check the initial conditions and options it was made from"
            )


def check_writable(path: str | os.PathLike) -> Path:
    """The path where `write` could write there, else `InputError`: ask before the work, not after."""
    from zeldo.files import atomic

    _format(path)
    return atomic.check_writable(path)


def _format(path: str | os.PathLike) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path} has the suffix {suffix!r}: give one of {', '.join(SUFFIXES)}{nearest(suffix, SUFFIXES)}"
        )
    return suffix
