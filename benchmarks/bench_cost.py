"""Time and memory of the whole command from a shell, and the growth of the cost with the number of particles."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record

ROOT = Path(__file__).parents[1]
# runs a command as a child of a small process: a child's peak memory counts that of the process it was split from
SMALL_PARENT = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
text = child.stdout.read().decode(errors="replace")
_, status, used = os.wait4(child.pid, 0)
scale = 1 if sys.platform == "darwin" else 1024
print(json.dumps(dict(wall=time.perf_counter() - start, cpu=used.ru_utime + used.ru_stime,
                      peak_gb=used.ru_maxrss * scale / 1e9, status=os.waitstatus_to_exitcode(status), text=text)))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "cost")
    parser.add_argument("--sizes", type=int, nargs="+", help="particles per side of the growth")
    parser.add_argument("--runs", type=int, help="runs of the command, of which the median counts")
    parsed = parser.parse_args(arguments)
    n, runs = (32, 1) if parsed.quick else (128, 3)
    sizes = parsed.sizes or ([16, 32, 64] if parsed.quick else [64, 128, 256])
    record = start("Cost: the whole command, memory, growth", "cost")
    _command(n, parsed.runs or runs, record)
    _growth(sizes, record)
    save(record, parsed)


def spawn(command: Sequence[str]) -> dict:
    """Run a command in a fresh process; its wall and CPU seconds, peak_gb, status and text."""
    small = [sys.executable, "-S", "-c", SMALL_PARENT, *command]
    # Python keeps its compiled modules, as it does by default
    usual = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(small, cwd=ROOT, capture_output=True, text=True, check=True, env=usual)
    return json.loads(done.stdout)


def _command(n: int, runs: int, record: Record) -> None:
    heading(f"The whole command: zeldo run --engine cola --n {n} -o out.hdf5, kernels compiled before")
    if importlib.util.find_spec("zeldo.__main__") is None:
        print("`python -m zeldo` is not there: skipped")
        return
    rows = []
    for factor, name in ((1, "cola"), (2, "cola:mesh_factor=2")):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "out.hdf5")
            settings = ["--n", str(n), "--box", f"{250 * n / 128:g}", "--mesh-factor", str(factor)]
            command = [sys.executable, "-m", "zeldo", "run", "--engine", "cola", *settings, "-o", out]
            children = [spawn(command) for _ in range(runs + 1)][1:]
        failed = next((child for child in children if child["status"] != 0), None)
        if failed:
            print(f"the command failed with status {failed['status']}: {failed['text'].strip()[-300:]}")
            return
        children.sort(key=lambda child: child["wall"])
        middle = children[len(children) // 2]
        about = {"engine": name, "ics": "seed=7", "n": n, "box": 250 * n / 128, "z": 0}
        walls = [child["wall"] for child in children]
        peak = max(child["peak_gb"] for child in children)
        record.add("command_wall_median", middle["wall"], "s", **about)
        record.add("command_wall_min", min(walls), "s", **about)
        record.add("command_wall_max", max(walls), "s", **about)
        record.add("command_cpu", middle["cpu"], "s", **about)
        record.add("command_peak_memory", peak, "GB", **about)
        numbers = [f"{x:.2f}" for x in (middle["wall"], min(walls), max(walls), middle["cpu"])]
        rows.append([f"mesh factor {factor}", *numbers, f"{peak:.2f}"])
        if n >= 128 and factor == 1:
            bar(record, "command_wall_median", middle["wall"], 6.0, "s", **about)
        if n >= 128 and factor == 2:
            bar(record, "command_peak_memory", peak, 1.5, "GB", **about)
    table(["of the command", "median s", "min s", "max s", "cpu s (all cores)", "peak GB"], rows)


def _growth(sizes: Sequence[int], record: Record) -> None:
    heading("Growth: cola, mesh N, each size in a process of its own, per particle")
    costs = []
    rows = []
    for n in sizes:
        child = spawn([sys.executable, "-m", "benchmarks.growth_child", str(n)])
        if child["status"] != 0:
            print(f"{n}^3 failed with status {child['status']}: {child['text'].strip()[-300:]}")
            continue
        cost = json.loads(child["text"].splitlines()[-1])
        costs.append(cost)
        about = {"engine": "cola", "ics": "seed=7", "n": n, "box": 250 * n / 128, "z": 0}
        record.add("wall_median", cost["wall_s"], "s", **about)
        record.add("cpu_per_thread_median", cost["cpu_s"], "s", **about)
        record.add("others_share_median", cost["others_share"], **about)
        record.add("memory_per_particle", cost["bytes_per_particle"], "bytes", **about)
        record.add("peak_memory", cost["peak_gb"], "GB", **about)
        numbers = [f"{cost[key]:.3f}" for key in ("wall_s", "cpu_s")]
        per = [f"{1e6 * cost[key] / n**3:.3f}" for key in ("wall_s", "cpu_s")]
        rows.append([f"{n}^3", *numbers, *per, f"{cost['bytes_per_particle']:.0f}", f"{cost['peak_gb']:.2f}"])
    table(["particles", "median s", "cpu/thr s", "us", "cpu us", "bytes", "whole process GB"], rows)
    print(
        "us, cpu us, bytes: wall, work of a thread, and memory above the idle interpreter's, per particle.\n"
    )
    for key, quantity in (("cpu_s", "cpu"), ("wall_s", "wall"), ("bytes_per_particle", "memory")):
        values = [cost[key] / (1 if key == "bytes_per_particle" else cost["n"] ** 3) for cost in costs]
        if len(values) > 1 and sizes[-1] >= 128:
            bar(record, f"{quantity}_per_particle_spread", max(values) / min(values) - 1, 0.2, engine="cola")


if __name__ == "__main__":
    main()
