"""The emulator's two presets and their own dynamics against N-body runs: accuracy, structures, other cosmologies, time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.bench_accuracy import FIELDS, at
from benchmarks.inputs import peers, references
from benchmarks.machine import Timing, run_once
from benchmarks.output import bar, heading, keep_other_parts, options, save, start, table
from benchmarks.record import Record
from benchmarks.structures import structures
from zeldo.engines.parsing import parse_engine
from zeldo.files.reference import read_reference
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import linear_displacement
from zeldo.networks.expected import FIGURES, NODES, SMALLEST, ExpectedError, measures
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import K_SHOWN, Comparison, Reference
from zeldo.training.expected import comparisons, errors_of

FILES = ("fiducial.npz", "small.npz", "figure2b_small.npz")
# of the presets
DYNAMICS = {
    "emulator": "pm:steps=13,sharpening=2,start_redshift=16,spacing=graded,nbody_start=49",
    "emulator:fast": "cola:sharpening=2,nbody_start=49",
}
PACE = {"emulator": "pm", "emulator:fast": "cola"}  # the engines that their times are compared with
ENGINES = (*DYNAMICS, *DYNAMICS.values())
TEACHER = "p3m"
# in redshift space and by halos, where the teacher shows what is left to chance
LOOKED_AT = (*ENGINES, TEACHER)
# 1 - r^2 of the density at z = 0, at most, and what to aim for
DENSITY = {
    "emulator": {0.2: (2e-5, 1e-5), 0.5: (3e-4, 1.5e-4), 1.0: (0.0035, 0.002), 1.5: (0.020, 0.012)},
    "emulator:fast": {0.5: (9e-4, 6e-4), 1.0: (0.009, 0.006)},
}
POWER = {1.0: (0.01, 0.005), 1.5: (0.02, 0.02)}  # |P / P_true - 1| of every shell to k, at most
VELOCITY_POWER = {0.5: (0.02, 0.01)}
STRUCTURES = {
    "monopole": (0.01, 0.005),
    "quadrupole": (0.01, 0.005),
    "equilateral bispectrum": (0.03, 0.01),
    "squeezed bispectrum": (0.03, 0.01),
    "halo mass function, friends of friends": (0.05, 0.03),
    "halo mass function, M200m": (0.05, 0.03),
    "pairwise dispersion of halos": (0.03, 0.02),
}
TIME = {"emulator": (1.5, 1.0), "emulator:fast": (2.0, 1.5)}  # over that of `PACE`
EXPECTED = 1.5  # a factor between the error found and the one on the card, of every field and at every k
SPACINGS = (1.0, 1.5, 2.5, 4.01)  # Mpc/h, intervals of the lattice spacing
OTHERS = {"transfer": "T", "one_minus_r2": "one_minus_r2"}  # figures of another code, by our names
PAIRED = 31  # neighbours on shared machines disturb single runs
PARTS = ("accuracy", "time", "stores")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "emulator", PARTS)
    parser.add_argument(
        "--held-out",
        action="append",
        default=[],
        metavar="STORE",
        help="a store with a test part, as `zeldo dataset configs/dataset_hypercube.toml` makes it",
    )
    parser.add_argument(
        "--spacings",
        action="append",
        default=[],
        metavar="STORE",
        help="the same for a store of several lattice spacings, as of configs/dataset_emulator.toml",
    )
    parsed = parser.parse_args(arguments)
    record = start("Emulator", "emulator")
    keep_other_parts(record, parsed, PARTS)
    files = references(parsed.reference, FILES[1:2] if parsed.quick else FILES)
    others = peers(parsed.reference)
    if "accuracy" in parsed.parts:
        for name, path in files.items():
            ics, truth = read_reference(path)
            for z, snapshot in sorted(truth.items()):
                if snapshot.vel is not None:
                    against = Reference(snapshot, name=f"MP-Gadget, {name}")
                    accuracy(record, name, ics, z, against, others.get(name, {}) if z == 0 else {})
            if name == FILES[0]:
                looks(record, name, ics, truth[0.0])
                tiled(record, name, ics)
    if "time" in parsed.parts and FILES[0] in files:
        paired_times(record, FILES[0], read_reference(files[FILES[0]])[0])
    if "stores" in parsed.parts:
        for store in parsed.held_out:
            held_out(record, store)
        for store in parsed.spacings:
            by_spacing(record, store)
    save(record, parsed)


def accuracy(
    record: Record, name: str, ics: InitialConditions, z: float, against: Reference, others: dict
) -> None:
    """T and 1 - r^2 of every field beside the dynamics', and the bars."""
    about = {"ics": name, "reference": "mp-gadget", "n": ics.n, "box": ics.box, "z": z}
    comparisons: dict[str, Comparison] = {}
    for engine in ENGINES:
        (snapshot,) = parse_engine(engine).run(ics, [z])
        comparisons[engine] = against.compare(snapshot)
        record.comparison(comparisons[engine], K_SHOWN, engine=engine, **about)
    heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h, z = {z:g}")
    for field in FIELDS:
        for title, attribute in (("T", "transfer"), ("1 - r^2", "one_minus_r2")):
            rows = [
                [engine, *[f"{at(compared, field, attribute, k):.5f}" for k in K_SHOWN]]
                for engine, compared in comparisons.items()
            ]
            for peer, figures in others.items():
                if "l-picola" in peer:
                    key = "T" if attribute == "transfer" else attribute
                    rows.append([peer, *[f"{value:.5f}" for value in figures[field][key]]])
            table([f"{field}, {title}", *[f"k = {k:g}" for k in K_SHOWN]], rows)
    for preset, dynamics in DYNAMICS.items():
        emulated, own = comparisons[preset], comparisons[dynamics]
        for peer, figures in others.items():
            if name == FILES[0] and "l-picola" in peer:
                beside(record, preset, peer, emulated, figures, about)
        if name == FILES[0] and z == 0:
            density, velocity = emulated.fields["density"], emulated.fields["velocity"]
            for k, (limit, aim) in DENSITY[preset].items():
                value = at(emulated, "density", "one_minus_r2", k)
                more = {"engine": preset, "field": "density", **about}
                bar(record, "one_minus_r2", value, limit, aim=aim, k=k, **more)
            for field, values, limits in (
                ("density", density, POWER),
                ("velocity", velocity, VELOCITY_POWER),
            ):
                for k, (limit, aim) in limits.items():
                    off = float(abs(values.transfer[values.k <= k] ** 2 - 1).max())
                    bar(record, "P_off_to_k", off, limit, aim=aim, k=k, engine=preset, field=field, **about)
        for field in FIELDS:
            ratio = max(
                at(emulated, field, "one_minus_r2", k) / at(own, field, "one_minus_r2", k) for k in K_SHOWN
            )
            bar(record, "one_minus_r2_over_dynamics_most", ratio, 1.0, engine=preset, field=field, **about)


