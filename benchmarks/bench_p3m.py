"""P3M, the N-body engine: the tables behind its parameters, its speed, and its accuracy against MP-Gadget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.chance import CHANCE_RUNS, perturbed_conditions, power_off, record_chance, velocity_ratios
from benchmarks.gadget_steps import run_as_gadget
from benchmarks.inputs import realisation, references
from benchmarks.machine import threads
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.p3m_energy import energies
from benchmarks.p3m_force import forces
from benchmarks.p3m_runs import AS_FINE, FINE, GADGET, last, plan, print_comparisons, spelled
from benchmarks.p3m_speed import speed
from benchmarks.record import Record
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.p3m.dynamics import PairDynamics
from zeldo.engines.p3m.engine import P3M
from zeldo.engines.p3m.steps import Weights, schedule
from zeldo.files.reference import read_reference
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import K_SHOWN, Reference

FILES = ("small.npz", "figure2b_small.npz", "fiducial.npz")
FIVE = (3.0, 2.0, 1.0, 0.5, 0.0)
STEPS = (
    {}, {"mesh_step": 0.16, "crossing": 0.12}, {"mesh_step": 0.04, "crossing": 0.03},
    {"pair_accuracy": 0.12}, {"pair_accuracy": 0.04}, {"pair_accuracy": 0.02}, {"pair_accuracy": 0.005},
    {"start_redshift": 99.0}, {"start_redshift": 24.0},
)  # fmt: skip
FAR = (
    Cosmology(omega_m=0.1, omega_b=0.03, h=0.7, n_s=0.96, sigma_8=0.6),
    Cosmology(omega_m=0.1, omega_b=0.03, h=0.7, n_s=0.96, sigma_8=1.0),
    Cosmology(omega_m=0.5, omega_b=0.05, h=0.6, n_s=0.96, sigma_8=0.6),
    Cosmology(omega_m=0.5, omega_b=0.05, h=0.6, n_s=0.96, sigma_8=1.0),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "p3m")
    parts = ("forces", "speed", "steps", "scatter", "far", "energy", "reference", "gadget")
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument(
        "--far", type=int, default=64, metavar="N", help="particles a side in far cosmologies"
    )
    parsed = parser.parse_args(arguments)
    # files of parts stand beside the whole
    name = "p3m" if parsed.part is parts else "-".join(("p3m", *parsed.part))
    record = start("P3M", name if parsed.far == 64 else f"{name}-{parsed.far}")
    if "forces" in parsed.part:
        forces(record, 16 if parsed.quick else 32)
    if "speed" in parsed.part:
        speed(record, 32 if parsed.quick else 128)
    if "steps" in parsed.part:
        linear(record)
        steps(record, 16 if parsed.quick else 48)
    if "scatter" in parsed.part and not parsed.quick:
        ics, truth = read_reference(references(parsed.reference, FILES[:1])["small.npz"])
        scatter(record, ics, truth[0.0])
    if "far" in parsed.part:
        far(record, 16 if parsed.quick else parsed.far, FAR[-1:] if parsed.quick else FAR)
    if "energy" in parsed.part:
        energy(record, 16 if parsed.quick else 32)
    files = {}
    if {"reference", "gadget"} & set(parsed.part):
        files = references(parsed.reference, FILES[:1] if parsed.quick else FILES)
    for name, path in files.items():
        if "reference" in parsed.part:
            against_reference(record, name, *read_reference(path))
        if "gadget" in parsed.part:
            with_gadget_steps(record, name, *read_reference(path))
    save(record, parsed)


def linear(record: Record) -> None:
    """Linear growth of a wave by steps of equal length, over the exact growth; the force on a wave is its displacement."""
    heading("Linear growth to z = 0 by mesh steps alone, over the exact one")
    cosmology = Cosmology.preset("quijote")
    w, rows = Weights(cosmology), []
    for length in (0.02, 0.04, 0.06, P3M.mesh_step):
        equal = schedule(P3M.start_redshift, [0.0], length)
        psi, p = float(w.growth.d1(equal[0].start)), w.momentum(equal[0].start)
        for step in equal:
            middle = (step.start * step.end) ** 0.5
            p += w.kick(step.start, middle) * psi
            psi += w.drift(step.start, step.end) * p
            p += w.kick(middle, step.end) * psi
        transfer = psi / float(w.growth.d1(1.0))
        rows.append([f"{length:g}", f"{transfer:.5f}"])
        record.add("T", transfer, engine=f"p3m:mesh_step={length:g}", field="linear growth", z=0)
    table(["longest step in ln a", "T"], rows)


def steps(record: Record, n: int) -> None:
    """Steps and starts against much finer steps, with CPU seconds per thread."""
    heading(f"Steps, {n}^3 particles at z = 0, against {FINE}")
    ics = realisation(n)
    against = Reference(last(P3M(**FINE), ics), name="fine steps")
    comparisons = {}
    for chosen in STEPS:
        began = time.process_time()
        label = spelled(**chosen)
        comparison = against.compare(last(P3M(**chosen), ics))
        seconds = (time.process_time() - began) / threads()
        comparisons[f"{label} ({seconds:.0f} s)"] = comparison
        about = {
            "engine": label,
            "ics": "seed=7",
            "reference": spelled(**FINE),
            "n": n,
            "box": ics.box,
            "z": 0,
        }
        record.comparison(comparison, K_SHOWN, **about)
        record.add("cpu_per_thread", seconds, "s", **about)
    print_comparisons("z = 0", comparisons)


def scatter(record: Record, ics: InitialConditions, truth: Snapshot) -> None:
    """The effect of steps of the pair force, and the scatter by chance: means and scatters of many runs."""
    heading(f"Chance, {ics.n}^3 particles against MP-Gadget: {CHANCE_RUNS} runs each, mean +- scatter")
    print("T of the density at k = 1.5, and velocity power over MP-Gadget's in bins of k:\n")
    against, rows = Reference(truth, name="MP-Gadget"), []
    for accuracy in (4 * P3M.pair_accuracy, 2 * P3M.pair_accuracy, P3M.pair_accuracy, P3M.pair_accuracy / 2):
        runs = [
            against.compare(last(P3M(pair_accuracy=accuracy), perturbed)).fields
            for perturbed in perturbed_conditions(ics)
        ]
        density = np.array([run["density"].transfer[run["density"].nearest(1.5)] for run in runs])
        velocity = np.array([velocity_ratios(run["velocity"], 1.0) - 1 for run in runs])
        mean, deviation = velocity.mean(0), velocity.std(0, ddof=1)
        about = {"engine": spelled(pair_accuracy=accuracy), "ics": "small.npz", "reference": "mp-gadget"}
        about |= {"n": ics.n, "box": ics.box, "z": 0}
        record.add("runs", len(runs), **about)
        record.add("T_mean", density.mean(), field="density", k=1.5, **about)
        record.add("T_std", density.std(ddof=1), field="density", k=1.5, **about)
        for i, (x, y) in enumerate(zip(mean, deviation, strict=True), 1):
            record.add("power_off_in_bin_to_k_mean", x, field="velocity", k=round(0.1 * i, 1), **about)
            record.add("power_off_in_bin_to_k_std", y, field="velocity", k=round(0.1 * i, 1), **about)
        rows.append(
            [
                f"{accuracy:g}",
                f"{density.mean():.4f} +- {density.std(ddof=1):.4f}",
                *[f"{x:+.1%} +- {y:.1%}" for x, y in zip(mean, deviation, strict=True)],
            ]
        )
    table(["pair_accuracy", "T", *[f"to {0.1 * i:.1f}" for i in range(1, len(rows[0]) - 1)]], rows)


def far(record: Record, n: int, cosmologies: Sequence[Cosmology]) -> None:
    """The default in far cosmologies against fine steps and long steps, beside the difference of two fine settings."""
    heading(f"Far cosmologies, {n}^3: the default, and fine steps again, against fine steps")
    comparisons, long = {}, []
    for cosmology in cosmologies:
        ics = initial_conditions(cosmology, 250.0 * n / 128, n, 5, power="eisenstein-hu")
        fine = last(P3M(**FINE), ics)
        floor = last(P3M(**AS_FINE), ics)
        ours = [last(P3M(), field) for field in perturbed_conditions(ics)]
        about = {"reference": spelled(**FINE), "n": n, "box": ics.box, "z": 0}
        about["ics"] = f"seed=5,omega_m={cosmology.omega_m:g},sigma_8={cosmology.sigma_8:g}"
        for snapshots, engine in ((ours, "p3m"), ([floor], spelled(**AS_FINE))):
            label = f"{about['ics']}, {engine}"
            print(label)
            comparisons[label] = record_chance(record, snapshots, fine, engine=engine, **about)
        gadget = Reference(list(run_as_gadget(P3M(), ics, [3.0, 1.0, 0.0]))[-1], name="its steps")
        off = {"p3m": power_off(gadget.compare(ours[0])), spelled(**FINE): power_off(gadget.compare(fine))}
        about |= {"reference": GADGET, "field": "density", "k": 1.5}
        for engine, value in off.items():
            record.add("power_off_to_k", value, engine=engine, **about)
        default = power_off(comparisons[f"{about['ics']}, p3m"])
        long.append([about["ics"], *[f"{x:.2%}" for x in (default, *off.values())]])
    print_comparisons("z = 0", comparisons)
    columns = ("default, fine steps", "default, MP-Gadget's steps", "fine steps, MP-Gadget's")
    table(["P(k) for k <= 1.5 off by", *columns], long)


def energy(record: Record, n: int) -> None:
    """How well d(a (T + U)) = - T da holds, and the sum of momenta."""
    heading(f"Energy and momentum, {n}^3 particles to z = 0")
    dynamics = PairDynamics(P3M(), realisation(n))
    begin, *mesh_steps = plan(dynamics.engine, dynamics.ics)
    state = dynamics.start(begin)
    records = [(state.a, *energies(dynamics, state))]
    for step in mesh_steps:
        state = dynamics.step(state, step, donate=True)
        records.append((state.a, *energies(dynamics, state)))
    a, kinetic, potential = np.array(records).T
    work = np.concatenate([[0], np.cumsum(0.5 * (kinetic[1:] + kinetic[:-1]) * np.diff(a))])
    change = a * potential - a[0] * potential[0]
    residual = (a * (kinetic + potential) - a[0] * (kinetic + potential)[0] + work) / np.abs(change[-1])
    about = {"engine": "p3m", "ics": "seed=7", "n": n, "box": dynamics.ics.box, "z": 0}
    bar(record, "layzer_irvine_residual_over_change_of_aU", float(np.abs(residual).max()), 0.01, **about)
    p = state.v.reshape(3, -1).astype(np.float64)
    drift = float(np.abs(p.mean(1)).max() / np.sqrt((p**2).sum(0)).mean())
    bar(record, "mean_momentum_over_mean_size", drift, 1e-5, **about)


def against_reference(
    record: Record, name: str, ics: InitialConditions, truth: dict[float, Snapshot]
) -> None:
    heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h against MP-Gadget")
    redshifts = sorted({*FIVE, *truth}, reverse=True) if name == "fiducial.npz" else list(truth)
    list(replace(P3M(), mesh_step=1.0, pair_accuracy=100.0).run(ics, [0.0]))  # compile
    runs = []
    for field in perturbed_conditions(ics):
        began, snapshots = time.perf_counter(), {}
        for snapshot in P3M().run(field, redshifts):
            snapshots[snapshot.redshift] = snapshot
        wall = time.perf_counter() - began
        print(f"{wall:.0f} s to {len(redshifts)} redshifts\n")
        if name == "fiducial.npz":
            bar(
                record,
                "wall_to_five_redshifts",
                wall,
                360.0,
                "s",
                aim=180.0,
                engine="p3m",
                ics=name,
                n=ics.n,
                box=ics.box,
            )
        runs.append(snapshots)
    about = {"engine": "p3m", "ics": name, "reference": "mp-gadget", "n": ics.n, "box": ics.box}
    first = {}
    for z, reference in truth.items():  # the runs hold more redshifts
        print(f"z = {z:g}")
        first[f"z = {z:g}"] = record_chance(
            record, [snapshots[z] for snapshots in runs], reference, z=z, **about
        )
    print_comparisons("P3M", first)


def with_gadget_steps(
    record: Record, name: str, ics: InitialConditions, truth: dict[float, Snapshot]
) -> None:
    """The difference that remains when P3M takes MP-Gadget's steps."""
    heading(f"{name}: P3M with MP-Gadget's steps against MP-Gadget")
    comparisons = {}
    for snapshot in run_as_gadget(P3M(), ics, list(truth)):
        z, comparison = (
            snapshot.redshift,
            Reference(truth[snapshot.redshift], name="MP-Gadget").compare(snapshot),
        )
        density, off = comparison.fields["density"], power_off(comparison)
        comparisons[f"z = {z:g}, P(k) for k <= 1.5 off by {off:.2%}"] = comparison
        at = [density.nearest(k) for k in K_SHOWN if k <= 0.5]
        most = float(np.max(np.abs(density.transfer[at] - 1)))
        about = {"engine": GADGET, "ics": name, "reference": "mp-gadget", "n": ics.n, "box": ics.box, "z": z}
        record.comparison(comparison, K_SHOWN, **about)
        record.add("power_off_to_k", off, field="density", k=1.5, **about)
        bar(record, "T_off_to_k", most, 0.002, field="density", k=0.5, **about)
    print_comparisons("MP-Gadget's steps", comparisons)


if __name__ == "__main__":
    main()
