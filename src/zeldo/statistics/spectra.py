"""Power and cross power of periodic fields, in bins of the fundamental mode.

P = <|delta_k|^2> V with delta_k = (1/N) sum delta exp(-ikx); k in h/Mpc, P in (Mpc/h)^3 times the field's
unit squared. Sums over a bin are made in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from zeldo.brief import brief
from zeldo.errors import InputError
from zeldo.mesh.checks import MAX_MESH, check_mesh
from zeldo.mesh.torch_accelerated import kept
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot
from zeldo.particles.tiles import slabs
from zeldo.statistics.matter import matter_of
from zeldo.statistics.modes import density_modes, mode_numbers

TOGETHER = 2**24  # mesh points whose modes are binned together


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
        Number of modes in each bin.
    """

    k: np.ndarray
    power: np.ndarray
    modes: np.ndarray

    __repr__ = brief


Values = torch.Tensor | Callable[[slice], torch.Tensor]  # of all modes, or by planes of the first axis


@dataclass(frozen=True, eq=False)
class Bins:
    """Modes of an m^3 mesh by round(|k| / fundamental), 1 to m/2 - 1: shells beyond are not complete.

    index: flat, of an rfft's modes. weight: (m//2 + 1,), 2 where a mode stands for its conjugate too.
    k: mean |k| of a bin in units of the fundamental. modes: number of modes, conjugates counted.
    Large meshes are binned some planes of the first axis at a time.
    """

    m: int
    index: torch.Tensor
    weight: torch.Tensor
    k: np.ndarray
    modes: np.ndarray

    def sums(self, values: Values) -> np.ndarray:
        """(m/2 - 1,) float64: sums over bins of real values on the modes, conjugates counted."""
        total, row = torch.zeros(1, dtype=torch.float64, device=self.index.device), self.m * len(self.weight)
        for planes in parts(self.m):
            some = values[planes] if isinstance(values, torch.Tensor) else values(planes)
            weighted = (some * self.weight.to(some.dtype)).reshape(-1).double()
            index = self.index[row * planes.start : row * planes.stop]
            total = total + torch.bincount(index, weights=weighted, minlength=self.m // 2)[: self.m // 2]
        return total[1:].cpu().numpy()

    def means(self, values: Values) -> np.ndarray:
        """(m/2 - 1,) float64: means over bins of real values on the modes."""
        return self.sums(values) / self.modes


@lru_cache(maxsize=4)
def bins(m: int, device: str | torch.device = "cpu") -> Bins:
    """The `Bins` of an m^3 mesh, kept for the last few meshes."""
    m = check_mesh(m)
    return kept(lambda: _bins(m, device))


def _bins(m: int, device: str | torch.device) -> Bins:
    i, kz = mode_numbers(m, device)

    def size(planes: slice) -> torch.Tensor:
        return (i[planes, None, None] ** 2 + i[None, :, None] ** 2 + kz**2).double().sqrt()

    index = torch.empty((m, m, m // 2 + 1), dtype=torch.int32, device=device)
    for planes in parts(m):
        # a whole number's root is never halfway between whole numbers: no tie to break
        index[planes] = size(planes).round().int()
    weight = torch.full((m // 2 + 1,), 2, device=device, dtype=torch.float32)
    weight[0] = weight[-1] = 1
    unweighted = Bins(m, index.reshape(-1), weight, np.empty(0), np.ones(m // 2 - 1))
    modes = unweighted.sums(lambda planes: torch.ones_like(size(planes)))
    return Bins(m, unweighted.index, weight, unweighted.sums(size) / modes, modes)


def parts(m: int) -> Iterator[slice]:
    """Planes of an m^3 mesh that are looked at together: all of them up to 256^3."""
    yield from (slice(*piece) for piece in slabs(m, max(1, TOGETHER // m**2)))


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
    total = sum(mean_product(x, y) for x, y in zip(a, b, strict=True))
    return np.asarray(total) * box**3


def mean_product(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """(m / 2 - 1,) float64: means of Re(a b*) over the bins of modes (m, m, m // 2 + 1)."""

    def product(planes: slice) -> torch.Tensor:
        return a[planes].real * b[planes].real + a[planes].imag * b[planes].imag

    return bins(a.shape[0], str(a.device)).means(product)


def power_spectrum(
    snapshot: Snapshot | Particles,
    *,
    mesh: int | None = None,
    subtract_shot_noise: bool = False,
    device: str | torch.device = "cpu",
) -> Spectrum:
    """P(k) of the matter density of a snapshot, by `density_modes`.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        The particles, of equal mass.
    mesh : int, optional
        Points per side, by default twice the lattice, or twice N^(1/3) for bare particles. For tracers, whose header
        says `whole=False` as that of `HaloCatalogue.tracers` does, it is 128 at least.
    subtract_shot_noise : bool
        Subtract V/N, which is exact to 0.02 %. Particles that start from a lattice have no shot noise until orbits
        cross, so for the matter of a simulation leave it out. Halos have some.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Spectrum
        From the fundamental mode to the mesh's Nyquist wavenumber.

    Raises
    ------
    InputError
        For a mesh that is odd or too small, and for anything but one snapshot.
    """
    matter = matter_of(snapshot, "power_spectrum")
    mesh = check_mesh(2 * matter.n if mesh is None else mesh, MAX_MESH)
    modes = density_modes(snapshot, mesh, device=device)
    return spectrum(modes, matter.box, shot_noise=matter.count if subtract_shot_noise else None)


def cross_power_spectrum(
    first: Snapshot | Particles,
    second: Snapshot | Particles,
    *,
    mesh: int | None = None,
    device: str | torch.device = "cpu",
) -> Spectrum:
    """Cross power of the densities of two sets of particles in one box, by `density_modes`.

    Parameters
    ----------
    first, second : Snapshot or Particles
        Such as halos (`HaloCatalogue.tracers`) and the matter that they are in. They share no shot noise.
    mesh : int, optional
        Points per side, by default the larger of those of `power_spectrum`.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Spectrum
        From the fundamental mode to the mesh's Nyquist wavenumber.

    Raises
    ------
    InputError
        For boxes that differ, a mesh that is odd or too small, and for anything but one snapshot each.
    """
    a, b = (matter_of(each, "cross_power_spectrum") for each in (first, second))
    if not np.isclose(a.box, b.box, rtol=1e-5, atol=0):
        raise InputError(
            f"boxes of {a.box:g} and {b.box:g} Mpc/h have no waves in common: give particles of one box"
        )
    mesh = check_mesh(2 * max(a.n, b.n) if mesh is None else mesh, MAX_MESH)
    modes, others = (density_modes(each, mesh, device=device) for each in (first, second))
    return spectrum(modes, a.box, others=others)


def spectrum(
    modes: torch.Tensor,
    box: float,
    *,
    others: torch.Tensor | None = None,
    shot_noise: int | None = None,
) -> Spectrum:
    """`Spectrum` of modes, or of them and others; shot_noise: the number of particles whose noise is taken off."""
    group = bins(modes.shape[-3], str(modes.device))
    power = cross_power(modes, modes if others is None else others, box)
    if shot_noise:
        power = power - box**3 / shot_noise
    return Spectrum(group.k * (2 * np.pi / box), power, group.modes.copy())
