"""The time of the mesh engines, warm and without output, and the stages of one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType

import numpy as np

from benchmarks.inputs import PUBLISHED, realisation, reference_directory
from benchmarks.machine import COLUMNS, Timing, cells, measure, run_once, threads
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import engine
from zeldo.initial.conditions import InitialConditions

L_PICOLA = {1: 2.0, 2: 9.8}  # seconds with output, 128^3, two quiet cores, by the README of the references
ENGINES = ("cola", "cola:mesh_factor=2", "pm:mesh_factor=1", "pm")
LIMIT, AIM = {1: 1.0, 2: 5.0}, {1: 0.5, 2: 3.0}
STEPS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "speed")
    parser.add_argument("--n", type=int, help="particles per side")
    parser.add_argument("--runs", type=int, help="timed runs of each engine")
    parser.add_argument("--steps-only", action="store_true", help="the stages of a step alone")
    parsed = parser.parse_args(arguments)
    n, runs = parsed.n or (32 if parsed.quick else 128), parsed.runs or (3 if parsed.quick else 7)
    record = start(f"Speed: {n}^3 particles, {STEPS} steps", "speed")
    ics, name = _conditions(n, parsed.reference)
    about = {"ics": name, "n": n, "box": ics.box, "z": 0}
    if not parsed.steps_only:
        _engines(ics, runs, record, about)
    _stages(ics, runs, record, about)
    save(record, parsed)


def _conditions(n: int, reference: str | None) -> tuple[InitialConditions, str]:
    """Initial conditions and their name in the record."""
    directory = reference_directory(reference)
    if n == 128 and directory and (directory / "fiducial.npz").exists():
        from zeldo.files.reference import read_initial_conditions

        print("initial conditions: fiducial.npz")
        return read_initial_conditions(directory / "fiducial.npz"), "fiducial.npz"
    print("initial conditions: a realisation of our own")
    return realisation(n), "seed=7"


def _engines(ics: InitialConditions, runs: int, record: Record, about: dict) -> None:
    heading("Engines: positions and velocities at z = 0, warm, without output")
    rows = []
    for name in ENGINES:
        chosen = parse_engine(name, steps=STEPS)
        factor: int = chosen.mesh_factor  # type: ignore[attr-defined]
        timing = measure(lambda chosen=chosen: list(chosen.run(ics, [0.0])), runs)  # type: ignore[misc]
        record.timing(timing, engine=name, **about)
        rows.append([name, *cells(timing), f"{L_PICOLA[factor]:g}"])
    table([f"of {runs} runs", *COLUMNS, "L-PICOLA s"], rows)
    print(
        "cpu/thr: seconds of this process over its threads; others: what other processes took of the machine meanwhile."
    )
    print("L-PICOLA: 128^3, with output, on two quiet cores.\n")
    if ics.n != 128:
        return
    for factor, name in ((1, "cola"), (2, "cola:mesh_factor=2")):
        record.add(
            "wall_with_output",
            L_PICOLA[factor],
            "s",
            engine=f"l-picola:mesh_factor={factor}",
            **about | PUBLISHED,
        )
        wall = next(row.value for row in record.rows if (row.engine, row.quantity) == (name, "wall_median"))
        bar(record, "wall_median", wall, LIMIT[factor], "s", aim=AIM[factor], engine=name, **about)


def _stages(ics: InitialConditions, runs: int, record: Record, about: dict) -> None:
    from zeldo.mesh.gravity import gravity

    psi = next(iter(engine("cola", steps=STEPS).run(ics, [0.0]))).psi
    for factor, gradient in ((1, "difference"), (2, "difference"), (2, "spectral")):
        m = factor * ics.n
        force = gravity(ics.box, m, gradient=gradient)
        heading(f"One force: {ics.n}^3 particles at z = 0, mesh {m}^3, gradient {gradient}")
        force(psi)
        whole = Timing()
        stages: dict[str, Timing] = {}
        for _ in range(runs):
            with stage_times() as times:
                run_once(lambda force=force: force(psi), whole)  # type: ignore[misc]
            for stage, (wall, cpu) in times.items():
                stages.setdefault(stage, Timing())
                stages[stage].wall.append(wall)
                stages[stage].cpu.append(cpu / threads())
                stages[stage].others.append(np.nan)
        rest = whole.median - sum(timing.median for timing in stages.values())
        rows = [
            [stage, f"{1e3 * t.median:.1f}", f"{1e3 * min(t.wall):.1f}", f"{1e3 * t.cpu_median:.1f}"]
            for stage, t in stages.items()
        ]
        rows.append(["rest", f"{1e3 * rest:.1f}", "", ""])
        rows.append(["whole", *[f"{1e3 * x:.1f}" for x in (whole.median, min(whole.wall), whole.cpu_median)]])
        table(["stage", "median ms", "min ms", "cpu/thr ms"], rows)
        print(f"others took {100 * whole.others_median:.0f} % of the machine\n")
        for stage, timing in (stages | {"whole": whole}).items():
            record.timing(
                timing, engine=f"force:mesh_factor={factor},gradient={gradient}", field=stage, **about
            )


@contextmanager
def stage_times() -> Iterator[dict[str, tuple[float, float]]]:
    """Wall and CPU seconds in each public function of the mesh's kernels and transforms that is called in the block."""
    from zeldo.mesh import fft, numba_kernels

    times: dict[str, tuple[float, float]] = {}
    depth = 0

    def timed(name: str, function: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal depth
            depth += 1
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                depth -= 1
                if depth == 0:
                    before = times.get(name, (0.0, 0.0))
                    times[name] = (
                        before[0] + time.perf_counter() - wall,
                        before[1] + time.process_time() - cpu,
                    )

        return call

    saved: list[tuple[ModuleType, str, FunctionType]] = []
    for module in (numba_kernels, fft):
        for name, function in list(vars(module).items()):
            if (
                isinstance(function, FunctionType)
                and function.__module__ == module.__name__
                and name[0] != "_"
                and name not in ("threads", "check_mesh", "combine")
            ):
                saved.append((module, name, function))
                setattr(module, name, timed(name, function))
    try:
        yield times
    finally:
        for module, name, function in saved:
            setattr(module, name, function)


if __name__ == "__main__":
    main()
