"""Reading 256^3 particles against h5py's and NumPy's own time, and a set of 2048 files against a bound of memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

import zeldo
from benchmarks.bench_cost import spawn
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record

COSMOLOGY = zeldo.Cosmology.preset("quijote")
TWICE = 2.0  # times the library's own time
MOST = 1.0  # GB
# opens a set and reads all positions slice by slice
CHILD = """
import sys, zeldo
with zeldo.open_particles(sys.argv[1]) as particles:
    assert len(particles) == int(sys.argv[2])
    for start, stop in particles.slices():
        particles.read("positions", start, stop)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "files")
    parsed = parser.parse_args(arguments)
    n, files, repeats = (32, 16, 1) if parsed.quick else (256, 2048, 3)
    record = start("Files: time of reading, memory of a set", "files")
    with tempfile.TemporaryDirectory() as folder:
        _reading(Path(folder), n, repeats, record)
    with tempfile.TemporaryDirectory() as folder:
        _set(Path(folder), n, files, record)
    save(record, parsed)


def _snapshot(n: int) -> zeldo.Snapshot:
    psi = np.random.default_rng(1).normal(0, 3, (3, n, n, n)).astype(np.float32)
    return zeldo.Snapshot(psi, 100 * psi, 2.0 * n, COSMOLOGY, 0.0, "noise")


def _best(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def _h5py(path: Path) -> object:
    with h5py.File(path) as file:
        return [data[:] for data in file["PartType1"].values()]


def _numpy(path: Path) -> object:
    with np.load(path) as file:
        return file["pos"], file["vel"]


def _reading(folder: Path, n: int, repeats: int, record: Record) -> None:
    heading(f"Reading {n}^3 particles, in seconds, from the page cache")
    snapshot, rows = _snapshot(n), []
    for suffix, library in ((".hdf5", _h5py), (".npz", _numpy)):
        path = zeldo.write(snapshot, folder / f"out{suffix}")
        _best(lambda path=path: zeldo.read(path), 1)
        theirs = _best(lambda path=path, library=library: library(path), repeats)
        ours = _best(lambda path=path: zeldo.read(path), repeats)
        rows.append([suffix, library.__name__.strip("_"), f"{theirs:.2f}", f"{ours:.2f}"])
        record.add("read_library", theirs, "s", n=n, field=suffix)
        record.add("read_snapshot", ours, "s", n=n, field=suffix)
        bar(record, "read_over_library", ours / theirs, TWICE, n=n, field=suffix)
    table(["file", "by", "library", "zeldo.read"], rows)


def _set(folder: Path, n: int, files: int, record: Record) -> None:
    heading(f"A set of {files} files of {n}^3 particles: open and read slice by slice in a fresh process")
    snapshot = _snapshot(n)
    for name in ("gadget-hdf5", "gadget-binary"):
        path = folder / f"{name}.hdf5"
        zeldo.write(snapshot, path, name, files=files)
        child = spawn([sys.executable, "-c", CHILD, str(path), str(n**3)])
        if child["status"]:
            print(json.dumps(child))
            return
        about = {"n": n, "field": f"{files} files of {name}"}
        record.add("set_wall", child["wall"], "s", **about)
        bar(record, "set_peak_memory", child["peak_gb"], MOST, "GB", **about)


if __name__ == "__main__":
    main()
