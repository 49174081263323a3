"""Coordinates in which the posterior is nearly isotropic, for optimisers and samplers.

They are x = H^(1/2) w, where w is the white noise and H(k) the curvature of the posterior: that of linear theory with the
redshift-space distortion of Kaiser 1987, or one measured where the maximum is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zeldo.gradients.linear import DIMENSIONS
from zeldo.gradients.posterior import Posterior
from zeldo.statistics.spectra import bins

PROBES = 4  # random directions
PROBE = 1e-3  # their length, in units of white noise


@dataclass(frozen=True, eq=False)
class Whitened:
    """A posterior as a function of x = H^(1/2) w.

    Parameters
    ----------
    posterior : Posterior
    scale, noise
        As of `Posterior.energy`.
    measured : Tensor, (n, n, n // 2 + 1), optional
        The curvature over that of linear theory, from `measured_curvature`; 1 where absent.
    """

    posterior: Posterior
    scale: float = 0.0
    noise: float | None = None
    measured: Tensor | None = None

    @cached_property
    def _root(self) -> Tensor:
        curvature = self.posterior.curvature(self.scale, self.noise)
        return (curvature if self.measured is None else curvature * self.measured).clamp(min=1).sqrt()

    def white_noise(self, x: Tensor) -> Tensor:
        """w of x, (n, n, n)."""
        return filtered(x, 1 / self._root)

    def coordinates(self, white_noise: Tensor) -> Tensor:
        """x of w, (n, n, n)."""
        return filtered(white_noise, self._root)

    def value_and_gradient(self, x: Tensor) -> tuple[float, Tensor]:
        """The energy, and its derivative with respect to x."""
        x = x.detach().requires_grad_()
        energy = self.posterior.energy(self.white_noise(x), self.scale, self.noise)
        (gradient,) = torch.autograd.grad(energy, x)
        return float(energy.detach()), gradient


def measured_curvature(posterior: Posterior, white_noise: Tensor, generator: torch.Generator) -> Tensor:
    """The curvature of a posterior at a place over that of linear theory, (n, n, n // 2 + 1), alike for modes of one |k|.

    It is the diagonal of the Hessian in Fourier space by differences of gradients in random directions (Hutchinson 1990).

    Parameters
    ----------
    posterior : Posterior
    white_noise : Tensor, (n, n, n)
        The place.
    generator : torch.Generator
        Of the directions.
    """

    def gradient(white_noise: Tensor) -> Tensor:
        white_noise = white_noise.detach().requires_grad_()
        return torch.autograd.grad(posterior.energy(white_noise), white_noise)[0]

    total: Tensor | float = 0.0
    for _ in range(PROBES):
        along = torch.randn(white_noise.shape, generator=generator, dtype=torch.float64).to(white_noise)
        bent = gradient(white_noise + PROBE * along) - gradient(white_noise - PROBE * along)
        modes, response = (torch.fft.rfftn(x, dim=DIMENSIONS) for x in (along, bent / (2 * PROBE)))
        total = total + shell_means((modes.conj() * response).real) / shell_means(modes.abs().square())
    return (total / PROBES).clamp(min=1) / shell_means(posterior.curvature())


def filtered(field: Tensor, factor: Tensor) -> Tensor:
    """A field whose modes (n, n, n // 2 + 1) are multiplied by a factor."""
    return torch.fft.irfftn(torch.fft.rfftn(field, dim=DIMENSIONS) * factor, s=field.shape, dim=DIMENSIONS)


def shell_means(modes: Tensor) -> Tensor:
    """Each value (n, n, n // 2 + 1) of an rfft's modes replaced by the mean over the modes of nearly the same |k|."""
    index = bins(len(modes), str(modes.device)).index.long()
    count = torch.bincount(index).clamp(min=1)
    return (torch.bincount(index, modes.flatten()) / count)[index].reshape(modes.shape)
