"""How good a reconstruction is: against the truth where it is known, and by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.gradients.reconstruction import Reconstruction
from zeldo.initial.conditions import InitialConditions
from zeldo.mesh import fft
from zeldo.statistics.modes import field_modes
from zeldo.statistics.spectra import bins, cross_power


@dataclass(frozen=True, eq=False)
class Agreement:
    """Two fields, mode by mode.

    Parameters
    ----------
    k : ndarray
        h/Mpc.
    correlation : ndarray
        r(k) = P_cross / sqrt(P P_reference).
    transfer : ndarray
        T(k) = sqrt(P / P_reference).
    """

    k: np.ndarray
    correlation: np.ndarray
    transfer: np.ndarray

    @classmethod
    def of(cls, field: np.ndarray, reference: np.ndarray, box: float) -> Agreement:
        """Of two fields (m, m, m) in a box, Mpc/h."""
        a, b = field_modes(field), field_modes(reference)
        own, true, both = cross_power(a, a, box), cross_power(b, b, box), cross_power(a, b, box)
        k = bins(len(field)).k * (2 * np.pi / box)
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls(k, both / np.sqrt(own * true), np.sqrt(own / true))

    def at(self, k: float) -> tuple[float, float]:
        """r and T in the bin nearest to k."""
        i = int(np.abs(self.k - k).argmin())
        return float(self.correlation[i]), float(self.transfer[i])


@dataclass(frozen=True)
class Whiteness:
    """The one-point distribution of white noise, without the modes that no field has.

    Parameters
    ----------
    variance : float
        1 of white noise.
    skewness, kurtosis : float
        In units of their standard deviations in as many independent Gaussian numbers.
    """

    variance: float
    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, white_noise: np.ndarray) -> Whiteness:
        """Of white noise on a lattice, (n, n, n)."""
        n = len(white_noise)
        modes = fft.zero_nyquist(fft.forward(np.ascontiguousarray(white_noise, np.float32)))
        modes[0, 0, 0] = 0
        x = fft.inverse(modes, n, scratch=True).astype(np.float64).ravel()
        share = ((n - 1) ** 3 - 1) / n**3  # of the modes
        variance = float(x.var())
        y = x / np.sqrt(variance)
        skewness, kurtosis = float((y**3).mean()), float((y**4).mean() - 3)
        return cls(variance / share, skewness / np.sqrt(6 / n**3), kurtosis / np.sqrt(24 / n**3))


@dataclass(frozen=True, eq=False)
class Assessment:
    """All that the report shows.

    Parameters
    ----------
    estimate, sample : Agreement or None
        Of the best estimate and of a sample of the linear density with the true one; None where the truth is not known.
    estimate_whiteness, sample_whiteness : Whiteness
        Of their white noise.
    predicted : list of Agreement
        Of the density that each kept sample predicts, or the maximum without samples, with the observed one.
    chi2 : list of float
        Of the same with what was sampled, or maximised, for each cell of the mesh; about 1 of samples.
    effective, effective_large : float or None
        Independent samples that the chain is worth: at lattice points, and of the largest scales.
    """

    estimate: Agreement | None
    sample: Agreement | None
    estimate_whiteness: Whiteness
    sample_whiteness: Whiteness
    predicted: list[Agreement]
    chi2: list[float]
    effective: float | None
    effective_large: float | None


def check_truth(truth: InitialConditions, n: int, box: float) -> None:
    """Raise `InputError` unless true initial conditions are on a lattice of n^3 points in a box of this side, Mpc/h."""
    if not isinstance(truth, InitialConditions):
        raise InputError(
            f"truth is a {type(truth).__name__}: give initial conditions, as from zeldo.initial_conditions"
        )
    if (truth.n, truth.box) != (n, box):
        raise InputError(
            f"the truth has {truth.n}^3 points in {truth.box:g} Mpc/h, the reconstruction {n}^3 in {box:g}: "
            "give the truth of the same lattice"
        )


def assess(result: Reconstruction, truth: InitialConditions | None = None) -> Assessment:
    """Judge a reconstruction.

    Parameters
    ----------
    result : Reconstruction
    truth : InitialConditions, optional
        What the observed universe came from, on the same lattice.

    Raises
    ------
    InputError
        For a truth of another box or lattice.
    """
    f, seen = result.function, result.posterior.observation
    estimate = sample = None
    if truth is not None:
        check_truth(truth, f.n, f.box)
        estimate = Agreement.of(result.delta_lin(result.estimate), truth.delta_lin, f.box)
        sample = Agreement.of(result.delta_lin(result.white_noise), truth.delta_lin, f.box)
    chain = result.samples
    draws = [result.maximum] if chain is None else list(chain.draws)
    judged = (result.posterior if chain is None else result.sampled).observation
    predicted = [result.predicted(draw) for draw in draws]
    return Assessment(
        estimate,
        sample,
        Whiteness.of(result.estimate),
        Whiteness.of(result.white_noise),
        [Agreement.of(density, seen.delta.cpu().numpy(), f.box) for density in predicted],
        [float(judged.chi2(torch.from_numpy(density).to(judged.delta))) for density in predicted],
        None if chain is None else chain.effective,
        None if chain is None else chain.effective_large,
    )
