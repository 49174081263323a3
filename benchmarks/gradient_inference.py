"""Initial conditions recovered on universes that nothing was tuned on, and the sampler against NUTS."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import zeldo
from benchmarks.machine import threads
from benchmarks.output import bar, heading
from benchmarks.record import Record
from zeldo.gradients import langevin
from zeldo.gradients.assess import Agreement, Whiteness
from zeldo.gradients.maximum import maximise, stages
from zeldo.gradients.posterior import Observation, Posterior
from zeldo.gradients.whitening import Whitened, measured_curvature
from zeldo.initial.phases import Native

SEEDS = (12, 13, 14)  # schedule, tolerance and sampler were chosen on seeds 1 to 3
NOISE = 0.5  # of the density that NUTS and the sampler compare on
NUTS_SAMPLES, NUTS_WARM_UP = 300, 150
STEPS, WARM_UP = 4000, 1000  # of the sampler there


def reconstruction(n: int, seeds: Sequence[int], record: Record) -> None:
    """`zeldo.reconstruct` as it ships, on each seed."""
    box = 250.0 * n / 64
    heading(f"Initial conditions of {n}^3 particles in {box:g} Mpc/h from the noiseless density today, cola")
    for seed in seeds:
        (snapshot,) = zeldo.run(engine="cola", box=box, n=n, seed=seed)
        truth = zeldo.initial_conditions(box=box, n=n, seed=seed)
        before = time.perf_counter(), time.process_time()
        result = zeldo.reconstruct(snapshot)
        wall, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
        about: dict[str, Any] = {"engine": "cola", "ics": f"seed={seed}", "n": n, "box": box}
        record.add("reconstruction_wall", wall / 60, "min", **about)
        bar(record, "reconstruction_cpu_per_thread", cpu / 60 / threads(), 20.0, "min", **about)
        assert result.samples is not None
        for name, white_noise in (("maximum", result.maximum), ("sample", result.samples.last)):
            found = Agreement.of(result.delta_lin(white_noise), truth.delta_lin, box)
            low = float(found.correlation[found.k <= 0.4].min())
            bar(record, "one_minus_r_to_k", 1 - low, 0.05, k=0.4, field=name, **about)
            bar(record, "one_minus_r", 1 - found.at(0.6)[0], 0.2, k=0.6, field=name, **about)
            white = Whiteness.of(white_noise)
            record.add("white_noise_variance", white.variance, field=name, **about)
            record.add("white_noise_skewness", white.skewness, "sigma", field=name, **about)
            record.add("white_noise_kurtosis", white.kurtosis, "sigma", field=name, **about)
        error = abs(Whiteness.of(result.samples.last).variance - 1)
        bar(record, "white_noise_variance_error", error, 0.05, field="sample", **about)
        _effective(result, record, **about)


def _effective(result: zeldo.Reconstruction, record: Record, **about: Any) -> None:
    assert result.samples is not None
    record.add("samples", len(result.samples.energies), **about)
    for name, value in (("large", result.samples.effective_large), ("small", result.samples.effective)):
        print(f"  effective samples, {name} scales: {value:.1f} of {len(result.samples.energies)}")
        record.add("effective_samples", value, field=f"{name} scales", **about)


def sampler(n: int, samples: int, record: Record) -> None:
    """A longer chain on a smaller universe."""
    box = 250.0 * n / 64
    heading(f"The sampler, {n}^3 particles in {box:g} Mpc/h: independent samples of {samples}")
    (snapshot,) = zeldo.run(engine="cola", box=box, n=n, seed=SEEDS[0])
    before = time.process_time()
    result = zeldo.reconstruct(snapshot, samples=samples)
    about: dict[str, Any] = {
        "engine": "cola",
        "ics": f"seed={SEEDS[0]},samples={samples}",
        "n": n,
        "box": box,
    }
    record.add(
        "reconstruction_cpu_per_thread", (time.process_time() - before) / 60 / threads(), "min", **about
    )
    _effective(result, record, **about)


def nuts(n: int, record: Record) -> None:
    """Mean and variance of a posterior by the sampler and by pyro's NUTS, on 2LPT's density with noise.

    The squared differences of means in units of their variances have a mean of 1 where both samplers are right.
    """
    heading(f"The sampler against NUTS, density of 2LPT with an error of {NOISE}, {n}^3")
    posterior = noisy_posterior(n)
    start = maximise(posterior, torch.zeros(n, n, n), stages(posterior, 0.3))
    curvature = measured_curvature(posterior, start, torch.Generator().manual_seed(1))
    target = Whitened(posterior, curvature)
    peer = by_nuts(target, target.coordinates(start), NUTS_SAMPLES, NUTS_WARM_UP)
    own = by_sampler(target, target.coordinates(start), STEPS, WARM_UP)
    about = {"engine": "2lpt", "reference": "nuts", "n": n}
    for name, chain in (("nuts", peer), ("langevin", own)):
        record.add("effective_samples", size(chain), field=name, **about)
        print(f"  {name}: {size(chain):.0f} independent samples of {len(chain)}")
    means, spread = compared(own, peer)
    record.add("mean_difference", means, "sigma^2", **about)
    bar(record, "mean_difference_excess", means - 1, 0.3, **about)
    record.add("variance_ratio", spread, **about)
    bar(record, "variance_ratio_error", abs(spread - 1), 0.03, **about)


def noisy_posterior(n: int) -> Posterior:
    """Of white noise, given 2LPT's density in cells of 6.25 Mpc/h, with noise."""
    f = zeldo.differentiable("2lpt", box=6.25 * n, n=n, power="eisenstein-hu")
    empty = torch.zeros(n, n, n)
    with torch.no_grad():
        delta = Posterior(f, Observation(empty, NOISE)).predicted(torch.from_numpy(Native(3).field(n)))
    observation = Observation(delta, NOISE)
    return Posterior(f, observation.moved(observation.draw(torch.Generator().manual_seed(4))))