def beside(record: Record, preset: str, peer: str, emulated: Comparison, figures: dict, about: dict) -> None:
    """The largest ratio of an error to that of another code, over all k from 0.1 to 1.5 h/Mpc."""
    for field in FIELDS:
        for figure, key in OTHERS.items():
            shift = 1.0 if figure == "transfer" else 0.0
            ratio = max(
                abs(at(emulated, field, figure, k) - shift) / abs(value - shift)
                for k, value in zip(K_SHOWN, figures[field][key], strict=True)
            )
            what = "T_off" if shift else "one_minus_r2"
            bar(record, f"{what}_over_{peer}_most", ratio, 1.0, engine=preset, field=field, **about)


def looks(record: Record, name: str, ics: InitialConditions, truth: Snapshot) -> None:
    """Redshift space, bispectra and halos at z = 0."""
    about = {"ics": name, "reference": "mp-gadget", "n": ics.n, "box": ics.box, "z": 0}
    made = {}
    for engine in LOOKED_AT:
        (snapshot,) = parse_engine(engine).run(ics, [0.0])
        made[engine] = structures(snapshot, truth)
    heading(f"{name}: redshift space, bispectra and halos, over the true ones minus 1, z = 0")
    rows = [
        [f"{statistic}, {where}", *[f"{made[engine][statistic][where]:+.4f}" for engine in LOOKED_AT]]
        for statistic, places in made["emulator"].items()
        for where in places
    ]
    table(["", *LOOKED_AT], rows)
    for engine in LOOKED_AT:
        for statistic, places in made[engine].items():
            for where, value in places.items():
                record.add("off", value, engine=engine, field=f"{statistic}, {where}", **about)
    for preset in DYNAMICS:
        for statistic, (limit, aim) in STRUCTURES.items():
            worst = max(abs(x) for where, x in made[preset][statistic].items() if "rms" not in where)
            bar(record, "off_most", worst, limit, aim=aim, engine=preset, field=statistic, **about)


