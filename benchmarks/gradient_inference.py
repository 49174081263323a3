"""Initial conditions recovered on universes that nothing was tuned on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import zeldo
from benchmarks.machine import threads
from benchmarks.output import bar, heading
from benchmarks.record import Record
from zeldo.gradients.assess import Agreement, Whiteness

SEEDS = (12, 13, 14)  # schedule, tolerance and sampler were chosen on seeds 1 to 3


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