def by_nuts(target: Whitened, start: Tensor, samples: int, warm_up: int) -> np.ndarray:
    """White noise along a chain of pyro's No-U-Turn Sampler, (samples, n^3)."""
    from pyro.infer.mcmc import MCMC, NUTS

    torch.manual_seed(1)

    def energy(values: dict[str, Tensor]) -> Tensor:
        return target.posterior.energy(target.white_noise(values["x"]))

    kernel = NUTS(potential_fn=energy, adapt_mass_matrix=False)
    chain = MCMC(
        kernel, num_samples=samples, warmup_steps=warm_up, initial_params={"x": start}, disable_progbar=True
    )
    chain.run()
    return torch.stack([target.white_noise(x).flatten() for x in chain.get_samples()["x"]]).double().numpy()


def by_sampler(target: Whitened, start: Tensor, steps: int, warm_up: int) -> np.ndarray:
    """White noise along a chain of zeldo's sampler, (steps - warm_up, n^3)."""
    generator = torch.Generator().manual_seed(1)
    walker = langevin.start(target.value_and_gradient, start, generator)
    states = []
    for number in range(steps):
        walker = langevin.advance(target.value_and_gradient, walker, generator, adapt=number < warm_up)
        if number >= warm_up:
            states.append(target.white_noise(walker.x).flatten().double().numpy())
    return np.array(states)


def size(chain: np.ndarray) -> float:
    """Independent samples that a chain (samples, values) is worth: the median over some values."""
    some = chain[:, :: max(1, chain.shape[1] // 256)]
    return float(np.median([langevin.effective_size(trace) for trace in some.T]))


def compared(own: np.ndarray, peer: np.ndarray) -> tuple[float, float]:
    """The mean squared difference of means in units of its expectation, and the ratio of the variances."""
    variances = own.var(0, ddof=1), peer.var(0, ddof=1)
    expected = variances[0] / size(own) + variances[1] / size(peer)
    difference = (own.mean(0) - peer.mean(0)) ** 2
    return float((difference / expected).mean()), float(variances[0].mean() / variances[1].mean())
