"""The sampler against pyro's NUTS, scale by scale: on a posterior that is known, and on one that is not Gaussian."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor

import zeldo
from benchmarks.output import bar, heading
from benchmarks.record import Record
from zeldo.gradients import langevin
from zeldo.gradients.maximum import maximise, stages
from zeldo.gradients.posterior import Observation, Posterior
from zeldo.gradients.whitening import Whitened, measured_curvature
from zeldo.initial.phases import Native
from zeldo.mesh import fft

POSTERIORS = {"gaussian": "known posterior", "2lpt": "nuts"}  # and what the sampler is compared with
SPACING = 6.25  # of the lattice, Mpc/h
NOISE, NOISE_2LPT = 0.5, 1.0  # of the density in each cell
BANDS = (("k < 0.2", 0.0, 0.2), ("k = 0.2 to 0.4", 0.2, 0.4), ("k > 0.4", 0.4, np.inf))  # h/Mpc
MEANS, VARIANCES = 0.3, 0.03  # limits: of the excess of mean squares, and of variances' relative difference


class Linear(Posterior):
    """A posterior that is Gaussian: the linear density itself is observed."""

    def predicted(self, white_noise: Tensor) -> Tensor:
        return self.function.delta_lin(white_noise)


@dataclass(frozen=True)
class Lengths:
    """Of both chains, each after its steps of warm-up."""

    nuts: int = 250
    nuts_warm_up: int = 100
    steps: int = 2000
    warm_up: int = 300


@dataclass(frozen=True, eq=False)
class Chain:
    """White noise in Fourier space: `modes` (samples, numbers) have a variance of 1 in the prior."""

    modes: np.ndarray
    gradients: int

    def effective(self) -> float:
        """Independent samples that it is worth: the median over its numbers."""
        return float(np.median([langevin.effective_size(trace) for trace in self.modes.T]))


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and variances of some numbers of a chain, and how uncertain they are.

    Parameters
    ----------
    mean, error : ndarray, (numbers,)
        The error is the variance of the mean.
    squares : ndarray, (samples, numbers)
        Squares of the distance from the mean, which are right in the mean for the variance.
    """

    mean: np.ndarray
    error: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, mean: np.ndarray | None = None) -> Moments:
        """Of values (samples, numbers), about their own mean or a known one."""
        size = float(np.median([langevin.effective_size(trace) for trace in values.T]))
        middle = values.mean(0)
        squares = (values - (middle if mean is None else mean)) ** 2
        if mean is None:
            squares /= 1 - 1 / size
        return cls(middle, squares.mean(0) / size, squares)

    def spread(self, unit: np.ndarray) -> tuple[float, float]:
        """The variance in a unit for each number, on average over the numbers, and the variance of this average."""
        trace = (self.squares / unit).mean(1)
        return float(trace.mean()), float(trace.var() / langevin.effective_size(trace))


def nuts(n: int, lengths: Lengths, record: Record) -> None:
    """Both samplers on both posteriors, each in a process of its own."""
    heading(f"The sampler and NUTS on a posterior that is known, and on 2LPT's density with noise, {n}^3")
    jobs = [(posterior, sampler) for posterior in POSTERIORS for sampler in ("langevin", "nuts")]
    with ProcessPoolExecutor(len(jobs), get_context("spawn")) as pool:
        waiting = [pool.submit(_chain, *job, n, lengths) for job in jobs]
        chains = {job: future.result() for job, future in zip(jobs, waiting, strict=True)}
    for (posterior, sampler), chain in chains.items():
        about: dict[str, Any] = {"engine": posterior, "reference": POSTERIORS[posterior], "n": n}
        record.add("samples", len(chain.modes), field=sampler, **about)
        record.add("effective_samples", chain.effective(), field=sampler, **about)
        record.add("gradients", chain.gradients, field=sampler, **about)
        print(
            f"  {posterior}, {sampler}: {chain.effective():.0f} independent samples of {len(chain.modes)}, "
            f"{chain.gradients} gradients"
        )
    mean, variance = known_moments(gaussian_posterior(n))
    for band, inside in bands(n):
        exact = Moments(mean[inside], 0 * mean[inside], variance[None, inside])
        for sampler in ("langevin", "nuts"):
            found = Moments.of(chains["gaussian", sampler].modes[:, inside], mean[inside])
            _compare("gaussian", f"{sampler}, {band}", n, found, exact, record)
        own, peer = (Moments.of(chains["2lpt", x].modes[:, inside]) for x in ("langevin", "nuts"))
        _compare("2lpt", f"langevin, {band}", n, own, peer, record)


def _chain(posterior: str, sampler: str, n: int, lengths: Lengths) -> Chain:
    """A chain by one sampler, from the maximum; both samplers work in the same coordinates."""
    torch.set_num_threads(1)
    given = gaussian_posterior(n) if posterior == "gaussian" else noisy_posterior(n)
    start = maximise(given, torch.zeros(n, n, n), stages(given, 0.3))
    target = Whitened(given, measured_curvature(given, start, torch.Generator().manual_seed(1)))
    run = by_sampler if sampler == "langevin" else by_nuts
    return run(target, target.coordinates(start), lengths)


