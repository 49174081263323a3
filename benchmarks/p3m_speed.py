"""The speed of P3M: the parts of a step, the effect of threads, and whole runs on many cores."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np

from benchmarks.inputs import realisation
from benchmarks.machine import COLUMNS, cells, measure, threads
from benchmarks.output import bar, heading, table
from benchmarks.p3m_runs import last, plan
from benchmarks.record import Record
from zeldo.engines.p3m.dynamics import PairDynamics
from zeldo.engines.p3m.engine import P3M
from zeldo.engines.p3m.mesh_kernels import deal
from zeldo.engines.p3m.pair_force import count_work, pieces
from zeldo.initial.conditions import InitialConditions


def speed(record: Record, n: int) -> None:
    """The parts of a step on a distribution as clustered as today's."""
    heading(f"Parts of a step, {n}^3 particles")
    ics = realisation(n)
    engine = P3M()
    dynamics = PairDynamics(engine, ics)
    begin = dynamics.start(plan(engine, ics)[0])
    rows = []
    coarse = P3M(mesh_step=0.15, pair_accuracy=0.5)
    states = {49: begin.psi, 0: last(coarse, ics).psi}
    for z, psi in states.items():
        dynamics.cells.sort(psi)
        timings = {
            "sort": measure(lambda psi=psi: dynamics.cells.sort(psi)),
            "pair force": measure(lambda: dynamics.pairs(begin.force.near)),
            "mesh force": measure(lambda: dynamics.mesh(begin.force.far)),
        }
        for part, timing in timings.items():
            rows.append([f"z = {z}: {part}", *cells(timing)])
            record.timing(timing, engine="p3m", ics="seed=7", n=n, box=ics.box, z=z, field=part)
    table(["", *COLUMNS], rows)
    scaling(record, dynamics, states[0])
    cores(record, ics)


def scaling(record: Record, dynamics: PairDynamics, psi: np.ndarray) -> None:
    """The last mesh step with its pair steps, on one thread and on all, which shows the serial part."""
    import numba

    rows = plan(dynamics.engine, dynamics.ics)
    most = threads()
    timings = {}
    for count in (1, most):
        numba.set_num_threads(count)
        state = dynamics.arrive(rows[-2], psi, np.zeros_like(psi))
        timings[count] = measure(lambda state=state: dynamics.step(state, rows[-1]), 3)  # type: ignore[misc]
    table(
        ["last mesh step", *COLUMNS],
        [[f"{count} threads", *cells(timing)] for count, timing in timings.items()],
    )
    n, box = dynamics.ics.n, dynamics.ics.box
    about = {"engine": "p3m", "ics": "seed=7", "n": n, "box": box, "z": 0}
    for count in (2, 16):
        pair, mesh = balance(dynamics, count)
        print(
            f"Dealt to {count} threads, the most that one gets over the mean: {pair:.3f} of pairs, {mesh:.3f} of mesh."
        )
        record.add("most_work_over_mean", pair, field=f"pair force, {count} threads", **about)
        record.add("most_work_over_mean", mesh, field=f"mesh force, {count} threads", **about)
    if most == 1:
        return
    ratio = timings[1].median / timings[most].median
    serial = max(0.0, (most / ratio - 1) / (most - 1))
    print(
        f"{most} threads are {ratio:.2f} times as fast as one: by Amdahl's law {serial:.1%} of it is serial.\n"
    )
    field = f"last mesh step, {most} threads"
    record.add("speed_over_one_thread", ratio, field=field, **about)
    record.add("serial_share", serial, field=field, **about)


def cores(record: Record, ics: InitialConditions) -> None:
    """A whole run on 2 threads and, if there are as many cores, on 16."""
    import numba

    available = min(
        threads(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads()
    )
    if available < 16:
        print(f"16 cores against 2: not measured, there are {available} here.\n")
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
    about = {"engine": "p3m", "ics": "seed=7", "n": ics.n, "box": ics.box, "z": 0}
    for count in wall:
        record.add("wall", wall[count], "s", field=f"{count} threads", **about)
    bar(record, "wall_on_16_over_2_threads", wall[16] / wall[2], 0.2, **about)


def balance(dynamics: PairDynamics, threads: int) -> tuple[float, float]:
    """The largest share of work of a thread over the mean, of pairs and of particles read from the mesh, without timing."""
    listed, work = dynamics.cells, dynamics.pairs.work
    count_work(listed.start, listed.count, work)
    busy = np.zeros(threads)
    for first, after in pieces(work, threads):
        busy[busy.argmin()] += work[after] - work[first]
    bounds = np.empty(threads + 1, np.int64)
    deal(listed.start, listed.count, np.arange(listed.count**2), bounds)
    particles = np.diff(listed.start[bounds * listed.count])
    return float(busy.max() / busy.mean()), float(particles.max() / particles.mean())
