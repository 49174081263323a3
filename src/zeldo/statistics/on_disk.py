"""The particles of a universe on disk, which statistics read some planes of the lattice at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.files.stored import StoredSnapshot, stored
from zeldo.files.universe_zarr import UniverseZarr
from zeldo.keywords import PathLike
from zeldo.measuring.memory import check_room, resident
from zeldo.mesh import fft, splines
from zeldo.mesh.checks import check_mesh
from zeldo.mesh.painting import add_planes
from zeldo.particles.particles import into_box
from zeldo.statistics.matter import Matter
from zeldo.statistics.modes import CLOUD_IN_CELL, CUBIC_SPLINE, interlaced, without_window
from zeldo.statistics.redshift_space import shift_per_velocity
from zeldo.statistics.spectra import TOGETHER

MESH_BYTES = 30  # of a point, while modes are made
COMPARED_BYTES = 11  # of a point: the modes of two fields, and the bin of each mode
BINNED_BYTES = 16  # of a point whose modes are binned now
PLANES_BYTES = 1000  # of the particles of a plane, of which 16 are read together


@dataclass(frozen=True, eq=False)
class OnDisk:
    """One snapshot of a universe on disk.

    Parameters
    ----------
    universe : UniverseZarr
    redshift : float
        One of its redshifts.
    """

    universe: UniverseZarr
    redshift: float

    @classmethod
    def open(cls, path: PathLike, redshift: float | None = None) -> Self:
        """The snapshot at a redshift, by default the lowest, of a universe that `run` wrote to a name in .zarr.

        Raises
        ------
        InputError
            For another path or redshift, and for a universe that is not finished.
        """
        universe = UniverseZarr(path)
        z = min(universe.redshifts) if redshift is None else universe.nearest(redshift)
        universe.check_complete(z)
        return cls(universe, z)

    @classmethod
    def of(cls, snapshot: StoredSnapshot) -> Self:
        """Where a snapshot's fields are."""
        return cls(snapshot.universe, snapshot.redshift)

    @property
    def path(self) -> Path:
        return self.universe.path

    @property
    def n(self) -> int:
        """Particles per side."""
        return self.universe.n

    @property
    def box(self) -> float:
        """Mpc/h."""
        return self.universe.header["box"]

    @cached_property
    def matter(self) -> Matter:
        """What is known of the particles; its fields are read whole, and so are not for large universes."""
        return Matter(stored(self.universe, self.redshift))

    @property
    def has_velocities(self) -> bool:
        return self.universe.has(self.redshift, "vel")

    def displaced(self, axis: int | None = None) -> Iterator[np.ndarray]:
        """Positions of some planes after others, (rows, 3) float64, Mpc/h, not wrapped, in the order of the lattice.

        Parameters
        ----------
        axis : {0, 1, 2}, optional
            The line of sight of redshift space, in which the particles then are.
        """
        n, z = self.n, self.redshift
        grid = np.arange(n) * (self.box / n)
        per = 0.0
        if axis is not None:
            if not self.has_velocities:
                raise InputError(f"{self.path} holds no velocities: redshift space needs them")
            per = shift_per_velocity(self.matter.cosmology, z)
        for first, psi in self.universe.slabs(z):
            if axis is not None:
                vel = self.universe.planes(z, "vel", first, first + psi.shape[1])
                psi[axis] += vel[axis] * np.float32(per)
            x = np.empty((*psi.shape[1:], 3))
            x[..., 0] = grid[first : first + psi.shape[1], None, None] + psi[0]
            x[..., 1] = grid[:, None] + psi[1]
            x[..., 2] = grid + psi[2]
            yield x.reshape(-1, 3)

    def positions(self) -> Iterator[tuple[int, np.ndarray]]:
        """The first particle, and the positions in [0, box) of some planes, as `Snapshot.positions` has them."""
        first = 0
        for x in self.displaced():
            yield first, into_box(x, self.box)
            first += len(x)

    def modes(self, mesh: int, axis: int | None = None) -> torch.Tensor:
        """delta_k, (mesh, mesh, mesh // 2 + 1) complex64; see `density_modes`.

        Parameters
        ----------
        mesh : int
            Points per side, even.
        axis : {0, 1, 2}, optional
            As in `displaced`.

        Raises
        ------
        InputError
            For a mesh that does not fit into memory.
        """
        _check_mesh(mesh, MESH_BYTES * mesh**3)

        def paint(offset: float) -> torch.Tensor:
            density = np.zeros((mesh, mesh, mesh), np.float32)
            for x in self.displaced(axis):
                # the mean of a piece is one particle a cell of the whole mesh: here each counts by its share
                density += splines.paint(x, mesh, self.box, offset) * np.float32(len(x) / self.n**3)
            return torch.from_numpy(density)

        return interlaced(paint, mesh, CUBIC_SPLINE)

    def cloud_in_cell_modes(self, mesh: int) -> torch.Tensor:
        """What `spectra.cloud_in_cell_modes` makes of the snapshot in memory, to rounding; in place, in one mesh."""
        modes, field = _empty_modes(check_mesh(mesh))
        field[:] = 0
        for first, psi in self.universe.slabs(self.redshift):
            add_planes(field, psi, first, self.box, 0.0)
        transformed = _transformed(modes, CLOUD_IN_CELL)
        transformed[0, 0, 0] = 0
        return transformed

    def component_modes(self, field: str, axis: int) -> torch.Tensor:
        """The modes of a component of "psi" or "vel", (n, n, n // 2 + 1) complex64; in place, in one mesh.

        Of displacements, those to the nearest image.
        """
        modes, values = _empty_modes(self.n)
        for first, planes in self.universe.slabs(self.redshift, field):
            some, box = planes[axis], np.float32(self.box)
            if field == "psi":
                some = some - box * np.round(some / box)
            values[first : first + len(some), :, : self.n] = some
        return _transformed(modes)


def check_comparable(n: int, mesh: int, held: float = 0.0) -> None:
    """`InputError` where two snapshots on disk cannot be compared in the memory that may be taken.

    Parameters
    ----------
    n : int
        Particles per side.
    mesh : int
        Points per side of the density.
    held : float
        Bytes that the process holds by then, where it holds fewer now.
    """
    points = max(n, mesh) ** 3
    needed = COMPARED_BYTES * points + BINNED_BYTES * min(points, TOGETHER) + PLANES_BYTES * n**2
    _check_mesh(mesh, needed + max(0.0, held - resident()))


def _check_mesh(mesh: int, needed: float) -> None:
    check_room(f"a mesh of {mesh} points a side needs", needed, "give a smaller mesh, or more memory")


def _empty_modes(mesh: int) -> tuple[np.ndarray, np.ndarray]:
    """Memory for modes, and the same memory for the field that they are of, (mesh, mesh, mesh + 2) float32."""
    modes = np.empty((mesh, mesh, mesh // 2 + 1), np.complex64)
    return modes, fft.real_view(modes)


def _transformed(modes: np.ndarray, window: int = 0) -> torch.Tensor:
    """The modes of the field that is in their memory, as of `field_modes`."""
    fft.forward(fft.real_view(modes)[:, :, : len(modes)], modes)
    return without_window(torch.from_numpy(modes), window, scale=1 / len(modes) ** 3)
