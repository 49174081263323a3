"""P3M, the N-body teacher: the tables that chose its parameters, its speed, and its accuracy against MP-Gadget."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.chance import CHANCE_RUNS, power_off, tell, throws, velocity_ratios
from benchmarks.gadget_steps import run_as_gadget
from benchmarks.inputs import realisation, references
from benchmarks.machine import COLUMNS, cells, measure, threads
from benchmarks.output import bar, heading, options, save, start, table
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.energy import energies
from zeldo.engines.p3m.engine import P3M, Simulation
from zeldo.engines.p3m.force_split import ForceSplit
from zeldo.engines.p3m.mesh_force import MeshForce
from zeldo.engines.p3m.mesh_kernels import deal
from zeldo.engines.p3m.pair_force import PairForce, count_work, pieces
from zeldo.engines.p3m.steps import MeshStep, Weights, longest_step, schedule
from zeldo.files.reference import read_reference
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import displacements
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import K_SHOWN, Comparison, Reference

FILES = ("small.npz", "figure2b_small.npz", "fiducial.npz")
FIVE = (3.0, 2.0, 1.0, 0.5, 0.0)
# mesh factor, reach in lattice spacings, order of the split; the first is the default
SPLITS = (
    (3, 1.915, 3), (3, 1.863, 3), (3, 2.0, 3), (3, 1.72, 2), (3, 1.5, 2),
    (2, 2.393, 3), (2, 2.5, 3), (2, 2.18, 2), (2, 2.0, 2),
    (4, 1.658, 2),
)  # fmt: skip
STEPS = (
    {}, {"mesh_step": 0.16, "crossing": 0.12}, {"mesh_step": 0.04, "crossing": 0.03},
    {"pair_accuracy": 0.12}, {"pair_accuracy": 0.04}, {"pair_accuracy": 0.02}, {"pair_accuracy": 0.005},
    {"start_redshift": 99.0}, {"start_redshift": 24.0},
)  # fmt: skip
FINE = {"mesh_step": 0.01, "pair_accuracy": 0.004}
AS_FINE = {"mesh_step": 0.0095, "pair_accuracy": 0.004}  # no worse: what differs is chaos inside halos
FAR = (
    Cosmology(omega_m=0.1, omega_b=0.03, h=0.7, n_s=0.96, sigma_8=0.6),
    Cosmology(omega_m=0.1, omega_b=0.03, h=0.7, n_s=0.96, sigma_8=1.0),
    Cosmology(omega_m=0.5, omega_b=0.05, h=0.6, n_s=0.96, sigma_8=0.6),
    Cosmology(omega_m=0.5, omega_b=0.05, h=0.6, n_s=0.96, sigma_8=1.0),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "bench_p3m")
    parts = ("forces", "speed", "steps", "scatter", "far", "energy", "reference", "gadget")
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument(
        "--far", type=int, default=64, metavar="N", help="particles a side in far cosmologies"
    )
    given = parser.parse_args(arguments)
    result = start("P3M")
    if "forces" in given.part:
        forces(result, 16 if given.quick else 32)
    if "speed" in given.part:
        speed(result, 32 if given.quick else 128)
    if "steps" in given.part:
        linear(result)
        steps(result, 16 if given.quick else 48)
    if "scatter" in given.part and not given.quick:
        ics, truth = read_reference(references(given.reference, FILES[:1])["small.npz"])
        scatter(result, ics, truth[0.0])
    if "far" in given.part:
        far(result, 16 if given.quick else given.far, FAR[-1:] if given.quick else FAR)
    if "energy" in given.part:
        energy(result, 16 if given.quick else 32)
    files = {}
    if {"reference", "gadget"} & set(given.part):
        files = references(given.reference, FILES[:1] if given.quick else FILES)
    for name, path in files.items():
        if "reference" in given.part:
            against_reference(result, name, *read_reference(path))
        if "gadget" in given.part:
            with_gadget_steps(result, name, *read_reference(path))
    save(result, given.json)


def force(psi: np.ndarray, box: float, factor: float, reach: float, order: int) -> np.ndarray:
    n = psi.shape[1]
    split = ForceSplit(reach * box / n, order, box / n / 40)
    listed = CellList(n, box, split.radius)
    listed.sort(psi)
    near, far = np.empty_like(psi), np.empty_like(psi)
    return PairForce(split, listed)(near) + MeshForce(split, int(factor * n), listed)(far)


def forces(result: dict, n: int) -> None:
    """Splits on a 2LPT displacement field: the forces' transfer function and error over the finest force."""
    heading(f"The force on 2LPT particles near their lattice, {n}^3: error against mesh 4N, reach 3")
    ics = realisation(n)
    (first, second), g = displacements(ics), growth(ics.cosmology)
    shares = (0.25, 0.5, 0.75)
    k = np.fft.fftfreq(n, 1 / n)
    index = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k[: n // 2 + 1] ** 2).round().astype(int)

    def power(field: np.ndarray) -> np.ndarray:
        total = sum(np.abs(np.fft.rfftn(x)) ** 2 for x in field)
        return np.bincount(index.ravel(), total.ravel())

    result["forces"] = []
    for z in (49, 9, 3):
        a = 1 / (1 + z)
        psi = (g.d1(a) * first + g.d2(a) * second).astype(np.float32)
        truth = force(psi, ics.box, 4, 3.0, 4)
        rows = []
        for factor, reach, order in SPLITS:
            found = force(psi, ics.box, factor, reach, order)
            at = [round(share * n / 2) for share in shares]
            transfer = np.sqrt(power(found) / power(truth))[at]
            error = np.sqrt(power(found - truth) / power(truth))[at]
            rows.append(
                [
                    f"z = {z}, mesh {factor}N, reach {reach}, order {order}",
                    *[f"{x:.5f}" for x in (*transfer, *error)],
                ]
            )
            result["forces"].append(
                {
                    "z": z,
                    "split": [factor, reach, order],
                    "transfer": transfer.tolist(),
                    "error": error.tolist(),
                }
            )
        header = [f"{what} at {share:g} Nyquist" for what in ("T", "error") for share in shares]
        table(["", *header], rows)


def speed(result: dict, n: int) -> None:
    """Parts of a step on a distribution as clustered as today's."""
    heading(f"Parts of a step, {n}^3 particles")
    ics = realisation(n)
    engine = P3M()
    simulation = Simulation(engine, ics)
    simulation.start()
    result["speed"] = {}
    rows = []
    coarse = P3M(mesh_step=0.15, pair_accuracy=0.5)
    states = {"z = 49": simulation.psi.copy(), "z = 0, coarse steps": last(coarse, ics).psi}
    for state, psi in states.items():
        simulation.cells.sort(psi)
        timings = {
            "sort": measure(lambda psi=psi: simulation.cells.sort(psi)),
            "pair force": measure(lambda: simulation.pairs(simulation.near)),
            "mesh force": measure(lambda: simulation.mesh(simulation.far)),
        }
        for part, timing in timings.items():
            rows.append([f"{state}: {part}", *cells(timing)])
            result["speed"][f"{state}: {part}"] = timing.to_dict()
    table(["", *COLUMNS], rows)
    scaling(result, simulation, states["z = 0, coarse steps"])
    cores(result, ics)


def scaling(result: dict, simulation: Simulation, psi: np.ndarray) -> None:
    """The last mesh step with its pair steps, on one thread and on all: what does not run in parallel."""
    import numba

    step = plan(simulation.engine, simulation.ics)[-1]
    most = threads()
    timings = {}
    for count in (1, most):
        numba.set_num_threads(count)
        simulation.resume(psi.copy(), np.zeros_like(psi))
        timings[count] = measure(lambda: simulation.step(step), 3)
    table(["last mesh step", *COLUMNS], [[f"{count} threads", *cells(one)] for count, one in timings.items()])
    result["speed"]["balance"] = {count: balance(simulation, count) for count in (2, 16)}
    for count, (pair, mesh) in result["speed"]["balance"].items():
        print(
            f"Dealt to {count} threads, the most that one gets over the mean: {pair:.3f} of pairs, {mesh:.3f} of mesh."
        )
    if most == 1:
        return
    ratio = timings[1].median / timings[most].median
    serial = max(0.0, (most / ratio - 1) / (most - 1))
    print(
        f"{most} threads are {ratio:.2f} times as fast as one: by Amdahl's law {serial:.1%} of it is serial.\n"
    )
    result["speed"]["scaling"] = {"threads": most, "ratio": ratio, "serial": serial}


def cores(result: dict, ics: InitialConditions) -> None:
    """A whole run on 2 threads and on 16, where there are as many cores."""
    import numba

    here = min(threads(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads())
    if here < 16:
        print(f"16 cores against 2: not measured, there are {here} here.\n")
        return
    wall, most = {}, threads()
    for count in (2, 16):
        numba.set_num_threads(count)
        last(replace(P3M(), mesh_step=1.0, pair_accuracy=100.0), ics)  # threads begin, pages are there
        began = time.perf_counter()
        last(P3M(), ics)
        wall[count] = time.perf_counter() - began
    numba.set_num_threads(most)
    print(f"A run of {ics.n}^3 to z = 0: {wall[2]:.1f} s on 2 threads, {wall[16]:.1f} s on 16.")
    bar(result, "time on 16 cores over that on 2", wall[16] / wall[2], 0.2, "")
    result["speed"]["cores"] = wall


def balance(simulation: Simulation, threads: int) -> tuple[float, float]:
    """The most work that one of many threads gets, over the mean: pairs, and particles read from the mesh. Not a timing."""
    listed, work = simulation.cells, simulation.pairs.work
    count_work(listed.start, listed.count, work)
    busy = np.zeros(threads)
    for first, after in pieces(work, threads):
        busy[busy.argmin()] += work[after] - work[first]
    bounds = np.empty(threads + 1, np.int64)
    deal(listed.start, listed.count, np.arange(listed.count**2), bounds)
    particles = np.diff(listed.start[bounds * listed.count])
    return float(busy.max() / busy.mean()), float(particles.max() / particles.mean())


def plan(engine: P3M, ics: InitialConditions) -> list[MeshStep]:
    """The mesh steps of a run to z = 0."""
    longest = longest_step(ics, engine.mesh_step, engine.crossing)
    return schedule(engine.start_redshift, [0.0], longest)


def last(engine: P3M, ics: InitialConditions) -> Snapshot:
    return list(engine.run(ics, [0.0]))[-1]


def figures(one: Comparison, field: str) -> list[float]:
    found = one.fields[field]
    at = [found.nearest(k) for k in K_SHOWN]
    return [float(found.transfer[i]) for i in at] + [float(found.one_minus_r2[i]) for i in at]


def print_comparisons(title: str, comparisons: dict[str, Comparison]) -> None:
    for field in ("density", "displacement", "velocity"):
        for what, part in (("T", slice(0, len(K_SHOWN))), ("1 - r^2", slice(len(K_SHOWN), None))):
            rows = [
                [label, *[f"{x:.4f}" if what == "T" else f"{x:.5f}" for x in figures(one, field)[part]]]
                for label, one in comparisons.items()
                if field in one.fields
            ]
            if rows:
                table([f"{title}, {field}, {what}", *[f"k = {k:g}" for k in K_SHOWN]], rows)


def linear(result: dict) -> None:
    """What steps of equal length leave of linear growth, in which the force on a wave is its displacement."""
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
        rows.append([f"{length:g}", f"{psi / float(w.growth.d1(1.0)):.5f}"])
    table(["longest step in ln a", "T"], rows)
    result["linear"] = dict(rows)


def steps(result: dict, n: int) -> None:
    """Steps and starts against much finer steps; CPU seconds over threads."""
    heading(f"Steps, {n}^3 particles at z = 0, against {FINE}")
    ics = realisation(n)
    against = Reference(last(P3M(**FINE), ics), name="fine steps")
    found = {}
    for chosen in STEPS:
        began = time.process_time()
        label = ", ".join(f"{key} {value:g}" for key, value in chosen.items()) or "default"
        one = against.compare(last(P3M(**chosen), ics))
        found[f"{label} ({(time.process_time() - began) / threads():.0f} s)"] = one
    print_comparisons("z = 0", found)
    result["steps"] = {label: figures(one, "density") for label, one in found.items()}


def scatter(result: dict, ics: InitialConditions, truth: Snapshot) -> None:
    """What steps of the pair force do, and what they leave to chance: means and scatters of many runs."""
    heading(f"Chance, {ics.n}^3 particles against MP-Gadget: {CHANCE_RUNS} runs each, mean +- scatter")
    print("T of the density at k = 1.5, and velocity power over MP-Gadget's in bins of k:\n")
    against, rows = Reference(truth, name="MP-Gadget"), []
    for accuracy in (4 * P3M.pair_accuracy, 2 * P3M.pair_accuracy, P3M.pair_accuracy, P3M.pair_accuracy / 2):
        runs = [against.compare(last(P3M(pair_accuracy=accuracy), one)).fields for one in throws(ics)]
        density = np.array([one["density"].transfer[one["density"].nearest(1.5)] for one in runs])
        velocity = np.array([velocity_ratios(one["velocity"], 1.0) - 1 for one in runs])
        mean, deviation = velocity.mean(0), velocity.std(0, ddof=1)
        rows.append(
            [
                f"{accuracy:g}",
                f"{density.mean():.4f} +- {density.std(ddof=1):.4f}",
                *[f"{x:+.1%} +- {y:.1%}" for x, y in zip(mean, deviation, strict=True)],
            ]
        )
    table(["pair_accuracy", "T", *[f"to {0.1 * i:.1f}" for i in range(1, len(rows[0]) - 1)]], rows)
    result["scatter"] = {accuracy: row for accuracy, *row in rows}


def far(result: dict, n: int, cosmologies: Sequence[Cosmology]) -> None:
    """The default in far cosmologies against fine steps, beside what two fine settings differ by, and against long ones."""
    heading(f"Far cosmologies, {n}^3: the default, and fine steps again, against fine steps")
    found, long = {}, []
    for cosmology in cosmologies:
        ics = initial_conditions(cosmology, 250.0 * n / 128, n, 5, power="eisenstein-hu")
        fine = last(P3M(**FINE), ics)
        floor = last(P3M(**AS_FINE), ics)
        ours = [last(P3M(), field) for field in throws(ics)]
        for made, title in ((ours, ""), ([floor], " (floor: steps as fine)")):
            one = made[0]
            label = f"Omega_m {cosmology.omega_m:g}, sigma_8 {cosmology.sigma_8:g}{title}"
            found[label] = tell(result, label, made, fine)
            if not title:
                gadget = Reference(list(run_as_gadget(P3M(), ics, [3.0, 1.0, 0.0]))[-1], name="its steps")
                off = [power_off(gadget.compare(x)) for x in (one, fine)]
                long.append([label, *[f"{x:.2%}" for x in (power_off(found[label]), *off)]])
    print_comparisons("z = 0", found)
    columns = ("default, fine steps", "default, MP-Gadget's steps", "fine steps, MP-Gadget's")
    table(["P(k) for k <= 1.5 off by", *columns], long)
    result["far, MP-Gadget's steps"] = {label: row for label, *row in long}
    result["far"] = {
        label: {field: figures(one, field) for field in one.fields} for label, one in found.items()
    }


def energy(result: dict, n: int) -> None:
    """d(a (T + U)) = - T da, and the sum of momenta."""
    heading(f"Energy and momentum, {n}^3 particles to z = 0")
    simulation = Simulation(P3M(), realisation(n))
    simulation.start()
    mesh_steps = plan(simulation.engine, simulation.ics)
    records = [(mesh_steps[0].start, *energies(simulation, mesh_steps[0].start))]
    for step in mesh_steps:
        simulation.step(step)
        records.append((step.end, *energies(simulation, step.end)))
    a, kinetic, potential = np.array(records).T
    work = np.concatenate([[0], np.cumsum(0.5 * (kinetic[1:] + kinetic[:-1]) * np.diff(a))])
    change = a * potential - a[0] * potential[0]
    residual = (a * (kinetic + potential) - a[0] * (kinetic + potential)[0] + work) / np.abs(change[-1])
    bar(result, "Layzer-Irvine residual over the change of a U", float(np.abs(residual).max()), 0.01, "")
    p = simulation.p.reshape(3, -1).astype(np.float64)
    drift = float(np.abs(p.mean(1)).max() / np.sqrt((p**2).sum(0)).mean())
    bar(result, "mean momentum over the mean of its size", drift, 1e-5, "")


def against_reference(result: dict, name: str, ics: InitialConditions, truth: dict[float, Snapshot]) -> None:
    heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h against MP-Gadget")
    redshifts = sorted({*FIVE, *truth}, reverse=True) if name == "fiducial.npz" else list(truth)
    list(replace(P3M(), mesh_step=1.0, pair_accuracy=100.0).run(ics, [0.0]))  # compile
    runs = []
    for field in throws(ics):
        began, made = time.perf_counter(), {}
        for snapshot in P3M().run(field, redshifts):
            made[snapshot.redshift] = snapshot
        wall = time.perf_counter() - began
        print(f"{wall:.0f} s to {len(redshifts)} redshifts\n")
        if name == "fiducial.npz":
            bar(result, f"{name}: five redshifts of 128^3", wall, 360.0, "s", 180.0)
        runs.append(made)
    first = {
        f"z = {z:g}": tell(result, f"{name}, z = {z:g}", [made[z] for made in runs], one)
        for z, one in truth.items()  # the made ones hold more redshifts
    }
    print_comparisons("P3M", first)
    result[name] = {
        label: {field: figures(one, field) for field in one.fields} for label, one in first.items()
    }


def with_gadget_steps(result: dict, name: str, ics: InitialConditions, truth: dict[float, Snapshot]) -> None:
    """What is left of the difference when P3M takes MP-Gadget's steps."""
    heading(f"{name}: P3M with MP-Gadget's steps against MP-Gadget")
    found = {}
    for snapshot in run_as_gadget(P3M(), ics, list(truth)):
        one = Reference(truth[snapshot.redshift], name="MP-Gadget").compare(snapshot)
        density, off = one.fields["density"], power_off(one)
        found[f"z = {snapshot.redshift:g}, P(k) for k <= 1.5 off by {off:.2%}"] = one
        at = [density.nearest(k) for k in K_SHOWN if k <= 0.5]
        most = float(np.max(np.abs(density.transfer[at] - 1)))
        bar(result, f"{name}, z = {snapshot.redshift:g}, its steps: T for k <= 0.5 off by", most, 0.002, "")
    print_comparisons("MP-Gadget's steps", found)
    result[f"{name}, MP-Gadget's steps"] = {label: figures(one, "density") for label, one in found.items()}


if __name__ == "__main__":
    main()