def _compare(posterior: str, field: str, n: int, own: Moments, other: Moments, record: Record) -> None:
    """Means by their squared differences in units of the expectation, and variances by their ratio.

    The means of a chain may be nearer than its number of independent samples says, which errs on the small side.
    """
    about: dict[str, Any] = {"engine": posterior, "reference": POSTERIORS[posterior], "n": n, "field": field}
    squared = float(((own.mean - other.mean) ** 2 / (own.error + other.error)).mean())
    unit = other.squares.mean(0)
    (spread, error), (reference, more) = own.spread(unit), other.spread(unit)
    record.add("mean_difference", squared, "sigma^2", **about)
    record.add("variance_ratio", spread / reference, **about)
    record.add("variance_ratio_sigma", np.sqrt(error + more), **about)
    print(
        f"  {posterior}, {field}: squared differences of means {squared:.3f} of their expectation, "
        f"ratio of variances {spread / reference:.4f} with an error of {np.sqrt(error + more):.4f}"
    )
    if not field.startswith("nuts"):
        bar(record, "mean_difference_excess", squared - 1, MEANS, **about)
        bar(record, "variance_ratio_error", abs(spread / reference - 1), VARIANCES, **about)


def gaussian_posterior(n: int) -> Posterior:
    """Of white noise, given the linear density with noise."""
    f = zeldo.differentiable("zeldovich", box=SPACING * n, n=n, power="eisenstein-hu")
    return _observed(Linear(f, Observation(torch.zeros(n, n, n), NOISE)))


def noisy_posterior(n: int) -> Posterior:
    """Of white noise, given 2LPT's density in cells of the lattice's size, with noise."""
    f = zeldo.differentiable("2lpt", box=SPACING * n, n=n, power="eisenstein-hu")
    return _observed(Posterior(f, Observation(torch.zeros(n, n, n), NOISE_2LPT)))


def _observed(empty: Posterior) -> Posterior:
    with torch.no_grad():
        delta = empty.predicted(torch.from_numpy(Native(3).field(empty.function.n)))
    seen = Observation(delta, empty.observation.noise)
    return type(empty)(empty.function, seen.moved(seen.draw(torch.Generator().manual_seed(4))))


def known_moments(posterior: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the numbers that `numbers` takes, of the Gaussian posterior."""
    seen, amplitude = posterior.observation, posterior.function.delta_amplitude.double()
    curvature = 1 + (amplitude / seen.noise) ** 2
    modes = torch.fft.rfftn(seen.delta.double()) * amplitude / seen.noise**2 / curvature
    mean = numbers(torch.fft.irfftn(modes, s=seen.delta.shape))
    each = _independent(1 / curvature.numpy()).ravel()
    return mean, np.concatenate([each, each])


def numbers(white_noise: Tensor) -> np.ndarray:
    """Real and imaginary parts of independent modes of white noise, each of unit variance in the prior."""
    modes = _independent(torch.fft.rfftn(white_noise.double()).numpy()).ravel()
    return np.concatenate([modes.real, modes.imag]) * np.sqrt(2 / white_noise.numel())


def bands(n: int) -> list[tuple[str, np.ndarray]]:
    """Which of these numbers belong to each range of k."""
    x, y, z = fft.wavenumbers(n, SPACING * n)
    k = _independent(np.sqrt(x**2 + y**2 + z**2)).ravel()
    return [(name, np.tile((k >= low) & (k < high), 2)) for name, low, high in BANDS]


def _independent(modes: np.ndarray) -> np.ndarray:
    """Modes (n, n, n // 2 + 1) with 0 < kz < Nyquist, no two of which are conjugates, without other Nyquist planes."""
    half = len(modes) // 2
    inside = np.delete(np.arange(len(modes)), half)
    return modes[np.ix_(inside, inside, np.arange(1, half))]


def by_nuts(target: Whitened, start: Tensor, lengths: Lengths) -> Chain:
    """A chain of pyro's No-U-Turn Sampler."""
    from pyro.infer.mcmc import MCMC, NUTS

    torch.manual_seed(1)
    gradients = 0

    def energy(values: dict[str, Tensor]) -> Tensor:
        nonlocal gradients
        gradients += 1
        return target.posterior.energy(target.white_noise(values["x"]))

    chain = MCMC(
        NUTS(potential_fn=energy, adapt_mass_matrix=False),
        num_samples=lengths.nuts,
        warmup_steps=lengths.nuts_warm_up,
        initial_params={"x": start},
        disable_progbar=True,
    )
    chain.run()
    return Chain(np.array([numbers(target.white_noise(x)) for x in chain.get_samples()["x"]]), gradients)


def by_sampler(target: Whitened, start: Tensor, lengths: Lengths) -> Chain:
    """A chain of zeldo's sampler."""
    generator = torch.Generator().manual_seed(1)
    walker = langevin.start(target.value_and_gradient, start, generator)
    states = []
    for number in range(lengths.warm_up + lengths.steps):
        warming = number < lengths.warm_up
        walker = langevin.advance(target.value_and_gradient, walker, generator, adapt=warming)
        if not warming:
            states.append(numbers(target.white_noise(walker.x)))
    return Chain(np.array(states), 1 + 2 * (lengths.warm_up + lengths.steps))