def tiled(record: Record, name: str, ics: InitialConditions) -> None:
    """Eight tiles against the whole box: the largest difference over the rms displacement."""
    for preset in DYNAMICS:
        (whole,), (pieces,) = (parse_engine(preset, tiles=tiles).run(ics, [0.0]) for tiles in (1, 2))
        off = float(abs(whole.psi - pieces.psi).max() / whole.psi.std())
        bar(record, "tiled_off", off, 1e-5, engine=preset, ics=name, n=ics.n, box=ics.box, z=0)


class Case(NamedTuple):
    """The errors of a preset and of its dynamics in one snapshot of a held-out run, and those that its card expects."""

    spacing: float
    z: float
    made: dict[str, np.ndarray]
    own: dict[str, np.ndarray]
    told: dict[str, np.ndarray]


def cases_of(store: str, preset: str, dynamics: str) -> list[Case]:
    """Every redshift of every test run of a store."""
    emulator: Any = parse_engine(preset)
    expected = ExpectedError.from_dict(emulator._card.accuracy["expected"])
    cases = []
    pairs = zip(*(comparisons(e, [store]) for e in (emulator, parse_engine(dynamics))), strict=True)
    for (ics, emulated, _), (_, own, _) in pairs:
        z = emulated.redshift
        linear = linear_displacement(ics, emulator.amplitudes(ics.spacing))
        told = expected.at(measures(ics, linear, z), np.pi * ics.n / ics.box)
        cases.append(Case(ics.spacing, z, errors_of(emulated), errors_of(own), told))
    return cases


def held_out(record: Record, store: str) -> None:
    """Runs of cosmologies that no network was trained on: the presets beside their dynamics."""
    nodes = [NODES.index(x) for x in (0.1, 0.3, 0.6, 0.9)]
    for preset, dynamics in DYNAMICS.items():
        cases = cases_of(store, preset, dynamics)
        redshifts = sorted({case.z for case in cases}, reverse=True)
        heading(f"{store}: {len(cases) // len(redshifts)} runs never trained on, {preset}")
        rows = []
        for z in redshifts:
            for label in ("density one_minus_r2", "velocity one_minus_r2", "density power"):
                made, own, told = (
                    typical([getattr(c, kind)[label] for c in cases if c.z == z], label)
                    for kind in ("made", "own", "told")
                )
                rows.append(
                    [f"z = {z:g}, {label}", *[f"{own[i]:.2g} > {made[i]:.2g} ({told[i]:.2g})" for i in nodes]]
                )
                about = {"engine": preset, "z": z, "field": label, "reference": store.rsplit("/", 1)[-1]}
                for i in nodes:
                    record.add("error", float(made[i]), k=NODES[i], **about)
                    record.add("error_of_dynamics", float(own[i]), k=NODES[i], **about)
                    record.add("expected_error", float(told[i]), k=NODES[i], **about)
        table(["its dynamics > it (expected)", *[f"k = {NODES[i]:g} Nyquist" for i in nodes]], rows)
        beyond = np.mean(
            [np.nanmax(case.made["density power"][: NODES.index(0.6) + 1]) > 0.02 for case in cases]
        )
        about = {"engine": preset, "reference": store.rsplit("/", 1)[-1]}
        bar(record, "share_of_cases_with_P_off_by_2_percent", float(beyond), 0.1, **about)
        for label in ("density one_minus_r2", "displacement one_minus_r2", "velocity one_minus_r2"):
            most = np.nanmax([case.made[label] / case.own[label] for case in cases])
            bar(record, "error_over_dynamics_most", float(most), 1.0, field=label, **about)
        for figure in FIGURES:
            ratios = [
                typical([c.made[label] for c in cases], label)
                / typical([c.told[label] for c in cases], label)
                for label in cases[0].told
                if label.endswith(figure)
            ]
            factor = float(np.exp(np.nanmax(abs(np.log(ratios)))))
            bar(record, f"{figure}_from_expected_most", factor, EXPECTED, **about)


