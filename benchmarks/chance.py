"""The bars of an N-body run against a truth, and what chance does to them in boxes where single halos count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.output import bar, table
from zeldo.initial.conditions import InitialConditions
from zeldo.snapshot.snapshot import Snapshot
from zeldo.statistics import Comparison, FieldComparison, Reference, friends_of_friends

CHANCE_RUNS = 8  # in boxes where single halos count: their orbits are chaotic, and one run is one throw
NOISE = 1e-3  # white, in the linear density's rms: nobody's field is known so well, and orbits amplify it

Merit = tuple[float, float, float | None]  # a figure, its bar, and what to aim at


def throws(ics: InitialConditions) -> list[InitialConditions]:
    """The field itself, and where chance tells others beside it, with a little white noise each."""
    found = [ics]
    for seed in range(1, CHANCE_RUNS if ics.n < 128 else 1):
        noise = np.random.default_rng(seed).standard_normal(ics.delta_lin.shape, dtype=np.float32)
        found.append(replace(ics, delta_lin=ics.delta_lin + NOISE * ics.delta_lin.std() * noise))
    return found


def figures_of_merit(against: Reference, truth: Snapshot, made: Snapshot) -> dict[str, Merit]:
    """Density power, and at z = 0 its correlation; velocity power where there is one; halo counts."""
    one = against.compare(made)
    density = one.fields["density"]
    found: dict[str, Merit] = {"P(k) for k <= 1.5 off by": (power_off(one), 0.01, 0.005)}
    if one.redshift == 0:
        for k, limit in ((0.5, 2e-4), (1.0, 1e-3)):
            value = float(density.one_minus_r2[density.nearest(k)])
            found[f"1 - r^2 of density at k = {k:g}"] = (value, limit, None)
    if "velocity" in one.fields:
        for k, limit in ((0.5, 0.02), (1.0, 0.05)):
            off = float(np.abs(velocity_ratios(one.fields["velocity"], k) - 1).max())
            found[f"velocity power for k <= {k:g} off by"] = (off, limit, None)
    counts = halo_counts(made, truth)
    if counts:
        found["halo counts off by"] = (max(abs(ours / theirs - 1) for _, ours, theirs in counts), 0.05, 0.03)
    return found


def power_off(one: Comparison) -> float:
    """The largest deviation of P(k) in shells of modes with k <= 1.5 h/Mpc."""
    density = one.fields["density"]
    return float(np.max(np.abs(density.transfer[density.k <= 1.5] ** 2 - 1)))


def tell(result: dict, label: str, runs: Sequence[Snapshot], truth: Snapshot) -> None:
    """The bars by the first run, the default, and what chance does to them: in other runs, and of each run against each."""
    against = Reference(truth, name="truth")
    merits = [figures_of_merit(against, truth, made) for made in runs]
    counts = halo_counts(runs[0], truth)
    if counts:
        print("halos: " + ", ".join(f"{a} ({b}) of {low:.0f} particles on" for low, a, b in counts))
    for what, (value, limit, aim) in merits[0].items():
        bar(result, f"{label}: {what}", value, limit, "", aim)
    if len(runs) == 1:
        return
    own = []
    for i, one in enumerate(runs[:-1]):
        other = Reference(one, name="another run")
        own += [figures_of_merit(other, one, made) for made in runs[i + 1 :]]
    spread = {}
    for what, (_, limit, _) in merits[0].items():
        values, pairs = ([found[what][0] for found in some] for some in (merits, own))
        spread[what] = {"median": float(np.median(values)), "least": min(values), "most": max(values)}
        spread[what]["within"] = sum(value <= limit for value in values)
        spread[what]["own median"] = float(np.median(pairs))
        spread[what]["own within"] = sum(value <= limit for value in pairs) / len(pairs)
    rows = [
        [
            what,
            *[f"{x[key]:.2g}" for key in ("median", "least", "most")],
            f"{x['within']} of {len(runs)}",
            f"{x['own median']:.2g}",
            f"{x['own within']:.0%}",
        ]
        for what, x in spread.items()
    ]
    columns = ("median", "least", "most", "within the bar", "two runs: median", "within the bar")
    table([f"{label}: {len(runs)} runs", *columns], rows)
    result.setdefault("spread", {})[label] = spread


def velocity_ratios(velocity: FieldComparison, limit: float) -> np.ndarray:
    """Power over the reference's in bins of 0.1 h/Mpc: single shells of the lattice scatter by a few per cent."""
    index = np.digitize(velocity.k, np.arange(0, limit + 0.05, 0.1))
    kept = (velocity.k > 0) & (velocity.k <= limit)
    weight = np.where(kept, velocity.k**2, 0.0)
    ours, theirs = (np.bincount(index, weight * x) for x in (velocity.power, velocity.power_reference))
    return ours[theirs > 0] / theirs[theirs > 0]


def halo_counts(made: Snapshot, truth: Snapshot) -> list[tuple[float, int, int]]:
    """Halos of at least 50 particles in bins of a factor 2 with at least 100 of the reference's: least, ours, theirs."""
    bins = 50 * 2.0 ** np.arange(12)
    ours, theirs = (np.histogram(friends_of_friends(one, minimum=50).count, bins)[0] for one in (made, truth))
    return [(low, int(a), int(b)) for low, a, b in zip(bins[:-1], ours, theirs, strict=True) if b >= 100]
