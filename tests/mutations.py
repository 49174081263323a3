"""Damaged files by the thousand: every format, mutated at random, must be refused in one line or read as it was.

    python -m benchmarks.bench_files --parts damage

runs 10,000 of them in worker processes, so that crashes, hangs and memory are seen too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import InputError
from zeldo.files import open_particles, read, write
from zeldo.particles.lattice import particles_of
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot

N, BOX = 8, 40.0
# what is written, and whether a checksum guards all of it
FORMATS = {
    "npz": (".npz", {}, True),
    "gadget-hdf5": (".hdf5", {}, True),
    "swift": (".hdf5", {}, True),
    "zarr": (".zarr", {}, True),
    "bigfile": (".bigfile", {}, False),
    "gadget-binary": (".gadget", {}, False),
    "gadget-binary-2": (".gadget2", {}, False),
    "gadget-hdf5 set": (".hdf5", {"files": 2}, True),
    "gadget-binary set": (".gadget", {"files": 2}, False),
    "foreign hdf5": (".hdf5", {}, False),
    "grafic": ("", {}, False),
    "l-picola": ("", {}, False),
    "npy": (".npy", {}, False),
}
KINDS = (
    *("truncate", "flip", "byte", "word", "zero", "copy", "insert", "remove", "extend", "double"),
    *("nan", "repeat", "scale"),  # of single numbers: not finite, the same id twice, another unit
)
SECONDS = 20  # of work
WAITING = 6  # times as many by the clock, on a busy machine
ROOM = 64 * 2**20  # bytes for Python itself, beside twice the file
OPTIONS = {"npy": {"box": BOX, "redshift": 1.0}, "l-picola": {"box": BOX, "redshift": 1.0}}


def universe() -> Snapshot:
    q = 2 * np.pi * np.indices((N, N, N)) / N
    psi = np.stack([np.sin(q[i] + q[(i + 1) % 3] + i) for i in range(3)])
    return Snapshot(psi, 80 * psi, BOX, PRESETS["quijote"], 1.0, "cola", seed=3, settings={"steps": 10})


def original(name: str, directory: Path) -> Path:
    """An intact file, or set, or directory, of a format."""
    suffix, options, _ = FORMATS[name]
    snapshot, path = universe(), directory / f"out{suffix}"
    if name == "foreign hdf5":
        return _foreign(snapshot, path)
    if name == "grafic":
        return _grafic(snapshot, directory / "ics")
    if name == "l-picola":
        particles = particles_of(snapshot)
        rows = np.column_stack([particles.ids, particles.positions, particles.velocities])
        np.savetxt(directory / "out.0", rows, fmt="%d" + 6 * " %.8f")
        return directory / "out.0"
    if name == "npy":
        np.save(path, snapshot.positions())
        return path
    return write(snapshot, path, name.split()[0], **options)


def _foreign(snapshot: Snapshot, path: Path) -> Path:
    """HDF5 as older codes write it: without checksums."""
    import h5py

    particles = particles_of(snapshot)
    count = np.array([0, len(particles), 0, 0, 0, 0])
    with h5py.File(path, "w") as file:
        file.create_group("Header").attrs.update(
            {
                "BoxSize": BOX,
                "MassTable": np.array([0, snapshot.particle_mass, 0, 0, 0, 0]),
                "NumPart_ThisFile": count,
                "NumPart_Total": count,
                "NumFilesPerSnapshot": 1,
                "Redshift": 1.0,
                "Time": 0.5,
                "Omega0": snapshot.cosmology.omega_m,
                "HubbleParam": snapshot.cosmology.h,
            }
        )
        for field, name in (
            ("positions", "Coordinates"),
            ("velocities", "Velocities"),
            ("ids", "ParticleIDs"),
        ):
            file[f"PartType1/{name}"] = particles.read(field)
    return path


def _grafic(snapshot: Snapshot, directory: Path) -> Path:
    directory.mkdir()
    h = snapshot.cosmology.h
    numbers = np.array(
        [BOX / N / h, 0, 0, 0, 0.5, snapshot.cosmology.omega_m, 1 - snapshot.cosmology.omega_m, 100 * h],
        "<f4",
    )
    head = np.full(3, N, "<i4").tobytes() + numbers.tobytes()
    assert snapshot.vel is not None
    for stem, field in (("posc", snapshot.psi), ("velc", snapshot.vel)):
        for axis, values in zip("xyz", field, strict=True):
            records = [head, *(np.ascontiguousarray(plane).astype("<f4").tobytes() for plane in values.T)]
            frames = [np.array(len(part), "<u4").tobytes() for part in records]
            (directory / f"ic_{stem}{axis}").write_bytes(
                b"".join(frame + part + frame for frame, part in zip(frames, records, strict=True))
            )
    return directory


def copied(path: Path, target: Path) -> Path:
    """The file, or all files of its set, in another directory."""
    if path.is_dir():
        shutil.copytree(path, target / path.name)
    else:
        for file in path.parent.glob(f"{path.name.split('.')[0]}*"):
            if file.is_file():
                shutil.copy(file, target / file.name)
    return target / path.name


def mutate(directory: Path, rng: np.random.Generator) -> str:
    """Damage one file below a directory in a random way, and say how."""
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    sizes = np.array([file.stat().st_size for file in files])
    # headers, which are small, as often as data
    chances = None if rng.random() < 0.5 else sizes / sizes.sum()
    file = files[int(rng.choice(len(files), p=chances))]
    content = bytearray(file.read_bytes())
    kind = str(rng.choice(KINDS))
    if kind == "remove" or not content:
        if len(files) > 1:
            file.unlink()
        return f"{file.name}: removed"
    early = rng.random() < 0.5  # headers stand in front
    at = int(rng.integers(min(len(content), 2048) if early else len(content)))
    length = int(rng.integers(1, 200))
    if kind == "truncate":
        content = content[:at]
    elif kind == "flip":
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == "byte":
        content[at] = int(rng.integers(256))
    elif kind == "word":
        word = rng.choice([0, 1, -1, 2**31 - 1, 2**31, 2**62, 512, 7]).astype("<i8").tobytes()
        content[at : at + 8] = word[: int(rng.choice([4, 8]))]
    elif kind == "zero":
        content[at : at + length] = bytes(len(content[at : at + length]))
    elif kind == "copy":
        other = int(rng.integers(len(content)))
        content[at : at + length] = content[other : other + length]
    elif kind == "insert":
        content[at:at] = rng.bytes(length)
    elif kind in ("nan", "repeat", "scale"):
        at -= at % 4  # numbers begin there
        dtype = rng.choice(["<f4", "<f8", ">f4", ">f8"])
        size = np.dtype(dtype).itemsize
        number = np.frombuffer(bytes(content[at : at + size]).ljust(size, b"\0"), dtype)
        with np.errstate(all="ignore"):
            new = {"nan": number * np.nan, "scale": number * rng.choice([1e3, 1e-3, 0.7]), "repeat": number}
        after = at + (size if kind == "repeat" else 0)
        content[after : after + size] = new[kind].astype(dtype).tobytes()
    elif kind == "double":
        content[at:at] = content[at : at + length]
    else:
        content += rng.bytes(length)
    file.write_bytes(content)
    return f"{file.name}: {kind} at {at}"


def contents(path: Path, name: str) -> tuple[object, ...]:
    """All that is read of a file, to compare."""
    options = OPTIONS.get(name, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_particles(path, PRESETS["quijote"], **options) as particles:
            header = particles.header
            fields = {field: particles.read(field).tobytes() for field in particles.fields}
        whole = read(path, PRESETS["quijote"], **options)
    lattice = not isinstance(whole, Particles)
    return (
        lattice,
        header.count,
        header.box,
        header.redshift,
        header.cosmology,
        header.seed,
        dict(header.settings),
        fields,
    )


def outcome(path: Path, name: str, truth: tuple[object, ...]) -> str:
    """What reading a damaged file does: "refused", "as it was", "another universe", or what must not be."""
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    tracemalloc.start()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITING * SECONDS)
    try:
        answer = "as it was" if contents(path, name) == truth else "another universe"
    except InputError as error:
        answer = "refused" if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return answer if peak < 2 * size + ROOM else f"memory: {peak / 1e6:.0f} MB for {size / 1e6:.1f} MB"


def run(name: str, seeds: range) -> dict[int, str]:
    """The outcome of each seed's mutation."""
    answers = {}
    with tempfile.TemporaryDirectory() as place:
        first = Path(place) / "original"
        first.mkdir()
        path = original(name, first)
        truth = contents(path, name)
        for seed in seeds:
            with tempfile.TemporaryDirectory() as target:
                copy = copied(path, Path(target))
                rng = np.random.default_rng([seed, sorted(FORMATS).index(name)])
                how = mutate(Path(target), rng)
                answers[seed] = f"{outcome(copy, name, truth)} | {how}"
                print(seed, answers[seed].replace("\n", " "), flush=True)
    return answers


def allowed(answer: str, name: str) -> bool:
    """Whether an outcome is one that may be."""
    what = answer.split(" | ")[0]
    guarded = FORMATS[name][2]
    return what in ("refused", "as it was") or (what == "another universe" and not guarded)


def survey(name: str, total: int) -> tuple[Counter[str], list[str]]:
    """Mutate files of a format in worker processes: how often each outcome came, and those that must not be."""
    counts: Counter[str] = Counter()
    bad = []
    start = 0
    while start < total:
        command = [sys.executable, __file__, name, str(start), str(total)]
        worker = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        for line in worker.stdout.splitlines():
            seed, _, answer = line.partition(" ")
            if not seed.isdigit():
                continue
            start = int(seed) + 1
            counts[answer.split(" | ")[0].split(":")[0]] += 1
            if not allowed(answer, name):
                bad.append(f"{name} {seed}: {answer}")
        if worker.returncode:
            counts["killed"] += 1
            bad.append(f"{name} {start}: killed with status {worker.returncode}: {worker.stderr[-300:]}")
            start += 1  # goes on behind the file that ended it
        elif start < total:
            bad.append(f"{name} {start}: the worker stopped without a word")
            break
    return counts, bad


if __name__ == "__main__":
    run(sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3])))
