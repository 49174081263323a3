"""The maximum of the posterior by L-BFGS, from large scales to small and from a tolerant likelihood to a strict one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from zeldo.gradients.linear import normal_like
from zeldo.gradients.posterior import Perturbed, Posterior
from zeldo.gradients.whitening import Whitened, measured_curvature

# scale in lattice spacings, noise in a lattice cell, iterations
SCHEDULE = (
    (2.0, 0.5, 20),
    (1.25, 0.5, 20),
    (0.75, 0.5, 25),
    (0.5, 0.5, 30),
    (0.25, 0.4, 30),
    (0.0, 0.3, 60),
    (0.0, 0.2, 120),
)
LAST = 120  # iterations of each later stage, whose noise is half of the one before
HISTORY = 10  # steps that L-BFGS remembers


@dataclass(frozen=True)
class Stage:
    """One minimisation.

    Parameters
    ----------
    scale : float
        Smoothing of the residuals, Mpc/h.
    noise : float
        Of a mesh cell.
    iterations : int
        At most.
    """

    scale: float
    noise: float
    iterations: int


def stages(posterior: Posterior, effort: float = 1.0) -> list[Stage]:
    """The minimisations that lead to the maximum: their noise never falls below the observation's.

    Parameters
    ----------
    posterior : Posterior
    effort : float
        What the usual numbers of iterations are multiplied by.
    """
    spacing = posterior.function.box / posterior.function.n
    unit, least = posterior.cells**0.5, posterior.observation.noise
    plan = [(scale * spacing, max(noise * unit, least), count) for scale, noise, count in SCHEDULE]
    while plan[-1][1] > least * (1 + 1e-9):
        plan.append((0.0, max(plan[-1][1] / 2, least), LAST))
    kept = [(s, n, c) for i, (s, n, c) in enumerate(plan) if i == 0 or (s, n) != plan[i - 1][:2]]
    return [Stage(scale, noise, max(1, round(effort * count))) for scale, noise, count in kept]


Watch = Callable[[int, int, Tensor], None]  # the stage, iterations done in it, the white noise


def maximise(
    posterior: Posterior,
    white_noise: Tensor,
    plan: Sequence[Stage],
    *,
    first: tuple[int, int] = (0, 0),
    watch: Watch = lambda *_: None,
) -> Tensor:
    """The white noise where the posterior is largest.

    Parameters
    ----------
    posterior : Posterior
    white_noise : Tensor, (n, n, n)
        Where to begin.
    plan : sequence of Stage
    first : (int, int)
        The stage to begin with, and the iterations that it has behind it.
    watch : callable, optional
        Called after each iteration. An exception that it raises ends the search.
    """
    for number in range(first[0], len(plan)):
        before = first[1] if number == first[0] else 0
        white_noise = _minimise(posterior, white_noise, plan[number], before, partial(watch, number))
    return white_noise


def perturbed_maximum(
    posterior: Posterior,
    maximum: Tensor,
    iterations: int,
    generator: torch.Generator,
    watch: Callable[[int, Tensor], None],
) -> Tensor:
    """A sample, as far as the posterior is Gaussian: its maximum with data and prior moved by a draw of their errors.

    It sets out from the maximum, with whose halos in place the directions that the data leave open find their draw.
    """
    seen = posterior.observation
    draw = normal_like(maximum, generator)
    target = Perturbed(posterior.function, seen.moved(seen.draw(generator)), draw)
    return _minimise(target, maximum, Stage(0.0, seen.noise, iterations), 0, watch)


def _minimise(
    posterior: Posterior, white_noise: Tensor, stage: Stage, done: int, watch: Callable[[int, Tensor], None]
) -> Tensor:
    """A stage that has some iterations behind it."""
    from scipy.optimize import minimize

    if done >= stage.iterations:
        return white_noise
    posterior = posterior.tempered(stage.scale, stage.noise)
    if white_noise.any():
        curvature = measured_curvature(posterior, white_noise, torch.Generator().manual_seed(0))
    else:  # all particles are on mesh points, where cloud-in-cell has its kinks
        curvature = posterior.curvature()
    target = Whitened(posterior, curvature)

    def tensor(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x.reshape(white_noise.shape)).to(white_noise)

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = target.value_and_gradient(tensor(x))
        return energy, gradient.double().cpu().numpy().ravel()

    def after(x: np.ndarray) -> None:
        nonlocal done
        done += 1
        watch(done, target.white_noise(tensor(x)))

    start = target.coordinates(white_noise).double().cpu().numpy().ravel()
    options = {"maxiter": stage.iterations - done, "maxcor": HISTORY, "ftol": 1e-9}
    result = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", callback=after, options=options)
    return target.white_noise(tensor(result.x))
