"""Fields that are too large for memory: slabs of them in files, and a journal that says which files count.

A slab is written under a new name, then the journal counts it. So whenever the process is killed, the journal speaks of
whole files, and the run goes on from it. The file that was counted before is written over by the next slab of that size:
pages that the system holds take a quarter of the time of new ones. The journal is two files, written in turn, so that one
of them is whole. Some file systems wait for the disk where a file is replaced by renaming.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import DamagedFileError
from zeldo.files.atomic import not_written

POPULATE_READ = 22  # of Linux's madvise(2): read all pages now
JOURNALS = ("journal.0", "journal.1")


class SlabStore:
    """Slabs of one run in a folder.

    Parameters
    ----------
    folder : Path
        Made where absent. What another run left in it, or what is damaged, is removed.
    key : str
        Tells one run from all others.

    Attributes
    ----------
    state : dict
        How far the run is, as it was put last; empty at the beginning.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.state: dict[str, Any] = {}
        self._files: dict[str, tuple[int, int, list[int]]] = {}  # by slab: version, checksum, shape
        self._version, self._notes = 0, 0
        self._spare: dict[int, list[Path]] = {}  # by size in bytes: files that the journal counts no more
        if folder.exists() and not self._resume():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, fields: Mapping[str, np.ndarray], slab: int, /, **state: Any) -> None:
        """Write one slab of some fields, float32 or complex64, and note how far the run is.

        Raises
        ------
        ZeldoError
            For a full disk. The run goes on from the last slab.
        """
        self._version += 1
        before = dict(self._files)
        try:
            for name, values in fields.items():
                numbers = np.ascontiguousarray(values).view(np.float32)
                label = f"{name}-{slab}"
                self._files[label] = (self._version, _checksum(numbers), list(numbers.shape))
                self._write(self._path(label), numbers)
            self._note(state)
        except OSError as error:
            self._files = before
            raise not_written(error, self.folder) from error
        for label, old in before.items():
            if self._files.get(label) != old:
                self._spare.setdefault(4 * math.prod(old[2]), []).append(self._path(label, old[0]))

    def _write(self, path: Path, numbers: np.ndarray) -> None:
        spare = self._spare.get(numbers.nbytes)
        if spare:
            os.replace(spare.pop(), path)
        with open(path, "r+b" if spare is not None and path.exists() else "wb", buffering=0) as file:
            numbers.tofile(file)

    def get(self, name: str, slab: int, out: np.ndarray | None = None) -> np.ndarray:
        """A slab as float32, in `out` where that is given; complex numbers are pairs of its last axis."""
        with self._readable(name):
            path = self._path(f"{name}-{slab}")
            if out is None:
                return np.fromfile(path, np.float32).reshape(self.shape(name, slab))
            with open(path, "rb", buffering=0) as file:
                _fill(file, out)
        return out

    def shared(self, name: str, slab: int, out: np.ndarray) -> np.ndarray:
        """A slab that is only read, while nobody writes it: in the system's own pages, without a copy, or else in `out`."""
        if sys.platform != "linux":  # elsewhere a file that is in use may not be removed
            return self.get(name, slab, out)
        with self._readable(name):
            with open(self._path(f"{name}-{slab}"), "rb") as file:
                pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            with suppress(OSError):  # older kernels read a page when it is used
                pages.madvise(POPULATE_READ)
            return np.frombuffer(pages, np.float32).reshape(self.shape(name, slab))

    def mapped(self, name: str, slab: int) -> np.ndarray:
        """A slab as a read-only map of its file, whose pages are in memory only as far as they are used."""
        with self._readable(name):
            return np.memmap(
                self._path(f"{name}-{slab}"), np.float32, "r", shape=tuple(self.shape(name, slab))
            )

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        """`DamagedFileError` where a slab is not there, or its file is gone or too short."""
        try:
            yield
        except (OSError, KeyError, ValueError) as error:
            raise DamagedFileError(
                f"{name} in {self.folder} cannot be read ({error}): run its command again"
            ) from error

    def shape(self, name: str, slab: int) -> list[int]:
        """The shape of a slab, as float32."""
        return self._files[f"{name}-{slab}"][2]

    def drop(self, *labels: str, **state: Any) -> None:
        """Remove all slabs of some fields, or a single one by "field-slab", and note how far the run is.

        Raises
        ------
        ZeldoError
            As `put` does.
        """
        going = {
            label: values
            for label, values in self._files.items()
            if label in labels or label.rpartition("-")[0] in labels
        }
        self._files = {label: values for label, values in self._files.items() if label not in going}
        try:
            self._note(state)
        except OSError as error:
            raise not_written(error, self.folder) from error
        for label, values in going.items():
            self._path(label, values[0]).unlink(missing_ok=True)

    def slabs(self, name: str) -> int:
        """How many slabs of a field there are."""
        return sum(label.rpartition("-")[0] == name for label in self._files)

    def has(self, name: str, slab: int) -> bool:
        """Whether a slab is there."""
        return f"{name}-{slab}" in self._files

    def clear(self) -> None:
        """Remove everything, as if the run had not begun."""
        shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self._files, self.state, self._spare = {}, {}, {}

    def _note(self, state: Mapping[str, Any]) -> None:
        self.state = {**self.state, **state}
        text = json.dumps({"key": self.key, "state": self.state, "files": self._files}).encode()
        path = self.folder / JOURNALS[self._notes % 2]
        # no sync: it would wait for all slabs on the way to the disk
        with open(path, "r+b" if path.exists() else "wb") as file:
            file.write(b"%d %d %d\n" % (self._notes, len(text), zlib.crc32(text)) + text)
        self._notes += 1

    def _resume(self) -> bool:
        """Whether the folder holds whole slabs of this run, which are then taken over."""
        try:
            noted = [note for path in JOURNALS if (note := _note_in(self.folder / path)) is not None]
            number, text = max(noted)
            journal, self._notes = json.loads(text), number + 1
            if journal["key"] != self.key:
                return False
            self._files = {label: tuple(values) for label, values in journal["files"].items()}
            for label, (version, checksum, _) in self._files.items():
                if _checksum(np.fromfile(self._path(label), np.float32)) != checksum:
                    raise ValueError(label)
                self._version = max(self._version, version)
        except (OSError, ValueError, KeyError, TypeError):
            self._files = {}
            return False
        self.state = journal["state"]
        counted = {self._path(label).name for label in self._files} | {*JOURNALS}
        for path in self.folder.iterdir():
            if path.name not in counted:
                path.unlink()
        return True

    def _path(self, label: str, version: int | None = None) -> Path:
        return self.folder / f"{label}.{self._files[label][0] if version is None else version}"


def _note_in(path: Path) -> tuple[int, bytes] | None:
    """The number and the text of the note that a file begins with, where it is whole."""
    try:
        line, _, rest = path.read_bytes().partition(b"\n")
        number, length, crc = map(int, line.split())
    except (OSError, ValueError):
        return None
    text = rest[:length]
    return (number, text) if len(text) == length and zlib.crc32(text) == crc else None


def _fill(file: io.RawIOBase, out: np.ndarray) -> None:
    """Read an array. One call of the system gives 2 GB at most."""
    left = out.data.cast("B")
    while left:
        read = file.readinto(left)
        if not read:
            raise ValueError("it is too short")
        left = left[read:]


def _checksum(numbers: np.ndarray) -> int:
    """The sum of the bits of float32 numbers, by words of 64: at the speed of memory."""
    flat = numbers.reshape(-1).view(np.uint32)
    even = flat.size // 2 * 2
    return (int(flat[:even].view(np.uint64).sum(dtype=np.uint64)) + int(flat[even:].sum())) % 2**64
