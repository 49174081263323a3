"""The shape of the linear power as cosmology changes: that of Eisenstein & Hu times a ratio to the model's own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from zeldo.cosmology.eisenstein_hu import eisenstein_hu_power
from zeldo.cosmology.parameters import RANGES, Cosmology
from zeldo.cosmology.power import LinearPower, linear_power
from zeldo.cosmology.varied import VariedCosmology
from zeldo.mesh.torch_accelerated import kept

SHAPING = ("omega_m", "omega_b", "h")  # n_s and sigma_8 act alike in every model
STEP = 0.01  # in ln p, of central differences


class Ratio:
    """The power of a model over that of Eisenstein & Hu 1998 at fixed wavenumbers, up to a factor.

    In its own cosmology it is exact. For CAMB its logarithm is linear in those of `SHAPING`, with CAMB's own derivatives.
    Eisenstein & Hu's are off by up to 0.1 in d ln P / d ln p. For a table, which knows one cosmology alone, it is constant.

    Parameters
    ----------
    model : LinearPower
    cosmology : Cosmology
        Its own.
    k : ndarray
        Wavenumbers, h/Mpc.
    device : str
        Where the ratio is.
    """

    def __init__(self, model: LinearPower, cosmology: Cosmology, k: np.ndarray, device: str):
        self.cosmology, self.k, self.device = cosmology, k, device
        self.here = self._tensor(model(k) / _eisenstein_hu(cosmology, k))
        self.changes = model.model == "camb"
        self._slopes: dict[str, Tensor] = {}

    def __call__(self, cosmology: VariedCosmology) -> Tensor:
        """At each k, in a cosmology."""
        if not self.changes:
            return self.here
        changed = [name for name in SHAPING if name in cosmology.given]
        own, values = self.cosmology.to_dict(), cosmology.to_dict()
        terms = [self._slope(name) * torch.log(values[name] / own[name]) for name in changed]
        return self.here * torch.exp(torch.stack(terms).sum(0)) if terms else self.here

    def _slope(self, name: str) -> Tensor:
        """The derivative of ln ratio with ln p."""
        if name not in self._slopes:
            self._slopes[name] = kept(lambda: self._tensor(self._difference(name)))
        return self._slopes[name]

    def _difference(self, name: str) -> np.ndarray:
        value, (lowest, highest) = self.cosmology.to_dict()[name], RANGES[name]
        low, high = max(value * math.exp(-STEP), lowest), min(value * math.exp(STEP), highest)
        ratios = []
        for p in (low, high):
            there = replace(self.cosmology, **{name: p})
            ratios.append(np.log(linear_power(there, "camb")(self.k) / _eisenstein_hu(there, self.k)))
        return (ratios[1] - ratios[0]) / math.log(high / low)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)


def _eisenstein_hu(c: Cosmology, k: np.ndarray) -> np.ndarray:
    return eisenstein_hu_power(k, c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8)
