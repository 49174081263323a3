"""What a reconstruction gives: the maximum of the posterior, samples of it, and the initial conditions they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zeldo.brief import brief
from zeldo.gradients import langevin
from zeldo.gradients.function import Differentiable
from zeldo.gradients.posterior import Posterior
from zeldo.initial.conditions import InitialConditions


@dataclass(frozen=True, eq=False)
class Samples:
    """What a chain gave.

    Parameters
    ----------
    mean, deviation : ndarray, (n, n, n)
        Of the posterior of white noise.
    draws : ndarray, (draws, n, n, n)
        White noise at some steps of the chain, the last of them among them.
    energies : ndarray, (samples,)
        Half of chi^2 plus half of the sum of squares.
    large, small : ndarray, (samples, values)
        Modes of the largest scales, and white noise at some lattice points, along the chain.
    """

    mean: np.ndarray
    deviation: np.ndarray
    draws: np.ndarray
    energies: np.ndarray
    large: np.ndarray
    small: np.ndarray

    __repr__ = brief

    @property
    def last(self) -> np.ndarray:
        """White noise at the end of the chain, (n, n, n)."""
        return self.draws[-1]

    @property
    def effective(self) -> float:
        """Independent samples that the chain is worth: the median over lattice points."""
        return _effective(self.small)

    @property
    def effective_large(self) -> float:
        """The same of the modes of the largest scales."""
        return _effective(self.large)


def _effective(traces: np.ndarray) -> float:
    return float(np.median([langevin.effective_size(trace) for trace in traces.T]))


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Recovered initial conditions.

    Parameters
    ----------
    posterior : Posterior
        What was maximised.
    maximum : ndarray, (n, n, n)
        White noise at the maximum.
    sampled : Posterior
        What was sampled: the same, with a draw of the error added to an observation that is called noiseless.
    samples : Samples or None
        None where none were asked for.
    options : dict
        The options of the call, for the record.
    """

    posterior: Posterior
    maximum: np.ndarray
    sampled: Posterior
    samples: Samples | None = None
    options: dict[str, Any] = field(default_factory=dict)

    __repr__ = brief

    @property
    def function(self) -> Differentiable:
        """The universe as a function of white noise."""
        return self.posterior.function

    @property
    def white_noise(self) -> np.ndarray:
        """A sample of the posterior, whose variance is that of white noise; the maximum where there are no samples."""
        return self.maximum if self.samples is None else self.samples.last

    @property
    def estimate(self) -> np.ndarray:
        """The white noise nearest to the truth: the maximum. The mean of a short chain is little more than a sample."""
        return self.maximum

    def delta_lin(self, white_noise: np.ndarray) -> np.ndarray:
        """The linear density contrast today of white noise, (n, n, n)."""
        with torch.no_grad():
            return self.function.delta_lin(torch.from_numpy(white_noise)).cpu().numpy()

    def predicted(self, white_noise: np.ndarray) -> np.ndarray:
        """The density contrast that would be observed without error, (m, m, m)."""
        place = self.function.field.device
        with torch.no_grad():
            return self.posterior.predicted(torch.from_numpy(white_noise).to(place)).cpu().numpy()

    def initial_conditions(self) -> InitialConditions:
        """`white_noise` as initial conditions, for any engine."""
        f = self.function
        power = Path(str(f.field.power)).name
        delta = self.delta_lin(self.white_noise)
        return InitialConditions(f.box, f.n, f.cosmology, delta, power=power, phases="reconstructed")
