"""Initial conditions and 2LPT of a volume by dask: slabs of planes, each as large as a machine can hold.

Fields come in slabs along x, their modes in slabs along ky. A transform goes along two axes in slabs, is divided anew once,
and ends along the other axis. With a folder it is divided anew on the disk, so that no worker holds more than some slabs,
and none sends anything to another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.power import LinearPower, linear_power
from zeldo.engines.checks import check_whole
from zeldo.errors import InputError
from zeldo.files.universe_zarr import largest_divisor
from zeldo.files.white_noise import find_phases
from zeldo.initial.phases import Native
from zeldo.universe import Universe
from zeldo.volumes.noise import noise_planes

try:
    import dask.array as da
except ImportError:
    raise InputError("volumes in pieces need dask: pip install 'zeldo[cluster]'") from None

DaskArray = Any  # dask has no types
CHUNK = 64  # cells per side of a chunk on disk, at most


class VolumeFields:
    """The linear density and the displacements of a universe, as dask arrays.

    Parameters
    ----------
    universe : Universe
        With native phases.
    thickness : int
        Planes of a slab, a divisor of n. A worker holds some ten slabs of each of its threads.
    folder : Path, optional
        For what transforms divide anew, 56 bytes a particle in all; without it dask sends it from worker to worker.

    Raises
    ------
    InputError
        For other phases, and a thickness that does not divide n.
    """

    def __init__(self, universe: Universe, thickness: int, folder: Path | None = None) -> None:
        n = universe.n
        phases = find_phases(
            universe.phases, seed=universe.seed, fixed=bool(universe.fixed), flip=bool(universe.flip)
        )
        if not isinstance(phases, Native):
            raise InputError(f"phases {phases.label} are not made by slabs: give native ones")
        check_whole("thickness", thickness, 1, n)
        if n % thickness:
            raise InputError(f"slabs of {thickness} planes do not divide {n}: give a divisor")
        self.universe, self.n, self.thickness, self.folder = universe, n, thickness, folder
        self.phases = phases
        self._stage = 0

    def delta_modes(self) -> DaskArray:
        """Modes of delta_lin, (n, n, n // 2 + 1) complex64, in slabs along ky."""
        n, universe, phases = self.n, self.universe, self.phases
        power = linear_power(universe.cosmology, universe.power)

        def make(block_info: Any = None) -> np.ndarray:
            first, end = block_info[None]["array-location"][0]
            noise = noise_planes(n, phases.seed, first, end, fixed=phases.fixed, flip=phases.flip)
            noise *= _amplitude(power, universe.box, n, first, end)
            return noise

        chunks = (self._slabs(), (n,), (n // 2 + 1,))
        made = da.map_blocks(make, chunks=chunks, dtype=np.complex64, meta=np.empty((0, 0, 0), np.complex64))
        return self._divided_anew(made, 1)

    def delta_lin(self) -> DaskArray:
        """Linear density today, (n, n, n) float32, in slabs along x."""
        return self._inverse(self.delta_modes())

    def displacements(self) -> tuple[DaskArray, DaskArray]:
        """psi_lin and grad phi2 today, (3, n, n, n) float32 each, Mpc/h, in slabs along x."""
        phi = self._scaled(self.delta_modes(), _minus_inverse_square)
        first = da.stack([self._inverse(self._scaled(phi, _minus_gradient(axis))) for axis in range(3)])
        second = {
            (i, j): self._inverse(self._scaled(phi, _second_derivative(i, j)))
            for i in range(3)
            for j in range(i, 3)
        }
        # with the other sign, so that minus the gradient of its potential is grad phi2
        source = -(second[0, 0] * second[1, 1] + (second[0, 0] + second[1, 1]) * second[2, 2])
        source = source + second[0, 1] ** 2 + second[0, 2] ** 2 + second[1, 2] ** 2
        phi2 = self._scaled(self._forward(source), _minus_inverse_square)
        return first, da.stack(
            [self._inverse(self._scaled(phi2, _minus_gradient(axis))) for axis in range(3)]
        )

    def write(self, first: Path, second: Path) -> None:
        """Write both displacements as zarr arrays, in chunks of which windows are read."""
        import zarr

        side = largest_divisor(self.n, CHUNK)
        targets = [
            zarr.create_array(
                path,
                shape=(3, *3 * [self.n]),
                chunks=(1, largest_divisor(self.thickness, CHUNK), side, side),
                dtype="float32",
                compressors=None,
                overwrite=True,
            )
            for path in (first, second)
        ]
        store: Any = da.store  # its types allow no list of arrays
        store(list(self.displacements()), targets, lock=False)

    def _slabs(self) -> tuple[int, ...]:
        return (self.thickness,) * (self.n // self.thickness)

    def _inverse(self, modes: DaskArray) -> DaskArray:
        """Modes in slabs along ky to a field in slabs along x."""
        lines = modes.map_blocks(lambda block: np.fft.ifft(block, axis=0).astype(np.complex64))
        slabs = self._divided_anew(lines, 0)
        return slabs.map_blocks(
            _planes, self.n, dtype=np.float32, chunks=(self._slabs(), (self.n,), (self.n,))
        )

    def _forward(self, field: DaskArray) -> DaskArray:
        """A field in slabs along x to modes in slabs along ky."""
        planes = field.map_blocks(
            lambda block: np.fft.rfft2(block, axes=(1, 2)).astype(np.complex64),
            dtype=np.complex64,
            chunks=(self._slabs(), (self.n,), (self.n // 2 + 1,)),
        )
        pencils = self._divided_anew(planes, 1)
        return pencils.map_blocks(lambda block: np.fft.fft(block, axis=0).astype(np.complex64))

    def _scaled(self, modes: DaskArray, factor: Callable[..., np.ndarray]) -> DaskArray:
        box = self.universe.box
        n = self.n

        def scale(block: np.ndarray, block_info: Any = None) -> np.ndarray:
            first, end = block_info[0]["array-location"][1]
            return (block * factor(*_wavenumbers(n, box, 1, first, end))).astype(np.complex64)

        return modes.map_blocks(scale, dtype=np.complex64, meta=np.empty((0, 0, 0), np.complex64))

    def _divided_anew(self, array: DaskArray, axis: int) -> DaskArray:
        """Slabs along one of the first two axes as slabs along the other one, `axis`."""
        chunks = [self.n, self.n, self.n // 2 + 1]
        chunks[axis] = self.thickness
        if self.folder is None:
            return array.rechunk(tuple(chunks))
        self._stage += 1
        path = str(self.folder / f"stage{self._stage}.zarr")
        array.rechunk((self.thickness, self.thickness, self.n // 2 + 1)).to_zarr(
            path, overwrite=True, compressors=None
        )
        return da.from_zarr(path, chunks=tuple(chunks))


def _planes(block: np.ndarray, n: int) -> np.ndarray:
    return np.fft.irfft2(block, s=(n, n), axes=(1, 2)).astype(np.float32)


def _wavenumbers(n: int, box: float, axis: int, first: int, end: int) -> list[np.ndarray]:
    """kx, ky, kz of a slab along kx or ky, h/Mpc, Nyquist planes nan."""
    unit = 2 * np.pi / box
    full = np.fft.fftfreq(n, 1 / n) * unit
    half = np.arange(n // 2 + 1) * unit
    full[n // 2] = half[n // 2] = np.nan
    slab = [full, full]
    slab[axis] = full[first:end]
    return [slab[0][:, None, None], slab[1][None, :, None], half[None, None, :]]


def _minus_inverse_square(*k: np.ndarray) -> np.ndarray:
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    return np.where(square > 0, -1 / np.where(square > 0, square, 1), 0)  # nan is not above 0


def _minus_gradient(axis: int) -> Callable[..., np.ndarray]:
    return lambda *k: -1j * np.nan_to_num(k[axis])


def _second_derivative(i: int, j: int) -> Callable[..., np.ndarray]:
    return lambda *k: -np.nan_to_num(k[i]) * np.nan_to_num(k[j])


def _amplitude(power: LinearPower, box: float, n: int, first: int, end: int) -> np.ndarray:
    """sqrt(P / V) n^3 of a slab of modes, float32."""
    k = [np.nan_to_num(part, nan=0.0) for part in _wavenumbers(n, box, 0, first, end)]
    size = np.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    values = np.zeros(size.shape)
    values[size > 0] = np.sqrt(power(size[size > 0]) / box**3) * n**3
    return values.astype(np.float32)
