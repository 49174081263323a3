"""The force of a particle mesh on the CPU, by Numba's kernels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from zeldo.mesh import fft
from zeldo.mesh import numba_kernels as kernels
from zeldo.mesh.checks import MAX_MESH, check_mesh
from zeldo.mesh.held_force import HeldForce
from zeldo.mesh.modes import mode_factors, spectral_gradient, window_factors
from zeldo.mesh.painting import add_planes, clear
from zeldo.mesh.rows import index_like


class NumbaGravity:
    """The CPU's: the mesh is allocated once, and its density, modes and potential take turns in it."""

    def __init__(self, box: float, m: int, gradient: str, deconvolution: float):
        self.box, self.m, self.spectral = box, check_mesh(m, MAX_MESH), gradient == "spectral"
        self.deconvolution = deconvolution
        self.k, self.window = mode_factors(m, box, deconvolution)
        self._work = np.empty(0, np.float32)
        self._held: ReferenceType[HeldForce] | None = None
        self._allocate()

    def _allocate(self) -> None:
        self.modes = np.empty((self.m, self.m, self.m // 2 + 1), np.complex64)
        self.field = fft.real_view(self.modes)

    def __call__(
        self,
        psi: np.ndarray,
        offset: float = 0.0,
        out: np.ndarray | None = None,
        sharpening: float = 0.0,
    ) -> np.ndarray:
        if not self.spectral:
            return self._hold(psi, offset, sharpening).array(out)
        force = np.empty_like(psi) if out is None else out
        self._solve_modes(psi, offset, sharpening)
        work = self._room((self.m, self.m, self.m + 2)).view(np.complex64)
        field = fft.real_view(work)
        inside = 3 * [field[:, :, : self.m]]
        for axis, _ in enumerate(spectral_gradient(self.modes, self.k, work, inside)):
            kernels.read(field, psi, self.box, force[axis], offset)
        return force

    def held(
        self,
        psi: np.ndarray,
        offset: float = 0.0,
        out: np.ndarray | None = None,
        sharpening: float = 0.0,
    ) -> Any:
        return self(psi, offset, out, sharpening) if self.spectral else self._hold(psi, offset, sharpening)

    def _hold(self, psi: np.ndarray, offset: float, sharpening: float) -> HeldForce:
        force = HeldForce(self, self._solve(psi, offset, sharpening), psi, offset)
        self._held = ref(force)
        return force

    def whole(self, force: Any) -> np.ndarray:
        return force.array() if isinstance(force, HeldForce) else force

    def density(self, psi: np.ndarray) -> np.ndarray:
        return kernels.paint(psi, self.m, self.box)

    def potential(self, psi: np.ndarray) -> np.ndarray:
        return self._solve(psi, 0.0)[:, :, : self.m].copy()

    def _solve(self, psi: np.ndarray, offset: float, sharpening: float = 0.0) -> np.ndarray:
        """The potential in `field`, (m, m, m + 2) with two idle numbers at the end of a column."""
        self._solve_modes(psi, offset, sharpening)
        fft.inverse(self.modes, self.m, self.field[:, :, : self.m], scratch=True)
        return self.field

    def solve_slabs(
        self, slabs: Iterable[tuple[int, np.ndarray]], offset: float, sharpening: float
    ) -> np.ndarray:
        """The potential of particles that come as (first plane, psi of some planes), in `field`.

        The order of the slabs decides the last bits.
        """
        clear(self.field)
        for first, psi in slabs:
            add_planes(self.field, psi, first, self.box, offset)
        self._to_potential_modes(sharpening)
        fft.inverse(self.modes, self.m, self.field[:, :, : self.m], scratch=True)
        return self.field

    def _to_potential_modes(self, sharpening: float) -> None:
        """From the density in `field` to the potential in `modes`."""
        fft.forward(self.field[:, :, : self.m], self.modes)
        kernels.apply_green(self.modes, self.k, self._window(sharpening))

    def _solve_modes(self, psi: np.ndarray, offset: float, sharpening: float) -> None:
        force = self._held() if self._held is not None else None
        if force is not None and not force.spent:
            self._allocate()  # it keeps the potential that is in the memory used so far
        self._held = None
        kernels.paint(psi, self.m, self.box, self.field, offset)
        self._to_potential_modes(sharpening)

    def _window(self, sharpening: float) -> np.ndarray:
        return window_factors(self.m, self.deconvolution + sharpening) if sharpening else self.window

    def pull_back(
        self, psi: np.ndarray, offset: float, cotangent: np.ndarray, sharpening: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The force, and the gradient with psi of its product with the cotangent, (3, n, n, n) each."""
        from zeldo.mesh import transposes
        from zeldo.mesh.reading import minus_gradient

        m = self.m
        norm, scale, shift = np.float32(m / self.box / 12), np.float32(m / self.box), np.float32(offset)
        vector, plain = self._room((m, m, m + 1, 4)), np.empty((m, m, m), np.float32)
        work = np.empty_like(self.modes) if self.spectral else None
        if work is None:
            minus_gradient(self._solve(psi, offset, sharpening), norm, 0, m, vector)
        else:
            self._solve_modes(psi, offset, sharpening)
            for axis, field in enumerate(spectral_gradient(self.modes, self.k, work, 3 * [plain])):
                vector[:, :, :m, axis] = field
            vector[:, :, m] = vector[:, :, 0]
        force, back = np.empty_like(psi), np.empty_like(psi)
        index = index_like(vector[..., 0].size)
        transposes.read_vector_slopes(vector, cotangent, psi, scale, shift, index, force, back)
        transposes.spread_into(vector, cotangent, psi, self.box, offset)
        if work is None:
            transposes.gradient_transposed(vector, norm, plain)
            fft.forward(plain, self.modes)
        else:
            total = np.zeros_like(self.modes)
            for axis in range(3):
                plain[:] = vector[:, :, :m, axis]
                fft.forward(plain, self.modes)
                kernels.derive(self.modes, self.k, axis, work)
                total -= work
            self.modes[:] = total
        kernels.apply_green(self.modes, self.k, self._window(sharpening))
        fft.inverse(self.modes, m, plain, scratch=True)
        transposes.read_slopes(plain, psi, scale, shift, np.float32((m / psi.shape[1]) ** 3), index, back)
        return force, back

    def ring(self, slots: int) -> np.ndarray:
        """Room for planes of the gradient, (slots, m, m + 1, 4)."""
        return self._room((slots, self.m, self.m + 1, 4))

    def _room(self, shape: tuple[int, ...]) -> np.ndarray:
        size = math.prod(shape)
        if self._work.size < size:
            self._work = np.empty(size, np.float32)
        return self._work[:size].reshape(shape)

    def combine(self, out: np.ndarray | None, *terms: tuple[float, Any]) -> np.ndarray:
        force = next((field for _, field in terms if isinstance(field, HeldForce)), None)
        if force is None:
            return kernels.combine(out, *terms)
        out = np.empty_like(force.psi) if out is None else out
        for planes, piece in force.pieces():
            for axis in range(3):
                here = ((w, piece if field is force else field[:, planes]) for w, field in terms)
                kernels.combine(out[axis, planes], *((w, field[axis]) for w, field in here))
        return out

    def advance(
        self,
        psi: np.ndarray,
        v: np.ndarray,
        force: Any,
        kick: Sequence[float],
        drift: Sequence[float],
        frame: Sequence[np.ndarray] = (),
        *,
        donate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        psi, v = (psi, v) if donate else (psi.copy(), v.copy())
        if force is None:
            self.combine(psi, (1.0, psi), *zip(drift, (v, *frame), strict=False))
            return psi, v
        if isinstance(force, HeldForce):
            pieces = force.pieces()
            force.spent = donate
        else:
            pieces = iter([(slice(None), force)])
        for planes, piece in pieces:
            for axis in range(3):
                at = axis, planes
                terms = zip(kick[2:], drift[1:], (field[at] for field in frame), strict=False)
                kernels.advance(psi[at], v[at], piece[axis], (kick[0], kick[1]), drift[0], *terms)
        return psi, v

    def array(self, field: np.ndarray) -> np.ndarray:
        return np.asarray(field, np.float32)

    def numpy(self, field: np.ndarray) -> np.ndarray:
        return field
