"""Initial conditions and 2LPT of a volume by dask: slabs of planes, each as large as a machine can hold.

Transforms go slab by slab along two axes, are divided anew into slabs across the first axis, and end along that one. With a
folder for them, fields lie in zarr arrays between the stages, so that no worker holds more than some slabs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from zeldo.cosmology.power import LinearPower, linear_power
from zeldo.errors import InputError
from zeldo.initial.phases import Native
from zeldo.universe import Universe
from zeldo.volumes.noise import noise_planes

DaskArray = Any  # dask has no types


class VolumeFields:
    """The linear density and the displacements of a universe, as dask arrays.

    Parameters
    ----------
    universe : Universe
        With native phases.
    thickness : int
        Planes of a slab, a divisor of n.
    folder : Path, optional
        For fields between the stages; without it dask keeps them where it can.

    Raises
    ------
    InputError
        For other phases, and a thickness that does not divide n.
    """

    def __init__(self, universe: Universe, thickness: int, folder: Path | None = None) -> None:
        n = universe.n
        if universe.phases != "native":
            raise InputError(f"phases {universe.phases} are not made by slabs: give native ones")
        if thickness < 1 or n % thickness:
            raise InputError(f"slabs of {thickness} planes do not divide {n}: give a divisor")
        self.universe, self.n, self.thickness, self.folder = universe, n, thickness, folder
        self._stage = 0

    def delta_modes(self) -> DaskArray:
        """Modes of delta_lin, (n, n, n // 2 + 1) complex64, in slabs along kx."""
        n, universe = self.n, self.universe
        power = linear_power(universe.cosmology, universe.power)
        phases = Native(universe.seed or 0, bool(universe.fixed), bool(universe.flip))

        def make(block_info: Any = None) -> np.ndarray:
            first, end = block_info[None]["array-location"][0]
            noise = noise_planes(n, phases.seed, first, end, fixed=phases.fixed, flip=phases.flip)
            return noise * _amplitude(power, universe.box, n, first, end)

        chunks = (self._slabs(), (n,), (n // 2 + 1,))
        return da.map_blocks(make, chunks=chunks, dtype=np.complex64, meta=np.empty((0, 0, 0), np.complex64))

    def delta_lin(self) -> DaskArray:
        """Linear density today, (n, n, n) float32, in slabs along x."""
        return self._inverse(self.delta_modes())

    def displacements(self) -> tuple[DaskArray, DaskArray]:
        """psi_lin and grad phi2 today, (3, n, n, n) float32 each, Mpc/h, in slabs along x."""
        phi = self._kept(self._scaled(self.delta_modes(), _minus_inverse_square))
        first = da.stack([self._inverse(self._scaled(phi, _minus_gradient(axis))) for axis in range(3)])
        second = {
            (i, j): self._kept(self._inverse(self._scaled(phi, _second_derivative(i, j))))
            for i in range(3)
            for j in range(i, 3)
        }
        # with the other sign, so that minus the gradient of its potential is grad phi2
        source = -(second[0, 0] * second[1, 1] + (second[0, 0] + second[1, 1]) * second[2, 2])
        source = source + second[0, 1] ** 2 + second[0, 2] ** 2 + second[1, 2] ** 2
        phi2 = self._kept(self._scaled(self._forward(source), _minus_inverse_square))
        return first, da.stack(
            [self._inverse(self._scaled(phi2, _minus_gradient(axis))) for axis in range(3)]
        )

    def _slabs(self) -> tuple[int, ...]:
        return (self.thickness,) * (self.n // self.thickness)

    def _inverse(self, modes: DaskArray) -> DaskArray:
        """Modes in slabs along kx to a field in slabs along x."""
        pencils = modes.rechunk((self.n, self._slabs(), self.n // 2 + 1))
        lines = pencils.map_blocks(lambda block: np.fft.ifft(block, axis=0).astype(np.complex64))
        slabs = lines.rechunk((self._slabs(), self.n, self.n // 2 + 1))
        return slabs.map_blocks(
            _planes, self.n, dtype=np.float32, chunks=(self._slabs(), (self.n,), (self.n,))
        )

    def _forward(self, field: DaskArray) -> DaskArray:
        """A field in slabs along x to modes in slabs along kx."""
        planes = field.map_blocks(
            lambda block: np.fft.rfft2(block, axes=(1, 2)).astype(np.complex64),
            dtype=np.complex64,
            chunks=(self._slabs(), (self.n,), (self.n // 2 + 1,)),
        )
        pencils = planes.rechunk((self.n, self._slabs(), self.n // 2 + 1))
        lines = pencils.map_blocks(lambda block: np.fft.fft(block, axis=0).astype(np.complex64))
        return lines.rechunk((self._slabs(), self.n, self.n // 2 + 1))

    def _scaled(self, modes: DaskArray, factor: Callable[..., np.ndarray]) -> DaskArray:
        box = self.universe.box
        n = self.n

        def scale(block: np.ndarray, block_info: Any = None) -> np.ndarray:
            first, end = block_info[0]["array-location"][0]
            return (block * factor(*_wavenumbers(n, box, first, end))).astype(np.complex64)

        return modes.map_blocks(scale, dtype=np.complex64, meta=np.empty((0, 0, 0), np.complex64))

    def _kept(self, array: DaskArray) -> DaskArray:
        """The array from the disk, where there is a folder."""
        if self.folder is None:
            return array
        self._stage += 1
        path = str(self.folder / f"stage{self._stage}.zarr")
        array.to_zarr(path, overwrite=True)
        return da.from_zarr(path)


def _planes(block: np.ndarray, n: int) -> np.ndarray:
    return np.fft.irfft2(block, s=(n, n), axes=(1, 2)).astype(np.float32)


def _wavenumbers(n: int, box: float, first: int, end: int) -> list[np.ndarray]:
    """kx, ky, kz of a slab, h/Mpc, Nyquist planes nan."""
    unit = 2 * np.pi / box
    full = np.fft.fftfreq(n, 1 / n) * unit
    half = np.arange(n // 2 + 1) * unit
    full[n // 2] = half[n // 2] = np.nan
    return [full[first:end, None, None], full[None, :, None], half[None, None, :]]


def _minus_inverse_square(*k: np.ndarray) -> np.ndarray:
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    return np.where(square > 0, -1 / np.where(square > 0, square, 1), 0)  # nan is not above 0


def _minus_gradient(axis: int) -> Callable[..., np.ndarray]:
    return lambda *k: -1j * np.nan_to_num(k[axis])


def _second_derivative(i: int, j: int) -> Callable[..., np.ndarray]:
    return lambda *k: -np.nan_to_num(k[i]) * np.nan_to_num(k[j])


def _amplitude(power: LinearPower, box: float, n: int, first: int, end: int) -> np.ndarray:
    """sqrt(P / V) n^3 of a slab of modes, float32."""
    k = [np.nan_to_num(part, nan=0.0) for part in _wavenumbers(n, box, first, end)]
    size = np.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    values = np.zeros(size.shape)
    values[size > 0] = np.sqrt(power(size[size > 0]) / box**3) * n**3
    return values.astype(np.float32)