def typical(errors: Sequence[Any], label: str) -> np.ndarray:
    """At every node, what the card expects: the rms over universes of errors of P(k), the geometric mean of 1 - r^2."""
    values = np.array(errors, float)
    if label.endswith("power"):
        return np.sqrt(np.nanmean(values**2, axis=0))
    return np.exp(np.nanmean(np.log(np.maximum(values, SMALLEST)), axis=0))


def by_spacing(record: Record, store: str) -> None:
    """1 - r^2 of the density at half the Nyquist wavenumber over that of the dynamics, by lattice spacing."""
    label, half = "density one_minus_r2", NODES.index(0.5)
    for preset, dynamics in DYNAMICS.items():
        cases = cases_of(store, preset, dynamics)
        heading(f"{store}: {preset} by lattice spacing")
        for low, high in pairwise(SPACINGS):
            ratios = [c.made[label][half] / c.own[label][half] for c in cases if low <= c.spacing < high]
            if ratios:
                bar(
                    record,
                    f"error_over_dynamics_at_half_Nyquist, spacing {low:g} to {min(high, 4):g}",
                    float(np.exp(np.mean(np.log(ratios)))),
                    0.5,
                    aim=1 / 3,
                    engine=preset,
                    reference=store.rsplit("/", 1)[-1],
                )


def paired_times(record: Record, name: str, ics: InitialConditions) -> None:
    """Positions and velocities at z = 0, engines in turn."""
    chosen_engines = (*PACE, *PACE.values(), *DYNAMICS.values())
    engines = {engine: parse_engine(engine) for engine in chosen_engines}
    timings = {engine: Timing() for engine in chosen_engines}
    for chosen in engines.values():
        list(chosen.run(ics, [0.0]))
    for _ in range(PAIRED):
        for engine, chosen in engines.items():
            run_once(lambda chosen=chosen: list(chosen.run(ics, [0.0])), timings[engine])  # type: ignore[misc]
    about = {"ics": name, "n": ics.n, "box": ics.box, "z": 0}
    heading(f"Seconds, {PAIRED} runs of each in turn")
    table(
        ["", "median", "least", "most"],
        [
            [engine, *[f"{x:.2f}" for x in (t.median, min(t.wall), max(t.wall))]]
            for engine, t in timings.items()
        ],
    )
    for engine, timing in timings.items():
        record.timing(timing, engine=engine, **about)
    for preset, pace in PACE.items():
        limit, aim = TIME[preset]
        both = zip(timings[preset].wall, timings[pace].wall, strict=True)
        ratio = median(a / b for a, b in both)
        bar(record, f"wall_over_{pace}_median", ratio, limit, aim=aim, engine=preset, **about)


if __name__ == "__main__":
    main()
