"""Microcanonical Langevin Monte Carlo (Robnik et al. 2023, arXiv:2212.08549; Robnik & Seljak 2023, arXiv:2303.18221).

A particle moves at constant speed through the space of parameters; gradients turn it, a little noise makes it forget.
There is no acceptance step. The error of the integration is controlled instead: the variance of its energy error for each
dimension, which sets the length of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from zeldo.gradients.linear import normal_like

# energy (minus the logarithm of the density) and its gradient
Target = Callable[[Tensor], tuple[float, Tensor]]

ENERGY_ERROR = 5e-4  # variance for each dimension
MINIMAL_NORM = 0.1931833275037836  # of the second-order integrator of Omelyan et al. 2003
FIRST_STEP = 0.2  # of the root of the dimensions, where the target has unit variances
LONGEST = 1.2  # as above: no longer steps than this
MEMORY = 0.9  # of the average that sets the length of steps


@dataclass(frozen=True, eq=False)
class Walker:
    """Where a chain stands.

    Parameters
    ----------
    x, u : Tensor
        Place and direction, of one shape; u has unit length.
    energy : float
        Of the target at x.
    gradient : Tensor
        There.
    step : float
        Length of steps.
    error : float
        The running average of the squared energy error for each dimension, over the sixth power of the step.
    """

    x: Tensor
    u: Tensor
    energy: float
    gradient: Tensor
    step: float
    error: float = 0.0


def start(target: Target, x: Tensor, generator: torch.Generator) -> Walker:
    """A walker at x that sets out in a random direction."""
    energy, gradient = target(x)
    u = normal_like(x, generator)
    return Walker(x, u / u.norm(), energy, gradient, FIRST_STEP * math.sqrt(x.numel()))


def advance(
    target: Target,
    walker: Walker,
    generator: torch.Generator,
    *,
    adapt: bool,
    energy_error: float = ENERGY_ERROR,
    length: float = 1.0,
) -> Walker:
    """One step, two gradients.

    Parameters
    ----------
    target : callable
        The energy, and its gradient.
    walker : Walker
    generator : torch.Generator
        Of the noise.
    adapt : bool
        Whether to set the length of the next step by the energy error of this one.
    energy_error : float
        The variance of the energy error for each dimension that is aimed at.
    length : float
        The distance after which the direction is forgotten, in units of the root of the dimensions.
    """
    # sums round by the order of numbers in memory, which a walker from a checkpoint must share
    x, u, gradient = (field.contiguous() for field in (walker.x, walker.u, walker.gradient))
    step = walker.step
    dimensions = x.numel()
    u, kinetic = _turned(u, gradient, MINIMAL_NORM * step)
    x = x + 0.5 * step * u
    _, gradient = target(x)
    if not _finite(gradient):  # the target would refuse where it leads
        return _turned_back(walker)
    u, more = _turned(u, gradient, (1 - 2 * MINIMAL_NORM) * step)
    kinetic += more
    x = x + 0.5 * step * u
    energy, gradient = target(x)
    u, more = _turned(u, gradient, MINIMAL_NORM * step)
    kinetic += more
    error = energy - walker.energy + kinetic
    if not (math.isfinite(error) and _finite(gradient)):
        return _turned_back(walker)
    angle = math.sqrt(math.expm1(2 * step / (length * math.sqrt(dimensions))) / dimensions)
    u = u + angle * normal_like(u, generator)
    moved = replace(walker, x=x, u=u / u.norm(), energy=energy, gradient=gradient)
    return _adapted(moved, error**2 / dimensions, energy_error) if adapt else moved


def _finite(field: Tensor) -> bool:
    return bool(torch.isfinite(field).all())


def _turned_back(walker: Walker) -> Walker:
    """The walker where it was, with a shorter step the other way."""
    return replace(walker, step=walker.step / 2, u=-walker.u)


def _adapted(walker: Walker, error: float, wanted: float) -> Walker:
    scaled = max(error, 1e-3 * wanted) / walker.step**6
    average = scaled if walker.error == 0 else MEMORY * walker.error + (1 - MEMORY) * scaled
    step = min((wanted / average) ** (1 / 6), LONGEST * math.sqrt(walker.x.numel()))
    return replace(walker, error=average, step=step)


def _turned(u: Tensor, gradient: Tensor, step: float) -> tuple[Tensor, float]:
    """The direction after a gradient has acted for a while, and what the kinetic energy gained by it."""
    size = float(gradient.norm())
    if size == 0:
        return u, 0.0
    downhill = gradient / -size
    count = u.numel() - 1
    turn = step * size / count
    along = float((downhill * u).sum())
    shrink = math.exp(-turn)
    turned = downhill * (1 - shrink) * (1 + shrink + along * (1 - shrink)) + 2 * shrink * u
    gained = turn - math.log(2) + math.log(1 + along + (1 - along) * shrink**2)
    return turned / turned.norm(), count * gained


def effective_size(trace: np.ndarray) -> float:
    """How many independent samples a chain of one quantity is worth (Geyer 1992: pairs of autocorrelations while positive).

    Parameters
    ----------
    trace : ndarray, (steps,)

    Returns
    -------
    float
        1 for a chain that does not move, and for one of fewer than four steps, which tells nothing of its correlation.
    """
    x = np.asarray(trace, dtype=np.float64)
    count = len(x)
    if count < 4 or np.ptp(x) <= 1e-12 * np.abs(x).max():
        return 1.0
    x = x - x.mean()
    modes = np.fft.rfft(x, 2 * count)
    correlation = np.fft.irfft(np.abs(modes) ** 2)[:count]
    correlation /= correlation[0]
    pairs = correlation[: count // 2 * 2].reshape(-1, 2).sum(1)
    end = np.argmax(pairs <= 0) if (pairs <= 0).any() else len(pairs)
    pairs = np.minimum.accumulate(pairs[: max(1, int(end))])
    return float(count / max(2 * pairs.sum() - 1, 1 / count))
