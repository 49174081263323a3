"""Plans against measured memory and time, many universes, kills and resumes, and one large universe."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import scale_many
from benchmarks.bench_cost import spawn
from benchmarks.output import bar, heading, keep_other_parts, options, save, start, table
from benchmarks.record import Record

PARTS = (
    "plans",
    "suite",
    "killed",
    "resume",
    "workers",
    "pieces",
    "cluster",
    "streams",
    "large",
    "huge",
)
REPEATS, SHORT = 3, 60.0  # runs that take less than so many seconds are planned and made three times
ENGINES = ("2lpt", "cola", "cola:mesh_factor=2", "pm", "p3m", "emulator", "emulator:fast", "vnet")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "scale", PARTS)
    parser.set_defaults(parts=PARTS[:-1])  # huge only where named
    parser.add_argument("--kills", type=int, default=20, help="of each engine")
    parser.add_argument("--count", type=int, default=1000, help="universes of the suite")
    parser.add_argument("--sizes", type=int, nargs="+", help="particles per side of the plans")
    parser.add_argument(
        "--pieces", type=int, nargs="+", default=[256, 512], help="particles per side of volumes"
    )
    parser.add_argument("--cluster", type=int, default=256, help="particles per side of that on a cluster")
    parsed = parser.parse_args(arguments)
    record = start("Scale: plans, suites, resume, large universes", "scale")
    keep_other_parts(record, parsed, PARTS)
    if "plans" in parsed.parts:
        _plans(parsed.sizes or ([32] if parsed.quick else [128, 256]), record)
    if "suite" in parsed.parts:
        scale_many.suite(10 if parsed.quick else parsed.count, record)
    if "killed" in parsed.parts:
        scale_many.killed_suite(*((12, 2) if parsed.quick else (parsed.count, 5)), record)
    if "resume" in parsed.parts:
        scale_many.resume(2 if parsed.quick else parsed.kills, record)
    if "workers" in parsed.parts:
        scale_many.workers(10 if parsed.quick else 400, record)
    if "pieces" in parsed.parts:
        scale_many.pieces([64] if parsed.quick else parsed.pieces, record)
    if "cluster" in parsed.parts:
        scale_many.cluster(32 if parsed.quick else parsed.cluster, record)
    if "streams" in parsed.parts:
        _streams(32 if parsed.quick else 256, record)
    if "large" in parsed.parts:
        _large(record, quick=parsed.quick)
    if "huge" in parsed.parts:
        _universe("cola", 64 if parsed.quick else 1024, "20GB", 20.0, 3600.0, record)
    save(record, parsed)


def zeldo(*arguments: object) -> dict:
    """Run a command of zeldo in a fresh process; see `spawn`."""
    return spawn([sys.executable, "-m", "zeldo", *map(str, arguments)])


def _plans(sizes: Sequence[int], record: Record) -> None:
    heading("zeldo plan against zeldo run: the share by which memory and time differ")
    # reads libraries and kernels from the disk, once for all runs
    with tempfile.TemporaryDirectory() as folder:
        zeldo("run", "--engine", "cola", "-n", 32, "-o", Path(folder) / "out.hdf5")
    rows = []
    for n in sizes:
        for engine in ENGINES:
            if engine == "p3m" and n > 128:
                continue  # hours
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out.hdf5"
                run = ["--engine", engine, "-n", n, "--box", 1.953125 * n, "-o", out]
                runs = [_planned_and_done(run)]
                while len(runs) < REPEATS and runs[0][1]["wall"] < SHORT:
                    runs.append(_planned_and_done(run))
                failed = next((done for _, done in runs if done["status"]), None)
                if failed is not None:
                    print(f"{engine} {n}^3 failed: {failed['text'].strip()[-200:]}")
                    continue
                size = out.stat().st_size / 1e9
            # the pair in the middle: planning measures how fast the machine is at that moment
            plan, done = sorted(runs, key=lambda pair: pair[0]["seconds"] / pair[1]["wall"])[len(runs) // 2]
            about = {"engine": engine, "n": n, "ics": "seed=7", "z": 0}
            pairs = {
                "memory": (plan["memory_gb"], done["peak_gb"]),
                "disk": (plan["disk_gb"], size),
                "time": (plan["seconds"], done["wall"]),
            }
            for name, (planned, taken) in pairs.items():
                bar(record, f"plan_{name}_error", abs(planned / taken - 1), 0.3, **about)
            rows.append([engine, f"{n}^3", *(f"{x:.3g}" for pair in pairs.values() for x in pair)])
    table(["engine", "n", "GB planned", "GB", "disk planned", "disk", "s planned", "s"], rows)


def _planned_and_done(run: list[object]) -> tuple[dict, dict]:
    return json.loads(zeldo("plan", *run, "--json")["text"]), zeldo("run", *run)


def _streams(n: int, record: Record) -> None:
    heading(f"{n}^3 by cola with the particles on disk against in memory, and into tiles against into a file")
    ways = {"hdf5": ("out.hdf5", None), "zarr": ("out.zarr", None), "disk": ("out.zarr", _tight(n))}
    walls: dict[str, float] = {}
    busy: dict[str, float] = {}
    for way in 3 * (*ways,):
        name, memory = ways[way]
        with tempfile.TemporaryDirectory() as folder:
            run = ["--engine", "cola", "-n", n, "--box", 1.953125 * n, "-o", Path(folder) / name]
            done = zeldo("run", *run, *(["--memory", memory] if memory else []))
        if done["status"]:
            print(f"{way} failed: {done['text'].strip()[-200:]}")
        else:
            walls[way] = min(done["wall"], walls.get(way, float("inf")))
            busy[way] = min(done["cpu"], busy.get(way, float("inf")))
    about = {"engine": "cola", "n": n, "ics": "seed=7"}
    bar(record, "stream_over_file", walls["zarr"] / walls["hdf5"], 1.5, **about)
    if "disk" in walls:  # small runs cannot be on disk: all of zeldo is larger
        bar(record, "disk_over_memory", walls["disk"] / walls["zarr"], 1.5, **about)
        record.add("disk_over_memory_cpu", busy["disk"] / busy["zarr"], **about)
        print(", ".join(f"{way} {wall:.1f} s ({busy[way]:.1f} s of CPU)" for way, wall in walls.items()))


def _tight(n: int) -> str:
    """A limit of memory with which the particles of cola are on disk."""
    import zeldo as package

    place = Path(tempfile.gettempdir()) / "out.zarr"
    usual = package.plan(engine="cola", n=n, box=1.953125 * n, output=place).memory_gb
    return f"{0.95 * usual:.3f}GB"


LARGE = (  # engine, particles per side, memory, bars of GB and seconds
    ("cola", 512, "8GB", 8.0, 170.0),
    ("cola", 512, "3GB", 3.0, None),
    ("emulator", 512, "8GB", 8.0, 360.0),
)


def _large(record: Record, *, quick: bool) -> None:
    for engine, n, memory, gigabytes, seconds in LARGE:
        _universe(engine, 64 if quick else n, memory, gigabytes, seconds, record)


def _universe(
    engine: str, n: int, memory: str, gigabytes: float, seconds: float | None, record: Record
) -> None:
    heading(f"{n}^3 by {engine} with {memory}, positions and velocities to disk")
    os.sync()  # what the run before wrote must not slow this one
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        run = ["--engine", engine, "-n", n, "--box", 1.953125 * n, "--memory", memory]
        run += ["-o", Path(folder) / "out.zarr"]
        plan = json.loads(zeldo("plan", *run, "--json")["text"])
        done = zeldo("run", *run)
    if done["status"]:
        print(f"failed: {done['text'].strip()[-200:]}")
        return
    about = {"engine": engine, "n": n, "ics": f"seed=7 memory={memory}", "z": 0}
    bar(record, "command_peak_memory", done["peak_gb"], gigabytes, "GB", **about)
    if seconds is None:
        record.add("command_wall", done["wall"], "s", **about)
        print(f"{done['wall']:.1f} s")
    else:
        bar(record, "command_wall", done["wall"], seconds, "s", **about)
    bar(record, "plan_memory_error", abs(plan["memory_gb"] / done["peak_gb"] - 1), 0.3, **about)
    bar(record, "plan_time_error", abs(plan["seconds"] / done["wall"] - 1), 0.3, **about)


if __name__ == "__main__":
    main()
