"""Plans against measured memory and time, many universes, kills and resumes, and one large universe."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench_cost import spawn
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.suites.suite import read_manifest

PARTS = ("plans", "suite")
ENGINES = ("2lpt", "cola", "cola:mesh_factor=2", "pm", "emulator", "vnet")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "scale")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="some of them")
    parser.add_argument("--sizes", type=int, nargs="+", help="particles per side of the plans")
    parsed = parser.parse_args(arguments)
    record = start("Scale: plans, suites, resume, large universes", "scale")
    if "plans" in parsed.parts:
        _plans(parsed.sizes or ([32] if parsed.quick else [128, 256]), record)
    if "suite" in parsed.parts:
        _suite(10 if parsed.quick else 120, record)
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
            for name, (planned, measured) in pairs.items():
                bar(record, f"plan_{name}_error", abs(planned / measured - 1), 0.3, **about)
            rows.append([engine, f"{n}^3", *(f"{x:.3g}" for pair in pairs.values() for x in pair)])
    table(["engine", "n", "GB planned", "GB", "disk planned", "disk", "s planned", "s"], rows)


def _suite(count: int, record: Record) -> None:
    heading(f"{count} universes of 64^3 by cola: the whole command against the sum of their engine times")
    rows = []
    for keep in ("measure", "particles"):
        with tempfile.TemporaryDirectory() as folder:
            run = ["--seeds", f"0:{count}", "-n", 64, "--box", 125, "--keep", keep, "-o", folder]
            done = zeldo("run", *run)
            engines = sum(float(line["seconds"]) for line in read_manifest(folder))
        about = {"engine": "cola", "n": 64, "ics": f"seeds=0:{count}", "field": keep}
        bar(record, "suite_over_engine_time", done["wall"] / engines, 1.3, **about)
        rows.append([keep, f"{done['wall']:.1f}", f"{engines:.1f}"])
    table(["kept", "command s", "engines s"], rows)


if __name__ == "__main__":
    main()
