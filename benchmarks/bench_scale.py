"""Plans against measured memory and time, many universes, kills and resumes, and one large universe."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bench_cost import spawn
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.files.universe_zarr import UniverseZarr, is_universe
from zeldo.measuring.cost import measured
from zeldo.suites.suite import read_manifest

PARTS = ("plans", "suite", "resume", "pieces", "streams", "large")
ENGINES = ("2lpt", "cola", "cola:mesh_factor=2", "pm", "emulator", "vnet")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "scale")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="some of them")
    parser.add_argument("--kills", type=int, default=20, help="of each engine")
    parser.add_argument("--count", type=int, default=1000, help="universes of the suite")
    parser.add_argument("--sizes", type=int, nargs="+", help="particles per side of the plans")
    parsed = parser.parse_args(arguments)
    record = start("Scale: plans, suites, resume, large universes", "scale")
    if "plans" in parsed.parts:
        _plans(parsed.sizes or ([32] if parsed.quick else [128, 256]), record)
    if "suite" in parsed.parts:
        _suite(10 if parsed.quick else parsed.count, record)
    if "resume" in parsed.parts:
        _resume(2 if parsed.quick else parsed.kills, record)
    if "pieces" in parsed.parts:
        _pieces(*((64, 32, 8) if parsed.quick else (256, 128, 16)), record)
    if "streams" in parsed.parts:
        _streams(32 if parsed.quick else 256, record)
    if "large" in parsed.parts:
        _large(64 if parsed.quick else 512, record)
    save(record, parsed)


def zeldo(*arguments: object) -> dict:
    """Run a command of zeldo in a fresh process; see `spawn`."""
    return spawn([sys.executable, "-m", "zeldo", *map(str, arguments)])


def _plans(sizes: Sequence[int], record: Record) -> None:
    heading("zeldo plan against zeldo run: the share by which memory and time differ")
    rows = []
    for n in sizes:
        for engine in ENGINES:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out.hdf5"
                run = ["--engine", engine, "-n", n, "--box", 1.953125 * n, "-o", out]
                plan = json.loads(zeldo("plan", *run, "--json")["text"])
                done = zeldo("run", *run)
                if done["status"]:
                    print(f"{engine} {n}^3 failed: {done['text'].strip()[-200:]}")
                    continue
                size = out.stat().st_size / 1e9
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


def _suite(count: int, record: Record) -> None:
    heading(f"{count} universes of 64^3 by cola: the whole command against the sum of their engine times")
    rows = []
    for keep in ("measure", "particles"):
        with tempfile.TemporaryDirectory() as folder:
            run = [
                "--engine",
                "cola",
                "--seeds",
                f"0:{count}",
                "-n",
                64,
                "--box",
                125,
                "--keep",
                keep,
                "-o",
                folder,
            ]
            done = zeldo("run", *run)
            engines = sum(float(line["seconds"]) for line in read_manifest(folder))
        about = {"engine": "cola", "n": 64, "ics": f"seeds=0:{count}", "field": keep}
        bar(record, "suite_over_engine_time", done["wall"] / engines, 1.3, **about)
        rows.append([keep, f"{done['wall']:.1f}", f"{engines:.1f}"])
    table(["kept", "command s", "engines s"], rows)


RESUMED = {
    "cola:steps=20,checkpoint_minutes=0": 64,
    "pm:steps=10,mesh_factor=1,checkpoint_minutes=0": 64,
    "p3m:checkpoint_minutes=0,mesh_step=0.3": 16,
    "vnet:tiles=2": 64,
    "emulator:tiles=2": 64,
}


def _resume(kills: int, record: Record) -> None:
    heading(f"Killed without warning at {kills} random moments, begun again each time: results that differ")
    rng = random.Random(1)
    for engine, n in RESUMED.items():
        with tempfile.TemporaryDirectory() as folder:
            whole, out = Path(folder) / "whole.zarr", Path(folder) / "out.zarr"
            command = [sys.executable, "-m", "zeldo", "run", "-n", str(n), "--box", f"{1.953125 * n:g}"]
            command += ["--engine", engine, "-o"]
            took = spawn([*command, str(whole)])["wall"]
            different = made = 0
            for _ in range(kills):
                child = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL)
                time.sleep(rng.uniform(0.3, 1.0) * took)
                child.kill()
                if child.wait() == 0 or made_whole(out):
                    made += 1
                    different += not same(whole, out)
                    shutil.rmtree(out)
            if spawn([*command, str(out)])["status"] or not same(whole, out):
                different += 1
        bar(record, "different_after_kills", different, 0, engine=engine, n=n, ics=f"kills={kills}")


def made_whole(path: Path) -> bool:
    """Whether a universe has all its snapshots."""
    return is_universe(path) and bool(UniverseZarr(path).complete())


def same(a: Path, b: Path) -> bool:
    """Whether two universes have the same bits."""
    first, second = UniverseZarr(a), UniverseZarr(b)
    return first.complete() == second.complete() and all(
        np.array_equal(first.whole(float(z), field), second.whole(float(z), field))
        for z, fields in first.complete().items()
        for field in fields
    )


def _pieces(n: int, side: int, buffer: int, record: Record) -> None:
    heading(f"COLA in pieces of {side}^3 with a buffer of {buffer} cells against the whole {n}^3")
    import zeldo as package
    from zeldo.statistics import compare_snapshots
    from zeldo.volumes.pieces import in_pieces, joined

    ics, engine = package.initial_conditions(n=n, box=1.953125 * n), package.engine("cola")
    with measured() as cost_whole:
        (whole,) = engine.run(ics, [0.0])
    with measured() as cost:
        pieces = joined(in_pieces(engine, ics, 0.0, side=side, buffer=buffer), engine, ics.origin, 0.0)
    density = compare_snapshots(pieces, whole).fields["density"]
    about = {"engine": "cola in pieces", "n": n, "reference": "cola", "z": 0, "field": "density"}
    for k in (0.1, 0.2, 0.3, 0.5):
        i = density.nearest(k)
        bar(record, "one_minus_r2", abs(density.one_minus_r2[i]), 1e-3, k=k, **about)
        record.add("T", density.transfer[i], k=k, **about)
    record.add("time_of_whole", cost_whole.seconds, "s", **about)
    record.add("time_of_pieces", cost.seconds, "s", **about)
    print(f"{cost.seconds:.1f} s in pieces, {cost_whole.seconds:.1f} s whole")


def _streams(n: int, record: Record) -> None:
    heading(f"A run of {n}^3 into tiles on disk against one into a file")
    walls = {}
    for suffix in ("hdf5", "zarr", "hdf5", "zarr"):
        with tempfile.TemporaryDirectory() as folder:
            done = zeldo(
                "run",
                "--engine",
                "cola",
                "-n",
                n,
                "--box",
                1.953125 * n,
                "-o",
                Path(folder) / f"out.{suffix}",
            )
        walls[suffix] = min(done["wall"], walls.get(suffix, float("inf")))
    bar(record, "stream_over_file", walls["zarr"] / walls["hdf5"], 1.5, engine="cola", n=n, ics="seed=7")


def _large(n: int, record: Record) -> None:
    heading(f"One universe of {n}^3, positions and velocities to disk")
    with tempfile.TemporaryDirectory() as folder:
        run = [
            "--engine",
            "cola",
            "-n",
            n,
            "--box",
            1000 * n / 512,
            "--memory",
            "8GB",
            "-o",
            Path(folder) / "out.zarr",
        ]
        done = zeldo("run", *run)
    if done["status"]:
        print(f"failed: {done['text'].strip()[-200:]}")
        return
    about = {"engine": "cola", "n": n, "ics": "seed=7", "z": 0}
    bar(record, "command_peak_memory", done["peak_gb"], 8.0, "GB", **about)
    bar(record, "command_wall", done["wall"], 170.0, "s", **about)


if __name__ == "__main__":
    main()
