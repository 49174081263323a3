"""Coordinates in which the posterior is nearly isotropic, for optimisers and samplers.

They are x = H^(1/2) w, where w is the white noise and H(k) the curvature of the posterior: that of linear theory with the
redshift-space distortion of Kaiser 1987, corrected by a measurement. Linear theory misses the largest part of it on large
scales: a flow that moves all halos by a part of a cell changes the density on a mesh everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zeldo.gradients.linear import DIMENSIONS, normal_like
from zeldo.gradients.posterior import Posterior
from zeldo.statistics.spectra import bins

PROBES = 2  # random directions
PROBE = 1e-2  # their length, in units of white noise


@dataclass(frozen=True, eq=False)
class Whitened:
    """A posterior as a function of x = H^(1/2) w.

    Parameters
    ----------
    posterior : Posterior
    curvature : Tensor, (n, n, n // 2 + 1)
        H of each mode.
    """

    posterior: Posterior
    curvature: Tensor

    @cached_property
    def _root(self) -> Tensor:
        return self.curvature.sqrt()

    def white_noise(self, x: Tensor) -> Tensor:
        """w of x, (n, n, n)."""
        return filtered(x, 1 / self._root)

    def coordinates(self, white_noise: Tensor) -> Tensor:
        """x of w, (n, n, n)."""
        return filtered(white_noise, self._root)

    def value_and_gradient(self, x: Tensor) -> tuple[float, Tensor]:
        """The energy, and its derivative with respect to x."""
        x = x.detach().requires_grad_()
        energy = self.posterior.energy(self.white_noise(x))
        (gradient,) = torch.autograd.grad(energy, x)
        return float(energy.detach()), gradient


def measured_curvature(posterior: Posterior, white_noise: Tensor, generator: torch.Generator) -> Tensor:
    """The curvature of a posterior at some white noise, (n, n, n // 2 + 1), at least 1.

    Differences of gradients in random directions give the diagonal of the Hessian in Fourier space (Hutchinson 1990). Its
    mean over modes of one |k| corrects the curvature of linear theory.

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

    response = size = torch.zeros((), device="cpu")
    for _ in range(PROBES):
        along = normal_like(white_noise, generator)
        change = gradient(white_noise + PROBE * along) - gradient(white_noise - PROBE * along)
        modes, bent = (torch.fft.rfftn(x, dim=DIMENSIONS) for x in (along, change / (2 * PROBE)))
        response, size = response + (modes.conj() * bent).real, size + modes.abs().square()
    linear = posterior.curvature()
    measured = shell_means(response) / shell_means(size)
    return (linear * measured.clamp(min=1) / shell_means(linear)).clamp(min=1)


def filtered(field: Tensor, factor: Tensor) -> Tensor:
    """A field whose modes (n, n, n // 2 + 1) are multiplied by a factor."""
    return torch.fft.irfftn(torch.fft.rfftn(field, dim=DIMENSIONS) * factor, s=field.shape, dim=DIMENSIONS)


def shell_means(modes: Tensor) -> Tensor:
    """Each value (n, n, n // 2 + 1) of an rfft's modes replaced by the mean over the modes of nearly the same |k|."""
    index = bins(len(modes), str(modes.device)).index.long()
    count = torch.bincount(index).clamp(min=1)
    return (torch.bincount(index, modes.flatten()) / count)[index].reshape(modes.shape)
