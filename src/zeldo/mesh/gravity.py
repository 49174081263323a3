"""The force of a particle mesh on its particles: paint, Poisson solve, gradient, read; on the CPU or any torch device.

F = -grad lap^-1 delta in Mpc/h, the displacement that linear theory gives for the same density. Two gradients:

difference  the potential goes back to the mesh once; the centred difference of fourth order is taken there.
            Soft at the mesh's own scale, quiet where particles still sit near their lattice, two transforms.
spectral    ik for each component; exact up to Nyquist, four transforms.

One cloud-in-cell window is divided out to the power `deconvolution` (0: none, 1: one, 2: both).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from zeldo.errors import InputError
from zeldo.mesh import fft

Array = Any  # a NumPy array or a torch tensor, (3, n, n, n) float32


class Gravity(Protocol):
    """What steps need of a device: the force, and arithmetic on fields that live where the force does."""

    def __call__(self, psi: Array, offset: float = 0.0, out: Array | None = None) -> Array:
        """F at the particles of psi; both (3, n, n, n) float32, Mpc/h.

        offset: of the mesh, in its cells. out: a field that nobody needs any more; the force may be put there.
        """

    def density(self, psi: Array) -> Array:
        """The density in units of its mean on the mesh, (m, m, m) float32: a new field."""

    def potential(self, psi: Array) -> Array:
        """phi with F = -grad phi, (Mpc/h)^2, (m, m, m) float32: a new field."""

    def array(self, field: np.ndarray) -> Array:
        """The field on the device, float32; itself where it is there already."""

    def numpy(self, field: Array) -> np.ndarray:
        """The field in main memory; itself where it is there already."""

    def combine(self, out: Array | None, *terms: tuple[float, Array]) -> Array:
        """out = sum of factor x field over two to four terms; out may be one of the fields, None makes a new one."""

    def advance(
        self,
        psi: Array,
        v: Array,
        force: Array | None,
        kick: Sequence[float],
        drift: Sequence[float],
        frame: Sequence[Array] = (),
        *,
        donate: bool = False,
    ) -> tuple[Array, Array]:
        """psi and v after v <- kick . (v, force, *frame), then psi <- psi + drift . (v, *frame).

        kick, drift: weights; those of a frame's fields count where there is one. force: where it is None v stays as it
        is. frame: none or two fields. donate: psi and v are nobody's any more, so that the new ones may take their place.
        """


def gravity(
    box: float,
    m: int,
    *,
    gradient: str = "difference",
    deconvolution: float = 0.0,
    device: str = "cpu",
) -> Gravity:
    """The force of a mesh of m^3 points in a box (Mpc/h): Numba for "cpu", torch for any device torch knows.

    "torch" is torch on the CPU, the twin of the Numba kernels.
    """
    if device == "cpu":
        return NumbaGravity(box, m, gradient, deconvolution)
    return TorchGravity(box, m, gradient, deconvolution, check_device("cpu" if device == "torch" else device))


def check_device(device: str) -> str:
    """The device where torch can use it, else `InputError`."""
    import torch

    try:
        torch.zeros(1, device=device).cpu()  # torch's "meta" takes fields and gives none back
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"device {device!r} cannot be used ({reason}): give cpu, torch, or a device such as cuda"
        ) from None
    return device


def mode_factors(m: int, box: float, deconvolution: float) -> tuple[np.ndarray, np.ndarray]:
    """k (h/Mpc) and the factor of the window along one axis, (m,) float32 each, in the order of fftfreq.

    The factor clears Nyquist, where a derivative has no sign.
    """
    nu = np.fft.fftfreq(m)
    window = np.sinc(nu) ** (-2 * deconvolution)
    window[m // 2] = 0
    return (nu * (2 * np.pi * m / box)).astype(np.float32), window.astype(np.float32)


def spectral_gradient(
    modes: np.ndarray, k: np.ndarray, work: np.ndarray, fields: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """The three components of minus the gradient on the mesh, one after the other in `fields` (one array will do).

    modes: of the field, destroyed; k of one axis; work: room for as many modes.
    """
    from zeldo.mesh.numba_kernels import derive

    m = modes.shape[0]
    for axis, field in enumerate(fields):
        if axis == 1:
            fft.inverse_first(modes)  # the first axis is the same for the second and the third component
        derive(modes, k, axis, work)
        yield fft.inverse(work, m, field, scratch=True, axes=(1, 2) if axis else (0, 1, 2))


class NumbaGravity:
    """The CPU's: every mesh is allocated once."""

    def __init__(self, box: float, m: int, gradient: str, deconvolution: float):
        from zeldo.mesh import numba_kernels

        self.kernels = numba_kernels
        self.box, self.m, self.spectral = box, numba_kernels.check_mesh(m), gradient == "spectral"
        self.k, self.window = mode_factors(m, box, deconvolution)
        self.field = np.empty((m, m, m), np.float32)
        self.modes = np.empty((m, m, m // 2 + 1), np.complex64)
        self.work = np.empty_like(self.modes) if self.spectral else np.empty((m, m, m + 1, 4), np.float32)
        self.combine = numba_kernels.combine

    def __call__(self, psi: np.ndarray, offset: float = 0.0, out: np.ndarray | None = None) -> np.ndarray:
        kernels = self.kernels
        force = np.empty_like(psi) if out is None else out
        self._solve(psi, offset)
        if not self.spectral:
            fft.inverse(self.modes, self.m, self.field, scratch=True)
            return kernels.read_gradient(self.field, psi, self.box, force, self.work, offset)
        fields = spectral_gradient(self.modes, self.k, self.work, 3 * [self.field])
        for axis, field in enumerate(fields):
            kernels.read(field, psi, self.box, force[axis], offset)
        return force

    def density(self, psi: np.ndarray) -> np.ndarray:
        return self.kernels.paint(psi, self.m, self.box, self.field, 0.0).copy()

    def potential(self, psi: np.ndarray) -> np.ndarray:
        self._solve(psi, 0.0)
        return fft.inverse(self.modes, self.m, self.field, scratch=True).copy()

    def _solve(self, psi: np.ndarray, offset: float) -> None:
        """The potential's modes."""
        self.kernels.paint(psi, self.m, self.box, self.field, offset)
        fft.forward(self.field, self.modes)
        self.kernels.apply_green(self.modes, self.k, self.window)

    def advance(
        self,
        psi: np.ndarray,
        v: np.ndarray,
        force: np.ndarray | None,
        kick: Sequence[float],
        drift: Sequence[float],
        frame: Sequence[np.ndarray] = (),
        *,
        donate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        psi, v = (psi, v) if donate else (psi.copy(), v.copy())
        if force is None:
            self.combine(psi, (1.0, psi), *zip(drift, (v, *frame), strict=False))
        else:
            terms = zip(kick[2:], drift[1:], frame, strict=False)
            self.kernels.advance(psi, v, force, (kick[0], kick[1]), drift[0], *terms)
        return psi, v

    def array(self, field: np.ndarray) -> np.ndarray:
        return np.asarray(field, np.float32)

    def numpy(self, field: np.ndarray) -> np.ndarray:
        return field


class TorchGravity:
    """Any torch device's: the same steps, nothing kept but the Green's function."""

    def __init__(self, box: float, m: int, gradient: str, deconvolution: float, device: str):
        import torch

        from zeldo.mesh import torch_kernels

        self.torch, self.kernels = torch, torch_kernels
        self.box, self.m, self.device, self.spectral = box, m, device, gradient == "spectral"
        k, window = mode_factors(m, box, deconvolution)
        half = m // 2 + 1
        self.k = [torch.from_numpy(axis).to(device) for axis in np.ix_(k, k, k[:half])]
        square = self.k[0] ** 2 + self.k[1] ** 2 + self.k[2] ** 2
        square[0, 0, 0] = torch.inf
        self.green = -1 / square
        for axis in np.ix_(window, window, window[:half]):
            self.green *= torch.from_numpy(axis).to(device)

    def __call__(self, psi: Array, offset: float = 0.0, out: Array | None = None) -> Array:
        if offset:
            psi = psi + offset * self.box / self.m
        modes, shape = self._solve(psi), 3 * (self.m,)
        if not self.spectral:
            return self.kernels.read_gradient(self.torch.fft.irfftn(modes, s=shape), psi, self.box)
        components = (self.torch.fft.irfftn(-1j * k * modes, s=shape) for k in self.k)
        return self.torch.stack([self.kernels.read(component, psi, self.box) for component in components])

    def density(self, psi: Array) -> Array:
        return self.kernels.paint(psi, self.m, self.box)

    def potential(self, psi: Array) -> Array:
        return self.torch.fft.irfftn(self._solve(psi), s=3 * (self.m,))

    def _solve(self, psi: Array) -> Array:
        """The potential's modes."""
        return self.torch.fft.rfftn(self.kernels.paint(psi, self.m, self.box)) * self.green

    def array(self, field: np.ndarray) -> Array:
        return self.torch.as_tensor(field, dtype=self.torch.float32, device=self.device)

    def numpy(self, field: Array) -> np.ndarray:
        return field.detach().cpu().numpy()

    def combine(self, out: Array | None, *terms: tuple[float, Array]) -> Array:
        total = sum(factor * field for factor, field in terms)
        return total if out is None else out.copy_(total)

    def advance(
        self,
        psi: Array,
        v: Array,
        force: Array | None,
        kick: Sequence[float],
        drift: Sequence[float],
        frame: Sequence[Array] = (),
        *,
        donate: bool = False,
    ) -> tuple[Array, Array]:
        if force is not None:
            v = self.combine(v if donate else None, *zip(kick, (v, force, *frame), strict=False))
        elif not donate:
            v = v.clone()
        moved = zip(drift, (v, *frame), strict=False)
        return self.combine(psi if donate else None, (1.0, psi), *moved), v
