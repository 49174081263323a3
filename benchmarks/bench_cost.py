"""The whole command from a shell, its memory, and how cost grows with the number of particles."""

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
    parser = options(__doc__, "bench_cost")
    parser.add_argument("--sizes", type=int, nargs="+", help="particles per side of the growth")
    parser.add_argument("--runs", type=int, help="runs of the command, of which the median counts")
    given = parser.parse_args(arguments)
    n, runs = (32, 1) if given.quick else (128, 3)
    sizes = given.sizes or ([16, 32, 64] if given.quick else [64, 128, 256])
    result = start("Cost: the whole command, memory, growth")
    result["command"] = _command(n, given.runs or runs, result)
    result["growth"] = _growth(sizes, result)
    save(result, given.json)


def spawn(command: Sequence[str]) -> dict:
    """wall and cpu seconds, peak_gb, status and text of a command in a fresh process."""
    small = [sys.executable, "-S", "-c", SMALL_PARENT, *command]
    # Python keeps its compiled modules, as it does unless somebody tells it not to
    usual = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(small, cwd=ROOT, capture_output=True, text=True, check=True, env=usual)
    return json.loads(done.stdout)


def _command(n: int, runs: int, result: dict) -> dict:
    heading(f"The whole command: zeldo run --engine cola --n {n} -o out.hdf5, kernels compiled before")
    if importlib.util.find_spec("zeldo.__main__") is None:
        print("`python -m zeldo` is not there: skipped")
        return {}
    found: dict[str, dict] = {}
    rows = []
    for factor in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "out.hdf5")
            settings = ["--n", str(n), "--box", f"{250 * n / 128:g}", "--mesh-factor", str(factor)]
            command = [sys.executable, "-m", "zeldo", "run", "--engine", "cola", *settings, "-o", out]
            taken = [spawn(command) for _ in range(runs + 1)][1:]
        failed = next((one for one in taken if one["status"] != 0), None)
        if failed:
            print(f"the command failed with status {failed['status']}: {failed['text'].strip()[-300:]}")
            return {}
        taken.sort(key=lambda one: one["wall"])
        middle = taken[len(taken) // 2]
        found[str(factor)] = {
            "median_s": middle["wall"],
            "min_s": taken[0]["wall"],
            "max_s": taken[-1]["wall"],
            "cpu_s": middle["cpu"],
            "peak_gb": max(one["peak_gb"] for one in taken),
        }
        row = found[str(factor)]
        numbers = [f"{row[key]:.2f}" for key in ("median_s", "min_s", "max_s", "cpu_s")]
        rows.append([f"mesh factor {factor}", *numbers, f"{row['peak_gb']:.2f}"])
    table(["of the command", "median s", "min s", "max s", "cpu s (all cores)", "peak GB"], rows)
    if n < 128:
        return found
    bar(result, f"whole command at mesh factor 1, {n}^3", found["1"]["median_s"], 6.0)
    bar(result, f"peak memory of the command at mesh factor 2, {n}^3", found["2"]["peak_gb"], 1.5, "GB")
    return found


def _growth(sizes: Sequence[int], result: dict) -> list[dict]:
    heading("Growth: cola, mesh N, each size in a process of its own, per particle")
    found = []
    rows = []
    for n in sizes:
        taken = spawn([sys.executable, "-m", "benchmarks.growth_child", str(n)])
        if taken["status"] != 0:
            print(f"{n}^3 failed with status {taken['status']}: {taken['text'].strip()[-300:]}")
            continue
        one = json.loads(taken["text"].splitlines()[-1])
        found.append(one)
        numbers = [f"{one[key]:.3f}" for key in ("wall_s", "cpu_s")]
        per = [f"{1e6 * one[key] / n**3:.3f}" for key in ("wall_s", "cpu_s")]
        rows.append([f"{n}^3", *numbers, *per, f"{one['bytes_per_particle']:.0f}", f"{one['peak_gb']:.2f}"])
    table(["particles", "median s", "cpu/thr s", "us", "cpu us", "bytes", "whole process GB"], rows)
    print(
        "us, cpu us, bytes: wall, work of a thread, and memory above the idle interpreter's, per particle.\n"
    )
    for key, what in (("cpu_s", "work"), ("wall_s", "wall time"), ("bytes_per_particle", "memory")):
        values = [one[key] / (1 if key == "bytes_per_particle" else one["n"] ** 3) for one in found]
        if len(values) > 1 and sizes[-1] >= 128:
            spread = max(values) / min(values) - 1
            bar(
                result,
                f"{what} per particle, {sizes[0]}^3 to {sizes[-1]}^3, largest over smallest less 1",
                spread,
                0.2,
                "",
            )
    return found


if __name__ == "__main__":
    main()
