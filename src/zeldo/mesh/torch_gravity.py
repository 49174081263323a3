"""The force of a particle mesh on any torch device: the twin of NumbaGravity, on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zeldo.mesh import torch_kernels
from zeldo.mesh.modes import mode_factors, window_factors


class TorchArithmetic:
    """Linear combinations of tensors; factors may be tensors too. A force is a whole field at once."""

    def held(
        self, psi: Tensor, offset: float = 0.0, out: Tensor | None = None, sharpening: float = 0.0
    ) -> Tensor:
        return self(psi, offset, out, sharpening)  # type: ignore[operator]

    def whole(self, force: Tensor) -> Tensor:
        return force

    def combine(self, out: Tensor | None, *terms: tuple[float, Tensor]) -> Tensor:
        (factor, field), *others = terms
        total = factor * field
        for factor, field in others:
            total = total + factor * field
        return total if out is None else out.copy_(total)

    def advance(
        self,
        psi: Tensor,
        v: Tensor,
        force: Tensor | None,
        kick: Sequence[float],
        drift: Sequence[float],
        frame: Sequence[Tensor] = (),
        *,
        donate: bool = False,
    ) -> tuple[Tensor, Tensor]:
        if force is not None:
            v = self.combine(v if donate else None, *zip(kick, (v, force, *frame), strict=False))
        elif not donate:
            v = v.clone()
        moved = zip(drift, (v, *frame), strict=False)
        return self.combine(psi if donate else None, (1.0, psi), *moved), v


def inverse_laplacian(
    m: int, box: float, deconvolution: float, device: str, dtype: type
) -> tuple[list[Tensor], Tensor]:
    """k (h/Mpc) along each axis of the modes (m, m, m // 2 + 1), and -1 / |k|^2 times the factor of the window there.

    It is zero for the mean and on Nyquist planes; deconvolution and dtype as of `mode_factors`.
    """
    k, window = mode_factors(m, box, deconvolution, dtype)
    half = m // 2 + 1
    axes = [torch.from_numpy(axis).to(device) for axis in np.ix_(k, k, k[:half])]
    square = axes[0] ** 2 + axes[1] ** 2 + axes[2] ** 2
    square[0, 0, 0] = torch.inf
    green = -1 / square
    for axis in np.ix_(window, window, window[:half]):
        green *= torch.from_numpy(axis).to(device)
    return axes, green


class TorchGravity(TorchArithmetic):
    """Any torch device's: the same steps, nothing kept but the Green's function."""

    def __init__(
        self,
        box: float,
        m: int,
        gradient: str,
        deconvolution: float,
        device: str,
        dtype: type = np.float32,
    ):
        self.box, self.m, self.device, self.spectral = box, m, device, gradient == "spectral"
        self.dtype = torch.float64 if dtype is np.float64 else torch.float32
        self.k, self.green = inverse_laplacian(m, box, deconvolution, device, dtype)

    def __call__(
        self, psi: Tensor, offset: float = 0.0, out: Tensor | None = None, sharpening: float = 0.0
    ) -> Tensor:
        if offset:
            psi = psi + offset * self.box / self.m
        modes, shape = self._solve(psi), 3 * (self.m,)
        if sharpening:
            window = window_factors(self.m, sharpening, np.float64)
            for axis in np.ix_(window, window, window[: self.m // 2 + 1]):
                modes = modes * torch.from_numpy(axis).to(self.green)
        if not self.spectral:
            phi = torch.fft.irfftn(modes, s=shape)
            del modes
            return torch_kernels.read_gradient(phi, psi, self.box)
        components = (torch.fft.irfftn(-1j * k * modes, s=shape) for k in self.k)
        return torch.stack([torch_kernels.read(component, psi, self.box) for component in components])

    def density(self, psi: Tensor) -> Tensor:
        return torch_kernels.paint(psi, self.m, self.box)

    def potential(self, psi: Tensor) -> Tensor:
        return torch.fft.irfftn(self._solve(psi), s=3 * (self.m,))

    def pull_back(
        self, psi: Tensor, offset: float, cotangent: Tensor, sharpening: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = psi.detach().requires_grad_()
            force = self(at, offset, None, sharpening)
            (back,) = torch.autograd.grad(force, at, cotangent)
        return force.detach(), back

    def _solve(self, psi: Tensor) -> Tensor:
        """The potential's modes."""
        return torch.fft.rfftn(torch_kernels.paint(psi, self.m, self.box)) * self.green

    def array(self, field: np.ndarray) -> Tensor:
        return torch.as_tensor(field, dtype=self.dtype, device=self.device)

    def numpy(self, field: Tensor | np.ndarray) -> np.ndarray:
        return field if isinstance(field, np.ndarray) else field.detach().cpu().numpy()
