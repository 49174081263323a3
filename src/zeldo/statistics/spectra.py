"""Power and cross power of periodic fields, in bins of the fundamental mode.

P = <|delta_k|^2> V with delta_k = (1/N) sum delta exp(-ikx); k in h/Mpc, P in (Mpc/h)^3 times the field's
unit squared. Modes are kept in the fields' precision, sums over a bin are made in float64. The cloud-in-cell
window is divided out of the modes (Hockney & Eastwood 1988); interlacing follows Sefusatti et al. 2016
(arXiv:1512.07295), the alias sums of shot noise Jing 2005 (astro-ph/0409240).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint, paint_positions
from zeldo.particles.snapshot import Snapshot

CLOUD_IN_CELL = 2  # power of sinc in the window along each axis


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Power in bins of the fundamental mode; arrays of one length, float64.

    Parameters
    ----------
    k : ndarray
        Mean wavenumber of each bin, h/Mpc.
    power : ndarray
        (Mpc/h)^3.
    modes : ndarray
        How many modes each bin averages.
    """

    k: np.ndarray
    power: np.ndarray
    modes: np.ndarray


@dataclass(frozen=True, eq=False)
class Bins:
    """Modes of an m^3 mesh by round(|k| / fundamental), 1 to m/2 - 1: shells beyond are not complete.

    index: flat, of an rfft's modes. weight: (m//2 + 1,), 2 where a mode stands for its conjugate too.
    k: mean |k| of a bin in units of the fundamental. modes: number of modes, conjugates counted.
    """

    m: int
    index: torch.Tensor
    weight: torch.Tensor
    k: np.ndarray
    modes: np.ndarray

    def sums(self, values: torch.Tensor) -> np.ndarray:
        """(m/2 - 1,) float64: sums over bins of real values on the modes, conjugates counted."""
        weighted = (values * self.weight.to(values.dtype)).reshape(-1)
        total = torch.bincount(self.index, weights=weighted.double(), minlength=self.m // 2)
        return total[1 : self.m // 2].cpu().numpy()

    def means(self, values: torch.Tensor) -> np.ndarray:
        """(m/2 - 1,) float64: means over bins of real values on the modes."""
        return self.sums(values) / self.modes


def check_mesh(mesh: int) -> int:
    """`mesh` where it is an even number from 4 on, else `InputError`."""
    if not isinstance(mesh, int | np.integer) or mesh < 4 or mesh % 2:
        raise InputError(
            f"mesh = {mesh!r} is not allowed: give an even number of mesh points per side, from 4 on"
        )
    return int(mesh)


@lru_cache(maxsize=4)
def bins(m: int, device: str | torch.device = "cpu") -> Bins:
    """The `Bins` of an m^3 mesh, kept for the last few meshes."""
    m = check_mesh(m)
    i, kz = mode_numbers(m, device)
    square = i[:, None, None] ** 2 + i[None, :, None] ** 2 + kz**2
    size = square.double().sqrt()
    # a whole number's root is never halfway between whole numbers: no tie to break
    index = size.round().int().reshape(-1)
    weight = torch.full((m // 2 + 1,), 2, device=device, dtype=torch.float32)
    weight[0] = weight[-1] = 1
    unweighted = Bins(m, index, weight, np.empty(0), np.ones(m // 2 - 1))
    modes = unweighted.sums(torch.ones_like(size))
    return Bins(m, index, weight, unweighted.sums(size) / modes, modes)


def mode_numbers(m: int, device: str | torch.device = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Whole wavenumbers of an rfft along the first two axes (m,) and along the last (m//2 + 1,)."""
    last = torch.arange(m // 2 + 1, device=device)
    full = torch.arange(m, device=device)
    return torch.where(full < m - m // 2, full, full - m), last


def as_tensor(array: torch.Tensor | np.ndarray, device: str | torch.device | None = None) -> torch.Tensor:
    """The array as a tensor on a device, not copied where it need not be."""
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
    field = as_tensor(field)
    m = field.shape[-1]
    modes = torch.fft.rfftn(field, dim=(-3, -2, -1), norm="forward")
    if window:
        for k in _axes(m, modes.device):
            modes *= (torch.sinc(k / m) ** -window).to(field.dtype)
    return modes


def density_modes(
    particles: Snapshot | torch.Tensor,
    mesh: int,
    box: float | None = None,
    *,
    interlace: bool = False,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """The modes delta_k of particles on a mesh, cloud-in-cell window divided out.

    Parameters
    ----------
    particles : Snapshot or tensor
        A snapshot; or displacements (3, n, n, n) from the lattice, or positions (N, 3), Mpc/h, together with `box`.
    mesh : int
        Points per side, even.
    box : float, optional
        Side of the box of bare particles, Mpc/h.
    interlace : bool
        Average with a mesh that is half a cell aside, which cancels half of the aliases.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    tensor
        (mesh, mesh, mesh // 2 + 1), zero in the mean mode.

    Raises
    ------
    InputError
        For a mesh that is odd or too small, and bare particles without a box.
    """
    mesh = check_mesh(mesh)
    if isinstance(particles, Snapshot):
        box = particles.box
        x = as_tensor(particles.psi, device)
    elif box is None:
        raise InputError("particles come without a box: give box, its side in Mpc/h")
    else:
        x = as_tensor(particles, device)
    kernel = paint if x.ndim == 4 else paint_positions
    modes = field_modes(kernel(x, mesh, box), CLOUD_IN_CELL)
    if interlace:
        aside = field_modes(kernel(x + 0.5 * box / mesh, mesh, box), CLOUD_IN_CELL)
        for k in _axes(mesh, modes.device):
            aside *= torch.polar(torch.ones_like(k), torch.pi * k / mesh).to(modes.dtype)
        modes = (modes + aside) / 2
    modes[0, 0, 0] = 0  # density 1 + delta: the mean is not part of delta
    return modes


def cross_power(
    a: Sequence[torch.Tensor] | torch.Tensor, b: Sequence[torch.Tensor] | torch.Tensor, box: float
) -> np.ndarray:
    """Cross power of modes in bins of the fundamental mode, summed over components.

    Parameters
    ----------
    a, b : tensor or sequence of tensor
        (..., m, m, m // 2 + 1) each.
    box : float
        Side of the box, Mpc/h.

    Returns
    -------
    ndarray
        (m / 2 - 1,) float64, (Mpc/h)^3 times the fields' units.
    """
    a, b = (
        list(x) if not isinstance(x, torch.Tensor) else list(x.reshape(-1, *x.shape[-3:])) for x in (a, b)
    )
    group = bins(a[0].shape[0], str(a[0].device))
    total = sum(group.means(x.real * y.real + x.imag * y.imag) for x, y in zip(a, b, strict=True))
    return np.asarray(total) * box**3


def power_spectrum(
    snapshot: Snapshot,
    mesh: int | None = None,
    interlace: bool = False,
    subtract_shot_noise: bool = False,
    *,
    device: str | torch.device = "cpu",
) -> Spectrum:
    """P(k) of the matter density of a snapshot.

    Parameters
    ----------
    snapshot : Snapshot
        The particles.
    mesh : int, optional
        Points per side, twice the lattice where absent.
    interlace : bool
        Average with a mesh that is half a cell aside, which cancels half of the aliases.
    subtract_shot_noise : bool
        Take V/N and its aliases off. Particles that set out from a lattice have no shot noise until orbits cross, so for a
        simulation's matter leave it out.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Spectrum
        From the fundamental mode to the mesh's Nyquist wavenumber.

    Raises
    ------
    InputError
        For a mesh that is odd or too small.
    """
    mesh = check_mesh(2 * snapshot.n if mesh is None else mesh)
    modes = density_modes(snapshot, mesh, interlace=interlace, device=device)
    return spectrum(
        modes, snapshot.box, shot_noise=snapshot.n**3 if subtract_shot_noise else None, interlace=interlace
    )


def spectrum(
    modes: torch.Tensor, box: float, *, shot_noise: int | None = None, interlace: bool = False
) -> Spectrum:
    """`Spectrum` of modes of one field; shot_noise: the number of particles whose noise is taken off."""
    group = bins(modes.shape[-3], str(modes.device))
    power = cross_power(modes, modes, box)
    if shot_noise:
        power = power - box**3 / shot_noise * shot_noise_shape(group.m, interlace, modes.device)
    return Spectrum(group.k * (2 * np.pi / box), power, group.modes.copy())


def shot_noise_shape(m: int, interlace: bool = False, device: str | torch.device = "cpu") -> np.ndarray:
    """(m/2 - 1,): shot noise on a mesh, cloud-in-cell divided out, over V/N: above 1 by its aliases."""
    k = _axes(m, device)
    cosines = [torch.cos(torch.pi * x / m) for x in k]
    window = torch.sinc(k[0] / m) * torch.sinc(k[1] / m) * torch.sinc(k[2] / m)
    # sums over aliases of the window squared along an axis: all with sign +, and odd ones with sign -
    every_x, every_y, every_z = ((1 + 2 * c**2) / 3 for c in cosines)
    odd_x, odd_y, odd_z = ((c**3 + 5 * c) / 6 for c in cosines)
    every, odd = every_x * every_y * every_z, odd_x * odd_y * odd_z
    aliased = (every + odd) / 2 if interlace else every
    return bins(m, str(device)).means(aliased / window ** (2 * CLOUD_IN_CELL))


def _axes(m: int, device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whole wavenumbers, float64, shaped to broadcast along each axis of an rfft."""
    full, last = mode_numbers(m, device)
    return full.double()[:, None, None], full.double()[:, None], last.double()
