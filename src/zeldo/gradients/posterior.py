"""The posterior of white noise, given an observed density: a Gaussian error in each cell, a prior of unit variance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from zeldo.brief import brief
from zeldo.cosmology.background import growth
from zeldo.gradients import statistics
from zeldo.gradients.function import Differentiable
from zeldo.gradients.linear import DIMENSIONS, normal_like
from zeldo.mesh import fft

EVEN = 0.3  # the share of an error's variance that all cells have alike, where the rest goes with their particles


@dataclass(frozen=True, eq=False)
class Observation:
    """An observed density contrast, and what is known of how it was observed.

    Parameters
    ----------
    delta : Tensor, (m, m, m)
        Density contrast on a mesh, by cloud-in-cell.
    noise : float
        Standard deviation of the Gaussian error of a cell, on average over the cells.
    smoothing : float
        Standard deviation of the Gaussian that it was smoothed with, Mpc/h; 0 for none.
    bias : float
        Linear bias: in real space the mean of delta is `bias` times the contrast of matter. Velocities have no bias, so that
        in redshift space a wave grows by b + f mu^2 (Kaiser 1987).
    axis : {0, 1, 2}, optional
        The line of sight of a density in redshift space; None for real space.
    relative : Tensor, (m, m, m), optional
        The error of each cell in units of `noise`; None where all cells have the same.
    """

    delta: Tensor
    noise: float
    smoothing: float = 0.0
    bias: float = 1.0
    axis: int | None = None
    relative: Tensor | None = None

    __repr__ = brief

    def draw(self, generator: torch.Generator) -> Tensor:
        """A draw of the error of all cells, (m, m, m)."""
        unit = normal_like(self.delta, generator)
        return self.noise * (unit if self.relative is None else unit * self.relative)

    def chi2(self, predicted: Tensor) -> Tensor:
        """The mean over the cells of the squared difference from what is predicted, in units of its expectation."""
        residual = predicted - self.delta
        if self.relative is not None:
            residual = residual / self.relative
        return residual.square().mean(dtype=torch.float64) / self.noise**2

    def moved(self, error: Tensor) -> Observation:
        """The observation with an error (m, m, m) added to it."""
        return replace(self, delta=self.delta + error)


def discreteness(delta: Tensor) -> Tensor:
    """The relative error of cells whose variance grows with the number of particles in them, (m, m, m).

    An error that is the same in all cells would hold halos to a part in a thousand: the posterior then is so narrow in
    some directions that neither optimisers nor samplers move along the others.

    Parameters
    ----------
    delta : Tensor, (m, m, m)
        Density contrast.
    """
    return (EVEN + (1 - EVEN) * (1 + delta).clamp(min=0)).sqrt()


@dataclass(frozen=True, eq=False)
class Posterior:
    """Minus the logarithm of the posterior density of white noise, up to a constant.

    Parameters
    ----------
    function : Differentiable
        From white noise to the evolved universe.
    observation : Observation
    scale : float
        The residuals are smoothed by a Gaussian of this standard deviation, Mpc/h: above 0, large scales decide, and all
        cells have the same error.
    """

    function: Differentiable
    observation: Observation
    scale: float = field(default=0.0, kw_only=True)

    __repr__ = brief

    @property
    def mesh(self) -> int:
        """Mesh points per side of the observation."""
        return len(self.observation.delta)

    @property
    def cells(self) -> float:
        """Mesh cells per lattice cell."""
        return (self.mesh / self.function.n) ** 3

    def tempered(self, scale: float, noise: float) -> Self:
        """The posterior with smoothed residuals and another error of a cell, for a search that begins from afar."""
        return replace(self, observation=replace(self.observation, noise=noise), scale=scale)

    def predicted(self, white_noise: Tensor) -> Tensor:
        """The density contrast that would be observed without error, (m, m, m)."""
        seen, f = self.observation, self.function
        psi, vel = f(white_noise)
        if seen.axis is None:
            delta = seen.bias * statistics.density(psi, self.mesh, f.box)
        else:
            assert vel is not None  # it was checked
            there = statistics.redshift_space(psi, vel, f.redshift, f.cosmology, seen.axis)
            delta = statistics.density(there, self.mesh, f.box)
            if seen.bias != 1:  # it multiplies the clustering alone, and not the distortion
                delta = delta + (seen.bias - 1) * statistics.density(psi, self.mesh, f.box)
        return self._smoothed(delta, seen.smoothing)

    def energy(self, white_noise: Tensor) -> Tensor:
        """Half of chi^2 plus half of the sum of squares of white noise (n, n, n)."""
        seen = self.observation
        residual = self._smoothed(self.predicted(white_noise) - seen.delta, self.scale)
        if self.scale == 0 and seen.relative is not None:
            residual = residual / seen.relative
        chi2 = residual.square().sum(dtype=torch.float64) / seen.noise**2
        return 0.5 * (chi2 + self.prior(white_noise))

    def prior(self, white_noise: Tensor) -> Tensor:
        """The sum of squares of white noise."""
        return white_noise.square().sum(dtype=torch.float64)

    def curvature(self) -> Tensor:
        """H(k) of linear theory with the distortion of Kaiser 1987, (n, n, n // 2 + 1), at least 1: the prior's."""
        f, seen = self.function, self.observation
        x, y, z = fft.wavenumbers(f.n, f.box)
        square = x**2 + y**2 + z**2
        a = 1 / (1 + f.redshift)
        grown = growth(f.cosmology)
        response: np.ndarray = np.full_like(square, seen.bias)
        if seen.axis is not None:
            mu2 = (x**2, y**2, z**2)[seen.axis] / np.where(square > 0, square, 1)
            response += float(grown.f1(a)) * mu2
        response *= float(grown.d1(a)) * np.exp(-square * (self.scale**2 + seen.smoothing**2) / 2)
        weight = self.cells / seen.noise**2
        linear = f.delta_amplitude * torch.from_numpy(response).to(f.delta_amplitude)
        return 1 + weight * linear.square()

    def _smoothed(self, delta: Tensor, scale: float) -> Tensor:
        if scale == 0:
            return delta
        modes = torch.fft.rfftn(delta, dim=DIMENSIONS) * torch.exp(-0.5 * scale**2 * self._square)
        return torch.fft.irfftn(modes, s=delta.shape, dim=DIMENSIONS)

    @cached_property
    def _square(self) -> Tensor:
        x, y, z = fft.wavenumbers(self.mesh, self.function.box)
        return torch.from_numpy(x**2 + y**2 + z**2).to(self.observation.delta)


@dataclass(frozen=True, eq=False)
class Perturbed(Posterior):
    """A posterior whose prior is centred on a draw of itself.

    With an error drawn for its data too its maximum is a sample of a Gaussian posterior, and near one of others (Bardsley
    et al. 2014, randomise then optimise).

    Parameters
    ----------
    white_noise : Tensor, (n, n, n)
        A draw of the prior.
    """

    white_noise: Tensor

    def prior(self, white_noise: Tensor) -> Tensor:
        return super().prior(white_noise - self.white_noise)
