"""Terms of losses by scale and by density, of whole periodic boxes: ln(1 - r^2), spectra, particles of dense places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from zeldo.mesh.torch_numba import paint, read

DENSITY_MESH = 2  # mesh cells per lattice spacing of densities that are compared by scale
EPSILON = torch.finfo(torch.float32).eps
SMALLEST = EPSILON**2  # power in a shell below which fields of order one are rounding
ROUNDING = 1e-5  # share of the error's power below which 1 - r^2 is rounding
EXACT = 1e-24  # of 1 - r^2 where there is no error at all: its inverse over a small power is still a float32
# in units of the mean: ends of the intervals, from filaments to the cores of halos
DENSITIES = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
FEW = 20.0  # particles: of fewer, the number is left to chance


class Scales(NamedTuple):
    """How wrong a field is, scale by scale: means over shells of wavenumber that are one mode wide.

    Parameters
    ----------
    decorrelation : Tensor
        ln(1 - r^2), where each shell has the same weight. It does not depend on amplitudes, so that it does not trade power
        for a smaller error.
    spectrum : Tensor
        ln^2(P / P_true), where equal intervals of ln k have the same weight.
    """

    decorrelation: Tensor
    spectrum: Tensor


def by_scale(field: Tensor, truth: Tensor) -> Scales:
    """The scales of a periodic field up to its Nyquist wavenumber.

    Parameters
    ----------
    field, truth : Tensor, (components, m, m, m)
        The spectra of the components are summed.

    Returns
    -------
    Scales
        Both scalars.
    """
    n = field.shape[-1]
    with torch.no_grad():
        true = _modes(truth)
    return _scales(_modes(field), true, _Shells.of(n, n // 2, 1, str(field.device)))


def number_by_scale(psi: Tensor, target: Tensor, *, wedges: int = 1) -> Scales:
    """The scales of the density of particles, up to the Nyquist wavenumber of their lattice.

    The windows of both fields are equal and cancel in the ratios. A mesh finer than the lattice keeps what the painting
    aliases out of these scales.

    Parameters
    ----------
    psi, target : Tensor, (3, n, n, n)
        Predicted and true displacement of a whole periodic box, in lattice spacings.
    wedges : int
        Intervals of the cosine between a mode and the third axis, each with a spectrum of its own.

    Returns
    -------
    Scales
        Both scalars.
    """
    n = psi.shape[-1]
    m = DENSITY_MESH * n
    with torch.no_grad():
        truth = _modes(paint(target, m, float(n))[None])
    field = _modes(paint(psi, m, float(n))[None])
    return _scales(field, truth, _Shells.of(m, n // 2, wedges, str(psi.device)))


class Crowding(NamedTuple):
    """How wrong the particles of dense places are: means over intervals of the density at the particles.

    Parameters
    ----------
    particles : Tensor
        ln^2(N / N_true), with N the number of particles.
    energy : Tensor
        ln^2(E / E_true), with E their mean square velocity.
    """

    particles: Tensor
    energy: Tensor


def by_density(psi: Tensor, vel: Tensor, target: Tensor, target_vel: Tensor) -> Crowding:
    """The particles of voids, filaments and halos, and how fast they move.

    A network that answers with the mean of possible halos makes them smooth, too massive and too cold. Neither spectra nor
    1 - r^2 show it as this does. The intervals have soft ends, so that there is a gradient.

    Parameters
    ----------
    psi, vel : Tensor, (3, n, n, n)
        Predicted displacement of a whole periodic box, in lattice spacings, and velocity, in any unit.
    target, target_vel : Tensor, (3, n, n, n)
        The true ones.

    Returns
    -------
    Crowding
        Both scalars.
    """
    with torch.no_grad():
        true_count, true_energy = _counted(target, target_vel)
        typical = FEW * target_vel.square().sum(0).mean() + SMALLEST
    count, energy = _counted(psi, vel)
    numbers = (count + FEW) / (true_count + FEW)
    means = (energy + typical) / (true_energy + typical) / numbers
    return Crowding(numbers.log().square().mean(), means.log().square().mean())


def _counted(psi: Tensor, vel: Tensor) -> tuple[Tensor, Tensor]:
    """Per interval of the density, the number of particles and the sum of their squared velocities."""
    n = psi.shape[-1]
    density = read(paint(psi, DENSITY_MESH * n, float(n)), psi, float(n)).reshape(-1)
    square = vel.square().sum(0).reshape(-1)
    shares = [((power := (density / edge).square().square()) / (1 + power)) for edge in DENSITIES]
    inside = torch.stack([first - second for first, second in pairwise(shares)] + shares[-1:])
    return inside.sum(1), inside @ square


def _modes(field: Tensor) -> Tensor:
    return torch.fft.rfftn(field, dim=(1, 2, 3), norm="forward")


def _scales(field: Tensor, truth: Tensor, shells: _Shells) -> Scales:
    with torch.no_grad():
        true = shells.sum(truth, truth) + SMALLEST
    error = field - truth
    # of small errors, 1 - r^2 is exact only from the error itself
    wrong, shared = shells.sum(error, error), shells.sum(error, truth)
    # not from the three others: where a prediction has next to no power, their sum is rounding and may be negative
    power = shells.sum(field, field) + SMALLEST
    floor = ROUNDING * wrong / true
    lost = (wrong - shared * (shared / true)) / (power + EPSILON * true)
    log_lost = (lost.clamp(min=0) + floor + EXACT).log()
    ratio = (power / true).log().square()
    return Scales(log_lost[shells.weights > 0].mean(), (ratio * shells.weights).sum())


@dataclass(frozen=True, eq=False)
class _Shells:
    """Shells 1 to `last` of the modes of a real field, in wedges of the cosine to the third axis.

    Parameters
    ----------
    index : Tensor
        Of each mode, the number of its wedge and shell; 0 for modes left out.
    multiplicity : Tensor
        How often a mode occurs in the full spectrum.
    wedges, last : int
        Their numbers.
    weights : Tensor, (wedges, last)
        1 / k with a sum of 1; 0 where a shell has no mode in a wedge.
    """

    index: Tensor
    multiplicity: Tensor
    wedges: int
    last: int
    weights: Tensor

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, m: int, last: int, wedges: int, device: str) -> _Shells:
        """The shells of a field of m^3 points."""
        whole, half = torch.fft.fftfreq(m, 1 / m, device=device), torch.arange(m // 2 + 1, device=device)
        k = (whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half[None, None, :] ** 2).sqrt()
        shell = k.round().long()
        wedge = (wedges * half / k.clamp(min=0.5)).long().clamp(max=wedges - 1)
        index = torch.where((shell > 0) & (shell <= last), wedge * last + shell, 0)
        multiplicity = torch.full_like(half, 2.0, dtype=torch.float32)
        multiplicity[0] = multiplicity[-1] = 1.0
        index = index.reshape(-1)
        filled = (torch.bincount(index, minlength=1 + wedges * last)[1:] > 0).view(wedges, last)
        weights = filled / torch.arange(1, last + 1, device=device, dtype=torch.float32)
        return cls(index, multiplicity, wedges, last, weights / weights.sum())

    def sum(self, a: Tensor, b: Tensor) -> Tensor:
        """Re(a b*) of all modes of a shell, summed over components, (wedges, last)."""
        product = ((a.real * b.real + a.imag * b.imag) * self.multiplicity).sum(0).reshape(-1)
        sums = product.new_zeros(1 + self.wedges * self.last).index_add_(0, self.index, product)
        return sums[1:].view(self.wedges, self.last)
