"""FastPM's linear density as modes, a bigfile block LinearDensityK: 1 + delta today, (1/N) sum (1 + delta) exp(-ikx)."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.bigfile import block, block_attributes, is_block
from zeldo.files.entries import integer, positive
from zeldo.files.formats import Format
from zeldo.files.registry import register_format
from zeldo.initial.conditions import InitialConditions
from zeldo.mesh.fft import zero_nyquist
from zeldo.particles.particles import Source

NAME = "LinearDensityK"


@register_format
class LinearDensity(Format):
    """A linear field. It is recognised only to be refused as particles: `read_linear_density` reads it."""

    name = "linear-density"

    def sniff(self, path: Path) -> bool:
        return _block(path) is not None

    def open(self, path: Path, cosmology: Cosmology | None = None) -> AbstractContextManager[Source]:
        raise InputError(
            f"{path} holds a linear density field, no particles: give it as initial conditions, by --ics"
        )


def _block(path: Path) -> Path | None:
    return next((place for place in (path, path / NAME) if place.name == NAME and is_block(place)), None)


def read_linear_density(path: str | os.PathLike[str], cosmology: Cosmology) -> InitialConditions:
    """The linear density field today of a file of FastPM's.

    Parameters
    ----------
    path : path
        The block LinearDensityK, or the directory that it is in.
    cosmology : Cosmology
        Of the run, which the file does not give.

    Returns
    -------
    InitialConditions
        Its Nyquist planes are cleared.

    Raises
    ------
    InputError
        For a path without such a block.
    DamagedFileError
        For a block that contradicts itself.
    """
    place = _block(Path(path))
    if place is None:
        raise InputError(f"{path} has no block {NAME}: give FastPM's linear density, or its directory")
    table, values = block(place), block_attributes(place)
    n = integer(values, "Nmesh", place)
    if n < 2 or table.width != 1 or table.dtype.kind != "c" or table.rows != n * n * (n // 2 + 1):
        raise DamagedFileError(
            f"{place}: {table.rows} numbers of type {table.dtype} are not the modes of a mesh of {n}^3; {AGAIN}"
        )
    modes = table.read(0, table.rows).astype(np.complex64).reshape(n, n, n // 2 + 1)
    if abs(modes[0, 0, 0] - 1) > 1e-3:
        raise DamagedFileError(f"{place}: the mean density is {modes[0, 0, 0]:g}, not 1; {AGAIN}")
    modes[0, 0, 0] = 0
    delta = np.fft.irfftn(zero_nyquist(modes), s=(n, n, n), axes=(0, 1, 2)) * n**3
    return InitialConditions(positive(values, "BoxSize", place), n, cosmology, delta.astype(np.float32))
