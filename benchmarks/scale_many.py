"""The parts of `bench_scale` about many universes, kills, several processes and volumes in pieces."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.bench_cost import ROOT, spawn
from benchmarks.output import bar, heading, table
from benchmarks.record import Record
from zeldo.suites.suite import read_manifest

SUITE = ("run", "--engine", "cola", "-n", "64", "--box", "125", "--keep", "measure")

# each at a size where a run takes some seconds, and stops between tiles or steps
RESUMED = {
    "zeldovich": 192,
    "2lpt": 192,
    "cola:steps=20,checkpoint_minutes=0": 64,
    "pm:steps=10,mesh_factor=1,checkpoint_minutes=0": 64,
    "p3m:checkpoint_minutes=0,mesh_step=0.3": 16,
    "vnet:tiles=2": 64,
    "emulator:tiles=2": 64,
    "emulator:fast,tiles=2": 64,
}
RESUMED_ON_DISK = {
    "cola:steps=20": 64,
    "pm:steps=10,mesh_factor=1": 64,
    "pm:steps=10,mesh_factor=2": 64,
    "emulator": 64,
    "emulator:fast": 64,
}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "zeldo", *map(str, arguments)]


def suite(count: int, record: Record) -> None:
    heading(f"{count} universes of 64^3 by cola: the whole command against the sum of their engine times")
    rows = []
    for keep in ("measure", "particles"):
        with tempfile.TemporaryDirectory() as folder:
            done = spawn(command(*SUITE[:-1], keep, "--seeds", f"0:{count}", "-o", folder))
            engines = sum(float(line["seconds"]) for line in read_manifest(folder))
        about = {"engine": "cola", "n": 64, "ics": f"seeds=0:{count}", "field": keep}
        record.add("command_wall", done["wall"], "s", **about)
        record.add("engine_wall", engines, "s", **about)
        bar(record, "suite_over_engine_time", done["wall"] / engines, 1.3, **about)
        rows.append([keep, f"{done['wall']:.1f}", f"{engines:.1f}"])
    table(["kept", "command s", "engines s"], rows)


def killed_suite(count: int, kills: int, record: Record) -> None:
    heading(f"{count} universes of 64^3 with --keep measure, killed {kills} times")
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        run = command(*SUITE, "--seeds", f"0:{count}", "-o", folder)
        made, start = 0, time.perf_counter()
        for kill in range(kills):
            # at a random moment after an even share of the universes
            wanted = (kill + rng.uniform(0.2, 1.0)) * count / (kills + 1)
            child = subprocess.Popen(run, stdout=subprocess.DEVNULL, cwd=ROOT)
            while made < wanted and child.poll() is None:
                time.sleep(rng.uniform(0.0, 0.2))
                made = _rows(Path(folder))
            child.kill()
            child.wait()
            print(f"killed after {made} universes, {time.perf_counter() - start:.0f} s", flush=True)
        status = spawn(run)["status"]
        lines = read_manifest(folder)
        wrong = sum(
            hashlib.sha256((Path(folder) / line["where"]).read_bytes()).hexdigest() != line["sha256"]
            for line in lines
            if line["status"] == "done"
        )
        left = len(list((Path(folder) / "claims").iterdir()))
        left += len(list((Path(folder) / "universes").iterdir())) - count
    seeds = Counter(line["seed"] for line in lines if line["status"] == "done")
    about = {"engine": "cola", "n": 64, "ics": f"seeds=0:{count}", "field": f"{kills} kills"}
    bar(record, "universes_missing", count - len(seeds) + (status != 0), 0, **about)
    bar(record, "rows_twice", sum(seeds.values()) - len(seeds), 0, **about)
    bar(record, "files_unlike_their_row", wrong, 0, **about)
    bar(record, "folders_left_behind", left, 0, **about)


def _rows(folder: Path) -> int:
    there = folder / "rows"
    return len(list(there.glob("[!.]*"))) if there.exists() else 0


def resume(kills: int, record: Record) -> None:
    heading(f"Killed without warning at {kills} random moments and begun again: results that are identical")
    rows = []
    cases = [(engine, n, "memory") for engine, n in RESUMED.items()]
    cases += [(engine, n, "disk") for engine, n in RESUMED_ON_DISK.items()]
    for engine, n, place in cases:
        child = spawn([sys.executable, "-m", "benchmarks.kills_child", engine, str(n), str(kills), place])
        if child["status"]:
            print(f"{engine} failed: {child['text'].strip()[-300:]}")
            continue
        result = json.loads(child["text"].strip().splitlines()[-1])
        about = {"engine": engine, "n": n, "ics": f"kills={kills}", "field": place}
        bar(record, "different_after_kills", kills - result["identical"], 0, **about)
        record.add("killed_while_running", result["interrupted"], **about)
        took = f"{result['took']:.2f}"
        identical = f"{result['identical']} of {kills}"
        rows.append([engine, f"{n}^3", place, identical, str(result["interrupted"]), took])
    table(["engine", "n", "particles in", "identical", "killed while running", "a run, s"], rows)


def workers(count: int, record: Record) -> None:
    heading(f"{count} universes of 64^3: two processes of a thread, and a cluster of two, against one of two")
    walls = {}
    for name, processes, threads in (("one process", 1, 2), ("processes", 2, 1), ("dask", 1, 1)):
        env = os.environ | {"NUMBA_NUM_THREADS": str(threads)}
        env.pop("OMP_NUM_THREADS", None)  # it follows
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            run = command(*SUITE, "--seeds", f"0:{count}", "-o", folder)
            if name == "dask":
                run = [sys.executable, "-m", "benchmarks.cluster_child", "suite", "2", str(count)]
            start = time.time()
            children = [
                subprocess.Popen(run, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
                for _ in range(processes)
            ]
            texts = [child.communicate()[0] for child in children]
            failed = [child.returncode for child in children]
            ended = json.loads(texts[0].splitlines()[-1])["ended"] if name == "dask" else time.time()
            walls[name] = ended - start
        if any(failed):
            print(f"{name} failed")
            return
        about = {"engine": "cola", "n": 64, "ics": f"seeds=0:{count}", "field": name}
        record.add("command_wall", walls[name], "s", **about)
        if name != "one process":
            bar(record, "wall_over_one_process", walls[name] / walls["one process"], 1.15, **about)
    table(["made by", "s"], [[name, f"{wall:.1f}"] for name, wall in walls.items()])


PIECES = (
    "from zeldo.volumes.run import run_in_pieces as run; run(output={!r}, n={}, box={}, side={}, buffer={})"
)


def divided(n: int) -> tuple[int, int]:
    """Cells of a piece, an eighth of the volume at least, and of its buffer: 31 Mpc/h."""
    return min(128, n // 2), min(16, n // 8)


def pieces(sizes: Sequence[int], record: Record) -> None:
    for n in sizes:
        side, buffer = divided(n)
        heading(f"{n}^3 by COLA in pieces of {side}^3 with a buffer of {buffer} cells, against the whole")
        box = 1.953125 * n
        about = {"engine": "cola in pieces", "n": n, "box": box, "reference": "cola", "z": 0}
        with tempfile.TemporaryDirectory() as folder:
            whole, out = Path(folder) / "whole.zarr", Path(folder) / "out.zarr"
            text = PIECES.format(str(out), n, box, side, buffer)
            made = spawn([sys.executable, "-c", text])
            against = spawn(command("run", "--engine", "cola", "-n", n, "--box", box, "-o", whole))
            failed = [child["text"].strip()[-300:] for child in (made, against) if child["status"]]
            if failed:
                print(f"failed: {failed[0]}")
                continue
            code = (
                "import json; from zeldo.statistics import stream_cross; "
                f"print(json.dumps([list(x) for x in stream_cross({str(out)!r}, {str(whole)!r})]))"
            )
            compared = spawn([sys.executable, "-c", code])
        k, transfer, one_minus_r2 = (np.array(x) for x in json.loads(compared["text"].splitlines()[-1]))
        for wave in (0.1, 0.2, 0.3, 0.5, 1.0):
            i = int(np.abs(k - wave).argmin())
            record.add("T", transfer[i], field="density", k=wave, **about)
            record.add("one_minus_r2", abs(one_minus_r2[i]), field="density", k=wave, **about)
        bar(
            record,
            "one_minus_r2_to_k",
            float(one_minus_r2[k <= 0.5].max()),
            1e-3,
            field="density",
            k=0.5,
            **about,
        )
        bar(record, "command_peak_memory", made["peak_gb"], 2.0, "GB", **about)
        record.add("command_wall", made["wall"], "s", **about)
        record.add("command_cpu", made["cpu"], "s", **about)
        whole_about = {"engine": "cola", "n": n, "box": box, "z": 0, "field": "whole"}
        record.add("command_peak_memory", against["peak_gb"], "GB", **whole_about)
        record.add("command_wall", against["wall"], "s", **whole_about)
        record.add("command_cpu", against["cpu"], "s", **whole_about)
        print(f"{made['wall']:.1f} s in pieces, {against['wall']:.1f} s whole")


def cluster(n: int, record: Record) -> None:
    side, buffer = divided(n)
    heading(f"{n}^3 in pieces of {side}^3 on a cluster of four workers: costs of each particle")
    arguments = ["volume", "4", *map(str, (n, side, buffer, min(16, n // 4)))]
    child = spawn(
        ["env", "NUMBA_NUM_THREADS=1", sys.executable, "-m", "benchmarks.cluster_child"] + arguments
    )
    if child["status"]:
        print(f"failed: {child['text'].strip()[-500:]}")
        return
    costs = json.loads(child["text"].strip().splitlines()[-1])
    rows = []
    for stage, cost in costs.items():
        about = {"engine": "cola in pieces", "n": n, "box": 1.953125 * n, "field": stage, "ics": "workers=4"}
        per = {key: cost[key] / n**3 for key in ("cpu", "read", "written", "sent", "disk")}
        record.add("cpu_per_particle", per["cpu"] * 1e6, "us", **about)
        record.add("read_per_particle", per["read"], "bytes", **about)
        record.add("written_per_particle", per["written"], "bytes", **about)
        record.add("sent_per_particle", per["sent"], "bytes", **about)
        record.add("disk_per_particle", per["disk"], "bytes", **about)
        record.add("worker_peak_memory", cost["peak_gb"], "GB", **about)
        record.add("wall", cost["wall"], "s", **about)
        numbers = [per["cpu"] * 1e6, per["read"], per["written"], per["sent"], per["disk"], cost["peak_gb"]]
        rows.append([stage, *(f"{x:.3g}" for x in numbers), f"{cost['wall']:.1f}"])
    table(["stage", "core us", "B read", "B written", "B sent", "B on disk", "GB a worker", "wall s"], rows)
