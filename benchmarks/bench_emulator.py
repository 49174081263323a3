"""The emulator and its own dynamics against MP-Gadget, and what the network costs in time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.bench_accuracy import FIELDS, at
from benchmarks.inputs import peers, references
from benchmarks.machine import Timing, run_once
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.api import parse_engine
from zeldo.files.reference import read_reference
from zeldo.initial.conditions import InitialConditions
from zeldo.statistics import K_SHOWN, Comparison, Reference

FILES = ("fiducial.npz", "small.npz", "figure2b_small.npz")
ENGINES = ("emulator", "pm", "cola")  # the emulator's dynamics are ten steps of pm
# 1 - r^2 of the density at z = 0, at most
DENSITY = {0.2: (0.00002, 0.00001), 0.5: (0.0003, 0.00015), 1.0: (0.0035, 0.002), 1.5: (0.020, 0.012)}
POWER = {1.0: (0.01, 0.005), 1.5: (0.02, 0.02)}  # |P / P_true - 1| of every shell to k, at most
TIME = (1.5, 1.0)  # over pm's
PAIRED = 5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "emulator")
    parser.add_argument("--no-time", action="store_true", help="accuracy alone")
    parsed = parser.parse_args(arguments)
    record = start("Emulator", "emulator")
    files = references(parsed.reference, FILES[1:2] if parsed.quick else FILES)
    others = peers(parsed.reference)
    for name, path in files.items():
        ics, truth = read_reference(path)
        for z, snapshot in sorted(truth.items()):
            if snapshot.vel is not None:
                against = Reference(snapshot, name=f"MP-Gadget, {name}")
                accuracy(record, name, ics, z, against, others.get(name, {}) if z == 0 else {})
        if name == FILES[0] and not parsed.no_time:
            paired_times(record, name, ics)
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
    emulated, dynamics = comparisons["emulator"], comparisons["pm"]
    if name == FILES[0] and z == 0:
        density = emulated.fields["density"]
        for k, (limit, aim) in DENSITY.items():
            value = at(emulated, "density", "one_minus_r2", k)
            bar(
                record,
                "one_minus_r2",
                value,
                limit,
                aim=aim,
                k=k,
                engine="emulator",
                field="density",
                **about,
            )
        for k, (limit, aim) in POWER.items():
            off = float(abs(density.transfer[density.k <= k] ** 2 - 1).max())
            bar(record, "P_off_to_k", off, limit, aim=aim, k=k, engine="emulator", field="density", **about)
    for field in FIELDS:
        ratio = max(
            at(emulated, field, "one_minus_r2", k) / at(dynamics, field, "one_minus_r2", k) for k in K_SHOWN
        )
        bar(record, "one_minus_r2_over_dynamics_most", ratio, 1.0, engine="emulator", field=field, **about)


def paired_times(record: Record, name: str, ics: InitialConditions) -> None:
    """Positions and velocities at z = 0, engines in turn."""
    engines = {engine: parse_engine(engine) for engine in ENGINES}
    timings = {engine: Timing() for engine in ENGINES}
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
    ratio = median(a / b for a, b in zip(timings["emulator"].wall, timings["pm"].wall, strict=True))
    bar(record, "wall_over_pm_median", ratio, TIME[0], aim=TIME[1], engine="emulator", **about)


if __name__ == "__main__":
    main()
