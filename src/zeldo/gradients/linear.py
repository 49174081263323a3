"""From white noise to the linear density and its displacements, in torch: the differentiable twin of `zeldo.initial`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from zeldo.cosmology.eisenstein_hu import eisenstein_hu_power, sigma_grid
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import LinearPower, linear_power
from zeldo.cosmology.varied import VariedCosmology
from zeldo.gradients.shape import Ratio
from zeldo.initial.lpt import DIAGONAL, MIXED
from zeldo.mesh import fft
from zeldo.mesh.torch_accelerated import kept
from zeldo.mesh.torch_gravity import inverse_laplacian

DIMENSIONS = (-3, -2, -1)


def normal_like(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers of unit variance, drawn in float64 on the CPU, so that they are the same for all types and devices."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float64, device="cpu").to(like)


@dataclass(frozen=True, eq=False)
class LinearField:
    """The linear density of a lattice, as a function of white noise and cosmology.

    Parameters
    ----------
    box : float
        Side, Mpc/h.
    n : int
        Lattice points per side.
    cosmology : Cosmology
        Where the power spectrum is that of `power`. Elsewhere it changes as `zeldo.gradients.shape` says.
    power : str or path
        As in `zeldo.linear_power`.
    dtype : torch.dtype
        Of all fields.
    device : str
        Where all fields are.
    """

    box: float
    n: int
    cosmology: Cosmology
    power: str | os.PathLike[str] = "camb"
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def delta_lin(self, white_noise: Tensor, cosmology: VariedCosmology | None = None) -> Tensor:
        """Linear density contrast today, (n, n, n), from white noise of unit variance (n, n, n)."""
        amplitude = self.base_amplitude if cosmology is None else self.amplitude(cosmology)
        return self.from_modes(torch.fft.rfftn(white_noise, dim=DIMENSIONS) * amplitude)

    def from_modes(self, modes: Tensor) -> Tensor:
        """The field of unnormalised modes (n, n, n // 2 + 1)."""
        return torch.fft.irfftn(modes, s=3 * (self.n,), dim=DIMENSIONS)

    def amplitude(self, cosmology: VariedCosmology) -> Tensor:
        """sqrt(P n^3 / V) of each mode, (n, n, n // 2 + 1): of delta over white noise. Zero where the field has no modes."""
        constants = self._constants
        power = _spectrum(cosmology, constants.k, constants.ratios)
        table = torch.sqrt(power * (self.n**3 / self.box**3)).to(self.dtype)
        flat = torch.cat([table.new_zeros(1), table]).index_select(0, constants.place)
        return flat.reshape(self.n, self.n, self.n // 2 + 1)

    def spectrum(self, cosmology: VariedCosmology, k: np.ndarray) -> Tensor:
        """Linear P(k) today, (Mpc/h)^3 float64, of k in h/Mpc."""
        return _spectrum(cosmology, torch.as_tensor(k, device=self.device), _ratios(self, k))

    def displacements(self, delta_lin: Tensor) -> tuple[Tensor, Tensor]:
        """psi_lin and grad phi2 today, (3, n, n, n) Mpc/h each: see `zeldo.initial.lpt`."""
        phi = torch.fft.rfftn(delta_lin, dim=DIMENSIONS) * self._constants.green
        return self._minus_gradient(phi), self._minus_gradient(self._second_potential(phi))

    def linear_displacement(self, delta_lin: Tensor) -> Tensor:
        """psi_lin today, (3, n, n, n) Mpc/h."""
        return self._minus_gradient(torch.fft.rfftn(delta_lin, dim=DIMENSIONS) * self._constants.green)

    def _second_potential(self, phi: Tensor) -> Tensor:
        k = self._constants.axes

        def second(i: int, j: int) -> Tensor:
            return self.from_modes(-(k[i] * k[j]) * phi)

        xx, yy, zz = (second(i, j) for i, j in DIAGONAL)
        source = -(xx * yy + (xx + yy) * zz)
        for i, j in MIXED:
            source = source + second(i, j) ** 2
        return torch.fft.rfftn(source, dim=DIMENSIONS) * self._constants.green

    def _minus_gradient(self, phi: Tensor) -> Tensor:
        return torch.stack([self.from_modes(-1j * k * phi) for k in self._constants.axes])

    @cached_property
    def model(self) -> LinearPower:
        """The linear power in the cosmology where the field is at home."""
        return linear_power(self.cosmology, self.power)

    @cached_property
    def _constants(self) -> _Constants:
        return kept(lambda: _Constants.of(self))

    @cached_property
    def base_amplitude(self) -> Tensor:
        """`amplitude` where the field is at home."""
        return kept(lambda: self.amplitude(VariedCosmology.of(self.cosmology, {}, self.device)))


Ratios = tuple[Ratio, Ratio]


@dataclass(frozen=True, eq=False)
class _Constants:
    """What does not depend on the field.

    place: of each mode in a table of P by |k|^2 in units of the fundamental, 0 for no power. k: of that table. ratios:
    of the model's power to that of Eisenstein & Hu. axes: k along each. green: of the inverse Laplacian.
    """

    place: Tensor
    k: Tensor
    ratios: Ratios
    axes: list[Tensor]
    green: Tensor

    @classmethod
    def of(cls, field: LinearField) -> _Constants:
        n, device = field.n, field.device
        x, y, z = fft.wavenumbers(n)
        place = (x**2 + y**2 + z**2).astype(np.int64)
        fft.zero_nyquist(place)
        values = np.sqrt(np.arange(1, place.max() + 1)) * (2 * np.pi / field.box)
        real = np.float64 if field.dtype == torch.float64 else np.float32
        return cls(
            torch.from_numpy(place.reshape(-1)).to(device),
            torch.from_numpy(values).to(device),
            _ratios(field, values),
            *inverse_laplacian(n, field.box, 0, device, real),
        )


def _ratios(field: LinearField, k: np.ndarray) -> Ratios:
    """The model's power over that of Eisenstein & Hu, at k and in the integral for sigma_8."""
    at, whole = (Ratio(field.model, field.cosmology, x, field.device) for x in (k, sigma_grid()))
    return at, whole


def _spectrum(c: VariedCosmology, k: Tensor, ratios: Ratios) -> Tensor:
    at, whole = ratios
    return eisenstein_hu_power(k, c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8, (at(c), whole(c)))
