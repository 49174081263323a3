"""Fourier modes of periodic fields, and of the density of particles.

delta_k = (1/N) sum delta exp(-ikx), in the fields' precision.

Densities are painted by piecewise cubic splines on two interlaced meshes and the window is divided out (Sefusatti et
al. 2016, arXiv:1512.07295). Cloud-in-cell alone is off by 15 % at 0.9 of the lattice's Nyquist wavenumber and z = 49:
its cloud has a kink where the lattice's particles sit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.mesh import torch_splines
from zeldo.mesh.checks import check_mesh
from zeldo.mesh.gravity import check_device
from zeldo.mesh.torch_kernels import paint
from zeldo.particles.particles import Particles
from zeldo.particles.passes import for_kernels
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.matter import matter_of

CLOUD_IN_CELL, CUBIC_SPLINE = 2, 4  # power of sinc in the window along each axis


def mode_numbers(m: int, device: str | torch.device = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Whole wavenumbers of an rfft along the first two axes (m,) and along the last (m//2 + 1,)."""
    last = torch.arange(m // 2 + 1, device=device)
    full = torch.arange(m, device=device)
    return torch.where(full < m - m // 2, full, full - m), last


def as_tensor(array: torch.Tensor | np.ndarray, device: str | torch.device | None = None) -> torch.Tensor:
    """The array as a tensor on a device, not copied where it need not be. `InputError` for a device that cannot be used."""
    if device is not None and device != "cpu":
        device = check_device(str(device))
    if isinstance(array, np.ndarray) and (not array.dtype.isnative or array.dtype.itemsize > 8):
        array = for_kernels(array)
    if isinstance(array, np.ndarray) and not array.flags.writeable:  # torch would warn of it
        array = array.copy()
    return torch.as_tensor(array, device=device)


def field_modes(field: torch.Tensor | np.ndarray, window: int = 0) -> torch.Tensor:
    """The modes of real fields.

    Parameters
    ----------
    field : tensor or ndarray
        (..., m, m, m).
    window : int
        Power of sinc along each axis that is divided out.

    Returns
    -------
    tensor
        (..., m, m, m // 2 + 1), (1 / m^3) sum of field exp(-ikx).
    """
    modes = torch.fft.rfftn(as_tensor(field), dim=(-3, -2, -1), norm="forward")
    return without_window(modes, window) if window else modes


def without_window(modes: torch.Tensor, window: int, scale: float = 1.0) -> torch.Tensor:
    """Modes, which are overwritten, times a scale and divided by a power of sinc along each axis."""
    inverse = [torch.sinc(k / modes.shape[-3]) ** -window for k in _axes(modes.shape[-3], modes.device)]
    inverse[0] *= scale
    for factor in inverse:
        modes *= factor.to(modes.real.dtype)
    return modes


def density_modes(
    particles: Snapshot | Particles | torch.Tensor | np.ndarray,
    mesh: int,
    box: float | None = None,
    *,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """The modes delta_k of particles on a mesh: cubic splines, two interlaced meshes, window divided out.

    Parameters
    ----------
    particles : Snapshot, Particles, tensor or ndarray
        A snapshot or particles; or, together with `box`, displacements (3, n, n, n) from the lattice or positions (N, 3),
        Mpc/h.
    mesh : int
        Points per side, even. On a mesh of twice the lattice, P(k) is within 0.1 % of a direct sum over particles up to
        the lattice's Nyquist wavenumber, at any redshift. From there to the mesh's Nyquist wavenumber it is within some
        3 %.
    box : float, optional
        Side of the box of bare particles, Mpc/h.
    device : str or torch.device
        Where to compute. Tensors that require a gradient get one.

    Returns
    -------
    tensor
        (mesh, mesh, mesh // 2 + 1) complex, zero in the mean mode.

    Raises
    ------
    InputError
        For a mesh that is odd or too small, and bare particles without a box.
    """
    mesh = check_mesh(mesh)
    if not isinstance(particles, torch.Tensor | np.ndarray):
        matter = matter_of(particles, "density_modes")
        box = matter.box
        x = as_tensor(matter.points, device)
    elif box is None:
        raise InputError("particles come without a box: give box, its side in Mpc/h")
    else:
        x = as_tensor(particles, device)
    modes = interlaced(lambda offset: _paint(x, mesh, box, offset), mesh, CUBIC_SPLINE)
    return placed(modes, particles) if isinstance(particles, Snapshot) else modes


def interlaced(paint: Callable[[float], torch.Tensor], mesh: int, window: int) -> torch.Tensor:
    """Modes of a density that `paint` gives on a mesh moved by an offset in cells, without its window, a power of sinc."""
    # the second mesh is half a cell aside: in the mean of both every odd alias cancels
    modes = field_modes(paint(0.5))
    for k in _axes(mesh, modes.device):
        modes *= torch.polar(torch.ones_like(k), torch.pi * k / mesh).to(modes.dtype)
    modes += field_modes(paint(0.0))
    modes = without_window(modes, window, scale=0.5)
    modes[0, 0, 0] = 0
    return modes


def _paint(x: torch.Tensor, mesh: int, box: float, offset: float) -> torch.Tensor:
    if x.requires_grad or x.device.type != "cpu":
        return torch_splines.paint(x, mesh, box, offset)
    from zeldo.mesh import splines

    return torch.from_numpy(splines.paint(x.numpy(), mesh, box, offset))


def cloud_in_cell_modes(snapshot: Snapshot, mesh: int, *, device: str | torch.device = "cpu") -> torch.Tensor:
    """Density modes of a snapshot by cloud-in-cell on one mesh, with the window divided out.

    This is the convention behind published T and 1 - r^2. For power spectra take `density_modes`.

    Parameters
    ----------
    snapshot : Snapshot
        The particles.
    mesh : int
        Mesh points per side, even.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Tensor, (mesh, mesh, mesh // 2 + 1)
        delta_k = (1/N) sum delta exp(-ikx).
    """
    modes = field_modes(paint(as_tensor(snapshot.psi, device), check_mesh(mesh), snapshot.box), CLOUD_IN_CELL)
    modes[0, 0, 0] = 0
    return placed(modes, snapshot)


def placed(modes: torch.Tensor, snapshot: Snapshot) -> torch.Tensor:
    """The modes of a field whose first point is where the snapshot's lattice begins, as of one that begins at the corner.

    Parameters
    ----------
    modes : tensor, (..., m, m, m // 2 + 1)
        They are overwritten.
    snapshot : Snapshot
        With its `offset`.
    """
    for k, cells in zip(_axes(modes.shape[-3], modes.device), snapshot.offset, strict=True):
        if cells:
            modes *= torch.polar(torch.ones_like(k), -2 * torch.pi * cells / snapshot.n * k).to(modes.dtype)
    return modes


def _axes(m: int, device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whole wavenumbers, float64, shaped to broadcast along each axis of an rfft."""
    full, last = mode_numbers(m, device)
    return full.double()[:, None, None], full.double()[:, None], last.double()
