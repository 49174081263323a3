"""Statistics of displaced lattices as differentiable functions of tensors: the twins of `zeldo.statistics`.

Wavenumbers are arrays without gradients; what depends on the particles is a tensor. Densities of spectra are those of
`zeldo.statistics.modes`: cubic splines on two interlaced meshes, window divided out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeldo.keywords import axis_index
from zeldo.mesh import fft, torch_numba, torch_splines
from zeldo.mesh.checks import check_mesh
from zeldo.statistics.bispectrum import Shell, closed_mesh, resized, shells
from zeldo.statistics.modes import CUBIC_SPLINE, mode_numbers
from zeldo.statistics.redshift_space import shift_per_velocity
from zeldo.statistics.spectra import bins

Binned = tuple[np.ndarray, Tensor]


def density(psi: Tensor, m: int, box: float) -> Tensor:
    """Density contrast on a mesh by cloud-in-cell.

    Parameters
    ----------
    psi : Tensor, (3, n, n, n)
        Displacement, Mpc/h.
    m : int
        Mesh points per side.
    box : float
        Side of the box, Mpc/h.

    Returns
    -------
    Tensor, (m, m, m)
    """
    return torch_numba.paint(psi, check_mesh(m), box) - 1


def redshift_space(
    psi: Tensor, vel: Tensor, redshift: float, cosmology: Any, axis: int | str = "z"
) -> Tensor:
    """The displacement as an observer far away sees it, (3, n, n, n) Mpc/h.

    Parameters
    ----------
    psi, vel : Tensor, (3, n, n, n)
        Displacement, Mpc/h, and peculiar velocity, km/s.
    redshift : float
    cosmology : Cosmology or VariedCosmology
        It gives the expansion.
    axis : {"x", "y", "z", 0, 1, 2}
        The line of sight.
    """
    index = axis_index(axis)
    along = torch.zeros(3, 1, 1, 1, dtype=psi.dtype, device=psi.device)
    along[index] = 1
    return psi + along * (shift_per_velocity(cosmology, redshift) * vel[index])


def density_modes(psi: Tensor, mesh: int, box: float) -> Tensor:
    """delta_k of a displaced lattice, (mesh, mesh, mesh // 2 + 1), zero in the mean mode."""
    mesh = check_mesh(mesh)
    full, last = (x.to(psi.device, torch.float64) / mesh for x in mode_numbers(mesh))
    axes = full[:, None, None], full[:, None], last
    shift = torch.polar(torch.ones_like(full), torch.pi * full)
    turns = shift[:, None, None], shift[:, None], torch.polar(torch.ones_like(last), torch.pi * last)
    aside, modes = (
        torch.fft.rfftn(torch_splines.paint(psi, mesh, box, offset), norm="forward") for offset in (0.5, 0.0)
    )
    for turn in turns:
        aside = aside * turn.to(aside.dtype)
    modes = 0.5 * (modes + aside)
    for nu in axes:
        modes = modes * (torch.sinc(nu) ** -CUBIC_SPLINE).to(psi.dtype)
    keep = torch.ones(modes.shape, dtype=psi.dtype, device=psi.device)
    keep[0, 0, 0] = 0
    return modes * keep


def power_spectrum(psi: Tensor, box: float, mesh: int | None = None) -> Binned:
    """Wavenumbers (h/Mpc) and P(k), (Mpc/h)^3 float64, of a displaced lattice; bins as of `zeldo.power_spectrum`.

    Parameters
    ----------
    psi : Tensor, (3, n, n, n)
        Displacement, Mpc/h.
    box : float
        Side of the box, Mpc/h.
    mesh : int, optional
        Points per side, by default twice the lattice.
    """
    mesh = 2 * psi.shape[-1] if mesh is None else mesh
    modes = density_modes(psi, mesh, box)
    return _wavenumbers(mesh, box), _means(modes.abs() ** 2) * box**3


def multipoles(psi: Tensor, box: float, axis: int | str = "z", mesh: int | None = None) -> Binned:
    """Wavenumbers, and monopole, quadrupole and hexadecapole (3, bins) of a displacement in redshift space.

    Parameters
    ----------
    psi : Tensor, (3, n, n, n)
        Displacement in redshift space, Mpc/h, from `redshift_space`.
    box : float
        Side of the box, Mpc/h.
    axis : {"x", "y", "z", 0, 1, 2}
        The line of sight.
    mesh : int, optional
        Points per side, by default twice the lattice.
    """
    mesh = 2 * psi.shape[-1] if mesh is None else mesh
    power = density_modes(psi, mesh, box).abs() ** 2 * box**3
    full, last = (x.to(psi.device, psi.dtype) ** 2 for x in mode_numbers(mesh))
    squares = full[:, None, None], full[:, None], last
    size = squares[0] + squares[1] + squares[2]
    mu2 = squares[axis_index(axis)] / torch.where(size > 0, size, torch.ones_like(size))
    legendre = torch.ones_like(mu2), 5 * (1.5 * mu2 - 0.5), 9 * ((35 * mu2 - 30) * mu2 + 3) / 8
    return _wavenumbers(mesh, box), torch.stack([_means(power * weight) for weight in legendre])


def equilateral_bispectrum(
    psi: Tensor, box: float, mesh: int | None = None, width: float = 3.0, k_max: float | None = None
) -> Binned:
    """Wavenumbers and B(k, k, k), (Mpc/h)^6, of shells as in `zeldo.equilateral_bispectrum`.

    Parameters
    ----------
    psi : Tensor, (3, n, n, n)
        Displacement, Mpc/h.
    box : float
        Side of the box, Mpc/h.
    mesh : int, optional
        Points per side, by default twice the lattice.
    width : float
        Width of a shell, in fundamental modes.
    k_max : float, optional
        h/Mpc; by default the Nyquist wavenumber of the lattice, or of the mesh if that is lower.
    """
    n = psi.shape[-1]
    mesh = 2 * n if mesh is None else mesh
    top = min(n, mesh) / 2 if k_max is None else min(k_max * box / (2 * np.pi), mesh / 2)
    modes = density_modes(psi, mesh, box)
    k, values = zip(*(_equilateral(modes, box, shell) for shell in shells(1.0, top, width)), strict=True)
    return np.array(k), torch.stack(values)


def _equilateral(modes: Tensor, box: float, shell: Shell) -> tuple[float, Tensor]:
    m = closed_mesh(3 * [shell])
    small = resized(modes, m)
    x, y, z = fft.wavenumbers(m)
    length = np.sqrt(x**2 + y**2 + z**2)
    inside = (length >= shell[0]) & (length < shell[1])
    mask = torch.as_tensor(inside, dtype=modes.real.dtype, device=modes.device)
    waves = torch.fft.irfftn(small * mask, s=(m, m, m), norm="forward")
    ones = torch.fft.irfftn(mask.to(modes.dtype), s=(m, m, m), norm="forward")
    twice = np.where(z > 0, 2, 1) * inside
    k = 2 * np.pi / box * float((twice * length).sum() / twice.sum())
    return k, box**6 * (waves**3).mean() / (ones**3).mean()


def _wavenumbers(mesh: int, box: float) -> np.ndarray:
    return bins(mesh).k * (2 * np.pi / box)


def _means(values: Tensor) -> Tensor:
    """Means over bins of the fundamental mode, (m / 2 - 1,) float64, of values on an rfft's modes."""
    m = values.shape[0]
    group = bins(m, str(values.device))
    weighted = (values * group.weight.to(values.dtype)).reshape(-1).double()
    size = int(np.sqrt(3) * m / 2) + 2
    sums = torch.zeros(size, dtype=torch.float64, device=values.device).index_add(
        0, group.index.long(), weighted
    )
    return sums[1 : m // 2] / torch.as_tensor(group.modes, device=values.device)
