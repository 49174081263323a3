"""The force of a particle mesh on its particles: paint, Poisson solve, gradient, read; on the CPU or any torch device.

F = -grad lap^-1 delta in Mpc/h, the displacement that linear theory gives for the same density.

The gradient is the centred difference of fourth order, sin-like: (8 sin(kh) - sin(2kh)) / 6h in place of k, h the cell. The
Laplacian that is inverted is sum_i k_i times that, so that the force of a plane wave along an axis of the mesh has the right
amplitude at every k; the two cloud-in-cell windows are divided out to the power `deconvolution` (0: none, 1: one, 2: both).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from zeldo.mesh import fft

Array = Any  # a NumPy array or a torch tensor, (3, n, n, n) float32


class Gravity(Protocol):
    """What steppers need of a device: the force, and arithmetic on fields that lives where the force does."""

    def __call__(self, psi: Array, out: Array | None = None) -> Array:
        """F at the particles of psi; both (3, n, n, n) float32, Mpc/h."""

    def array(self, field: np.ndarray) -> Array:
        """A copy of the field on the device."""

    def numpy(self, field: Array) -> np.ndarray:
        """A copy of the field in main memory."""

    def combine(self, out: Array, *terms: tuple[float, Array]) -> None:
        """out = sum of factor x field; out may be one of the fields."""


def gravity(n: int, box: float, m: int, *, deconvolution: float = 1.0, device: str = "cpu") -> Gravity:
    """The force of n^3 particles on a mesh of m^3 points: Numba for "cpu", torch for any device torch knows.

    "torch" is torch on the CPU, the twin of the Numba kernels.
    """
    if device == "cpu":
        return NumbaGravity(n, box, m, deconvolution)
    return TorchGravity(n, box, m, deconvolution, "cpu" if device == "torch" else device)


def green_factors(m: int, box: float, deconvolution: float) -> tuple[np.ndarray, np.ndarray]:
    """laplacian, filter: (m,) float32 each, of one axis in the order of fftfreq; h^2/Mpc^2 and a pure number."""
    nu = np.fft.fftfreq(m)
    theta = 2 * np.pi * nu
    k = theta * (m / box)
    k_difference = (8 * np.sin(theta) - np.sin(2 * theta)) / 6 * (m / box)
    laplacian, window = k * k_difference, np.sinc(nu) ** (-2 * deconvolution)
    laplacian[m // 2] = window[m // 2] = 0  # the difference sees no gradient at Nyquist
    return laplacian.astype(np.float32), window.astype(np.float32)


class NumbaGravity:
    """The CPU's: every mesh is allocated once."""

    def __init__(self, n: int, box: float, m: int, deconvolution: float):
        from zeldo.mesh import numba_kernels

        self.kernels = numba_kernels
        self.box, self.m = box, numba_kernels.check_mesh(m)
        self.laplacian, self.filter = green_factors(m, box, deconvolution)
        self.field = np.empty((m, m, m), np.float32)
        self.modes = np.empty((m, m, m // 2 + 1), np.complex64)
        self.work = np.empty((m, m, m, 4), np.float32)
        self.combine = numba_kernels.combine

    def __call__(self, psi: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        self.kernels.paint(psi, self.m, self.box, self.field)
        fft.forward(self.field, self.modes)
        self.kernels.apply_green(self.modes, self.laplacian, self.filter)
        fft.inverse(self.modes, self.m, self.field, scratch=True)
        return self.kernels.read_gradient(self.field, psi, self.box, out, self.work)

    def array(self, field: np.ndarray) -> np.ndarray:
        return np.array(field, np.float32)

    numpy = array


class TorchGravity:
    """Any torch device's: the same steps, nothing kept but the Green's function."""

    def __init__(self, n: int, box: float, m: int, deconvolution: float, device: str):
        import torch

        from zeldo.mesh import torch_kernels

        self.torch, self.kernels = torch, torch_kernels
        self.box, self.m, self.device = box, m, device
        laplacian, window = green_factors(m, box, deconvolution)
        axes = np.ix_(np.arange(m), np.arange(m), np.arange(m // 2 + 1))
        total = sum(laplacian[axis] for axis in axes)
        green = -np.divide(1, total, out=np.zeros_like(total), where=total > 0)
        for axis in axes:
            green *= window[axis]
        self.green = torch.from_numpy(green).to(device)

    def __call__(self, psi: Array, out: Array | None = None) -> Array:
        delta = self.kernels.paint(psi, self.m, self.box)
        phi = self.torch.fft.irfftn(self.torch.fft.rfftn(delta) * self.green, s=delta.shape)
        return self.kernels.read_gradient(phi, psi, self.box)

    def array(self, field: np.ndarray) -> Array:
        return self.torch.tensor(field, dtype=self.torch.float32, device=self.device)

    def numpy(self, field: Array) -> np.ndarray:
        return field.detach().cpu().numpy().copy()

    def combine(self, out: Array, *terms: tuple[float, Array]) -> None:
        out.copy_(sum(factor * field for factor, field in terms))
