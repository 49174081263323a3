"""Reading 256^3 particles against the time of h5py, NumPy and zarr, a set of 2048 files against a bound of memory, damage.

The libraries read what zeldo reads of the same file, positions, velocities and ids, into plain arrays; npz has no ids.
zeldo compares checksums besides, finds the lattice and makes displacements of the positions.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np

import zeldo
from benchmarks.bench_cost import spawn
from benchmarks.output import bar, heading, keep_other_parts, options, save, start, table
from benchmarks.record import Record

COSMOLOGY = zeldo.Cosmology.preset("quijote")
TWICE = 2.0  # times the library's own time
MOST = 1.0  # GB
PARTS = ("reading", "set", "damage")
DAMAGED = 10_000  # files
TESTS = Path(__file__).parents[1] / "tests"
# opens a set and reads all positions slice by slice
CHILD = """
import sys, zeldo
with zeldo.open_particles(sys.argv[1]) as particles:
    assert len(particles) == int(sys.argv[2])
    for start, stop in particles.slices():
        particles.read("positions", start, stop)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "files", PARTS).parse_args(arguments)
    n, files, repeats, damaged = (32, 16, 1, 130) if parsed.quick else (256, 2048, 5, DAMAGED)
    record = start("Files: time of reading, memory of a set, damage", "files")
    keep_other_parts(record, parsed, PARTS)
    with tempfile.TemporaryDirectory() as folder:
        if "reading" in parsed.parts:
            _reading(Path(folder), n, repeats, record)
    with tempfile.TemporaryDirectory() as folder:
        if "set" in parsed.parts:
            _set(Path(folder), n, files, record)
    if "damage" in parsed.parts:
        _damage(damaged, record)
    save(record, parsed)


def _snapshot(n: int) -> zeldo.Snapshot:
    options = {"box": 2.0 * n, "n": n, "seed": 1, "power": "eisenstein-hu"}
    return zeldo.run(cosmology=COSMOLOGY, engine="zeldovich", redshift=0, **options)[0]


def _seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _h5py(path: Path) -> object:
    with h5py.File(path) as file:
        return [data[:] for data in file["PartType1"].values()]


def _numpy(path: Path) -> object:
    with np.load(path) as file:
        return file["pos"], file["vel"]


def _fromfile(path: Path) -> object:
    """Positions, velocities and ids of format 1 in single precision, behind their header."""
    with open(path, "rb") as stream:
        stream.seek(8 + 256)
        arrays = []
        for dtype in (np.float32, np.float32, np.uint32):
            length = int(np.fromfile(stream, np.uint32, 1)[0])
            arrays.append(np.fromfile(stream, dtype, length // 4))
            stream.seek(4, 1)
        return arrays


def _blocks(path: Path) -> object:
    types = {"Position": np.float64, "Velocity": np.float32, "ID": np.uint64}
    return [np.fromfile(path / "1" / name / "000000", dtype) for name, dtype in types.items()]


def _zarr(path: Path) -> object:
    import zarr

    group = zarr.open_group(path, mode="r")
    return [group[name][:] for name in ("positions", "velocities", "ids")]


LIBRARIES = {
    ".hdf5": ("h5py", _h5py),
    ".npz": ("numpy", _numpy),
    ".gadget": ("numpy", _fromfile),
    ".bigfile": ("numpy", _blocks),
    ".zarr": ("zarr", _zarr),
}


def _reading(folder: Path, n: int, repeats: int, record: Record) -> None:
    heading(f"Reading {n}^3 particles, in seconds, from the page cache")
    snapshot, rows = _snapshot(n), []
    for suffix, (name, library) in LIBRARIES.items():
        path = zeldo.write(snapshot, folder / f"out{suffix}")
        ours = partial(zeldo.read, path, COSMOLOGY)
        ours()  # compiled, and in the page cache
        pairs = [(_seconds(partial(library, path)), _seconds(ours)) for _ in range(repeats)]
        theirs, own = (min(times) for times in zip(*pairs, strict=True))
        rows.append([suffix, name, f"{theirs:.2f}", f"{own:.2f}"])
        record.add("read_library", theirs, "s", n=n, field=suffix)
        record.add("read_snapshot", own, "s", n=n, field=suffix)
        bar(record, "read_over_library", own / theirs, TWICE, n=n, field=suffix)
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


def _damage(total: int, record: Record) -> None:
    heading(f"{total} damaged files: one line and exit status 2, or read as they were")
    sys.path.insert(0, str(TESTS))
    mutations = importlib.import_module("mutations")
    rows, bad = [], []
    for name, (_, _, guarded) in mutations.FORMATS.items():
        counts, faults = mutations.survey(name, -(-total // len(mutations.FORMATS)))
        kinds = ("refused", "as it was", "another universe")
        for kind in kinds:
            # where no checksum guards the numbers, a changed one is another number
            limit = 0 if kind == "another universe" and guarded else None
            record.add(f"damaged_{kind.replace(' ', '_')}", counts[kind], field=name, limit=limit)
        bar(
            record,
            "damaged_crash_hang_or_memory",
            counts.total() - sum(counts[k] for k in kinds),
            0,
            field=name,
        )
        rows.append([name, *(str(counts[kind]) for kind in kinds), str(len(faults))])
        bad += faults
    table(["format", *kinds, "faults"], rows)
    print("\n".join(bad))


if __name__ == "__main__":
    main()
