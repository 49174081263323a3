"""Numba's mesh kernels as differentiable functions of tensors in main memory.

Values and first derivatives are Numba's, which are float32. Derivatives beyond and those of `torch.func.jvp` are torch's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from zeldo.mesh import numba_kernels, torch_kernels
from zeldo.mesh.checks import MAX_MESH, check_box, check_mesh
from zeldo.mesh.numba_gravity import NumbaGravity
from zeldo.mesh.torch_accelerated import Tensors, accelerated, kept
from zeldo.mesh.torch_gravity import TorchArithmetic, TorchGravity


def takes(device: str | torch.device, dtype: torch.dtype) -> bool:
    """Whether these kernels serve tensors of a device and type."""
    return torch.device(device).type == "cpu" and dtype == torch.float32


def paint(psi: Tensor, m: int, box: float) -> Tensor:
    """Cloud-in-cell density of a displaced lattice in units of its mean.

    Parameters
    ----------
    psi : Tensor, (3, n, n, n)
        Displacement, Mpc/h, of any type and on any device: Numba's kernels serve float32 in main memory, torch's the others.
    m : int
        Mesh points per side.
    box : float
        Side of the box, Mpc/h.

    Returns
    -------
    Tensor, (m, m, m)
    """
    if not takes(psi.device, psi.dtype):
        return torch_kernels.paint(psi, m, box)
    torch_kernels.check_lattice(psi)
    check_box(box)
    return accelerated(_Paint(check_mesh(m, MAX_MESH), box), psi)


def read(field: Tensor, psi: Tensor, box: float) -> Tensor:
    """A mesh field at the particles of a displaced lattice, with the weights of `paint`.

    Parameters
    ----------
    field : Tensor, (m, m, m)
    psi : Tensor, (3, n, n, n)
        Displacement, Mpc/h, of the same type and device.
    box : float
        Side of the box, Mpc/h.

    Returns
    -------
    Tensor, (n, n, n)
    """
    if not takes(psi.device, psi.dtype):
        return torch_kernels.read(field, psi, box)
    torch_kernels.check_lattice(psi)
    torch_kernels.check_field(field, box)
    return accelerated(_Read(box), field, psi)


def differentiable_gravity(
    box: float,
    m: int,
    *,
    gradient: str = "difference",
    deconvolution: float = 0.0,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> HostGravity | TorchGravity:
    """The force on tensors, differentiable any number of times; arguments as of `zeldo.mesh.gravity.gravity`."""
    if device != "torch" and takes(device, dtype):
        return HostGravity(box, m, gradient, deconvolution)
    kind = np.float64 if dtype == torch.float64 else np.float32
    return TorchGravity(box, m, gradient, deconvolution, "cpu" if device == "torch" else device, kind)


class HostGravity(TorchArithmetic):
    """The force of `NumbaGravity` on tensors."""

    def __init__(self, box: float, m: int, gradient: str, deconvolution: float):
        self.options = box, m, gradient, deconvolution
        self.numba = NumbaGravity(*self.options)

    def __reduce__(self) -> tuple[type[HostGravity], tuple[float, int, str, float]]:
        return HostGravity, self.options  # the mesh and what it remembers are made again

    @cached_property
    def twin(self) -> TorchGravity:
        """The same force by torch, for further derivatives."""
        return kept(lambda: TorchGravity(*self.options, "cpu"))

    def __call__(
        self, psi: Tensor, offset: float = 0.0, out: Tensor | None = None, sharpening: float = 0.0
    ) -> Tensor:
        return accelerated(_Force(self, float(offset), float(sharpening)), psi)

    def density(self, psi: Tensor) -> Tensor:
        return paint(psi, self.numba.m, self.numba.box)

    def potential(self, psi: Tensor) -> Tensor:
        return self.twin.potential(psi)

    def pull_back(
        self, psi: Tensor, offset: float, cotangent: Tensor, sharpening: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        force, back = self.numba.pull_back(array(psi), float(offset), array(cotangent), float(sharpening))
        return torch.from_numpy(force), torch.from_numpy(back)

    def array(self, field: np.ndarray) -> Tensor:
        return torch.as_tensor(field, dtype=torch.float32, device="cpu")

    def numpy(self, field: Tensor) -> np.ndarray:
        return array(field)


def array(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers as Numba's kernels take them."""
    return tensor.detach().contiguous().numpy()


@dataclass(frozen=True, eq=False)
class _Force:
    gravity: HostGravity
    offset: float
    sharpening: float

    def value(self, psi: Tensor) -> Tensor:
        return torch.from_numpy(self.gravity.numba(array(psi), self.offset, sharpening=self.sharpening))

    def pull_back(self, inputs: Tensors, cotangents: Tensors) -> Tensors:
        return (self.gravity.pull_back(inputs[0], self.offset, cotangents[0], self.sharpening)[1],)

    def reference(self, psi: Tensor) -> Tensor:
        return self.gravity.twin(psi, self.offset, sharpening=self.sharpening)


@dataclass(frozen=True)
class _Paint:
    m: int
    box: float

    def value(self, psi: Tensor) -> Tensor:
        return torch.from_numpy(numba_kernels.paint(array(psi), self.m, self.box))

    def pull_back(self, inputs: Tensors, cotangents: Tensors) -> Tensors:
        psi = array(inputs[0])
        factor = (self.m / psi.shape[1]) ** 3
        return (torch.from_numpy(_slopes(array(cotangents[0]), psi, self.box, factor)),)

    def reference(self, psi: Tensor) -> Tensor:
        return torch_kernels.paint(psi, self.m, self.box)


@dataclass(frozen=True)
class _Read:
    box: float

    def value(self, field: Tensor, psi: Tensor) -> Tensor:
        return torch.from_numpy(numba_kernels.read(array(field), array(psi), self.box))

    def pull_back(self, inputs: Tensors, cotangents: Tensors) -> Tensors:
        from zeldo.mesh.transposes import spread_into

        field, psi, weights = array(inputs[0]), array(inputs[1]), array(cotangents[0])
        m = field.shape[0]
        vectors, mesh = np.zeros_like(psi), np.empty((m, m, m + 1, 4), np.float32)
        vectors[0] = weights
        spread_into(mesh, vectors, psi, self.box, 0.0)
        by_psi = _slopes(field, psi, self.box, 1.0) * weights
        return torch.from_numpy(mesh[:, :, :m, 0].copy()), torch.from_numpy(by_psi)

    def reference(self, field: Tensor, psi: Tensor) -> Tensor:
        return torch_kernels.read(field, psi, self.box)


def _slopes(field: np.ndarray, psi: np.ndarray, box: float, factor: float) -> np.ndarray:
    from zeldo.mesh.rows import index_like
    from zeldo.mesh.transposes import read_slopes

    out, scale = np.zeros_like(psi), np.float32(field.shape[0] / box)
    read_slopes(field, psi, scale, np.float32(0), np.float32(factor), index_like(field.size), out)
    return out
