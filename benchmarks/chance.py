"""The limits on an N-body run against a truth, and the scatter by chance in boxes where single halos matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.output import bar, table
from benchmarks.record import Record
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import K_SHOWN, Comparison, FieldComparison, Reference, friends_of_friends

CHANCE_RUNS = 8  # in boxes where single halos count: their orbits are chaotic, and one run is one throw
NOISE = 1e-3  # white, in units of the linear density's rms: no field is known better, and orbits amplify it
HALO_BINS = 50 * 2.0 ** np.arange(12)  # particles
ENOUGH = 100  # halos of the truth in a bin that is judged

Merit = tuple[float, float, float | None]  # a figure, its bar, and what to aim at


class Figure(NamedTuple):
    """The columns of the record that identify a figure."""

    field: str
    quantity: str
    k: float | None = None


def perturbed_conditions(ics: InitialConditions) -> list[InitialConditions]:
    """The field itself, and copies with a little white noise added, which show what chance does to a run."""
    fields = [ics]
    for seed in range(1, CHANCE_RUNS if ics.n < 128 else 1):
        noise = np.random.default_rng(seed).standard_normal(ics.delta_lin.shape, dtype=np.float32)
        fields.append(replace(ics, delta_lin=ics.delta_lin + NOISE * ics.delta_lin.std() * noise))
    return fields


def figures_of_merit(comparison: Comparison, ours: np.ndarray, theirs: np.ndarray) -> dict[Figure, Merit]:
    """Density power, and its correlation at z = 0; velocity power where there are velocities; numbers of halos."""
    density = comparison.fields["density"]
    merits: dict[Figure, Merit] = {
        Figure("density", "power_off_to_k", 1.5): (power_off(comparison), 0.01, 0.005)
    }
    if comparison.redshift == 0:
        for k, limit in ((0.5, 2e-4), (1.0, 1e-3)):
            value = float(density.one_minus_r2[density.nearest(k)])
            merits[Figure("density", "one_minus_r2", k)] = (value, limit, None)
    if "velocity" in comparison.fields:
        for k, limit in ((0.5, 0.02), (1.0, 0.05)):
            off = float(np.abs(velocity_ratios(comparison.fields["velocity"], k) - 1).max())
            merits[Figure("velocity", "power_off_to_k", k)] = (off, limit, None)
    if theirs.size:
        merits[Figure("halos", "count_off_most")] = (float(np.abs(ours / theirs - 1).max()), 0.05, 0.03)
    return merits


def power_off(comparison: Comparison) -> float:
    """The largest deviation of P(k) in shells of modes with k <= 1.5 h/Mpc."""
    density = comparison.fields["density"]
    return float(np.max(np.abs(density.transfer[density.k <= 1.5] ** 2 - 1)))


def record_chance(record: Record, runs: Sequence[Snapshot], truth: Snapshot, **about: Any) -> Comparison:
    """Record the figures of merit of the first run, and their scatter over the other runs and over pairs of runs.

    Returns the comparison of the first run.
    """
    theirs = halo_counts(truth)
    judged = theirs >= ENOUGH
    theirs, counts = theirs[judged], [halo_counts(run)[judged] for run in runs]
    against = Reference(truth, name="truth")
    first = against.compare(runs[0])
    merits = [figures_of_merit(first, counts[0], theirs)]
    merits += [
        figures_of_merit(against.compare(run), count, theirs)
        for run, count in zip(runs[1:], counts[1:], strict=True)
    ]
    record.comparison(first, K_SHOWN, **about)
    for low, a, b in zip(HALO_BINS[:-1][judged], counts[0], theirs, strict=True):
        print(f"halos of {low:.0f} to {2 * low:.0f} particles: {a} ({b})")
        field = f"halos of {low:.0f} to {2 * low - 1:.0f} particles"
        record.add("count", a, field=field, **about)
        record.add("count_of_reference", b, field=field, **about)
    for figure, (value, limit, aim) in merits[0].items():
        bar(record, figure.quantity, value, limit, aim=aim, field=figure.field, k=figure.k, **about)
    if len(runs) == 1:
        return first
    merits_between_runs = []
    for i, run in enumerate(runs[:-1]):
        first_of_pair = Reference(run, name="another run")
        for second, count in zip(runs[i + 1 :], counts[i + 1 :], strict=True):
            merits_between_runs.append(figures_of_merit(first_of_pair.compare(second), count, counts[i]))
    rows = []
    for figure, (_, limit, _) in merits[0].items():
        values = [merit[figure][0] for merit in merits]
        pairs = [merit[figure][0] for merit in merits_between_runs]
        spread = {
            "median": float(np.median(values)),
            "min": min(values),
            "max": max(values),
            "runs": len(values),
            "runs_within": sum(value <= limit for value in values),
            "pairs_median": float(np.median(pairs)),
            "share_of_pairs_within": sum(value <= limit for value in pairs) / len(pairs),
        }
        for name, value in spread.items():
            record.add(f"{figure.quantity}_{name}", value, field=figure.field, k=figure.k, **about)
        rows.append(
            [
                f"{figure.field} {figure.quantity}" + ("" if figure.k is None else f" {figure.k:g}"),
                *[f"{spread[name]:.2g}" for name in ("median", "min", "max")],
                f"{spread['runs_within']} of {len(runs)}",
                f"{spread['pairs_median']:.2g}",
                f"{spread['share_of_pairs_within']:.0%}",
            ]
        )
    columns = ("median", "least", "most", "within the bar", "two runs: median", "within the bar")
    table([f"{len(runs)} runs", *columns], rows)
    return first


def velocity_ratios(velocity: FieldComparison, limit: float) -> np.ndarray:
    """Power over the reference's in bins of 0.1 h/Mpc, since single shells of the lattice scatter by a few per cent."""
    index = np.digitize(velocity.k, np.arange(0, limit + 0.05, 0.1))
    kept = (velocity.k > 0) & (velocity.k <= limit)
    weight = np.where(kept, velocity.k**2, 0.0)
    ours, theirs = (np.bincount(index, weight * x) for x in (velocity.power, velocity.power_reference))
    return ours[theirs > 0] / theirs[theirs > 0]


def halo_counts(snapshot: Snapshot) -> np.ndarray:
    """Number of halos in each of HALO_BINS."""
    return np.histogram(friends_of_friends(snapshot, minimum=int(HALO_BINS[0])).count, HALO_BINS)[0]
