"""Fields that are too large for memory: slabs of them in files, and a journal that says which files count.

A slab is written under a new name, then the journal counts it, then the old file goes. So whenever the process is killed,
the journal speaks of whole files, and the run goes on from it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import DamagedFileError, ZeldoError
from zeldo.files.atomic import FULL

JOURNAL = "journal.json"


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
        self._version = 0
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
                numbers.tofile(self._path(label))
            self._note(state)
        except OSError as error:
            self._files = before
            if error.errno in FULL or "requested and" in str(error):  # NumPy's words for a short write
                raise ZeldoError(
                    f"no space left in {self.folder}: free some, then the same command resumes"
                ) from error
            raise ZeldoError(f"{self.folder} could not be written ({error}): check the disk") from error
        for label, old in before.items():
            if self._files.get(label) != old:
                self._path(label, old[0]).unlink(missing_ok=True)

    def get(self, name: str, slab: int) -> np.ndarray:
        """A slab as float32; complex numbers are pairs of its last axis."""
        label = f"{name}-{slab}"
        try:
            return np.fromfile(self._path(label), np.float32).reshape(self._files[label][2])
        except (OSError, KeyError, ValueError) as error:
            raise DamagedFileError(
                f"{name} in {self.folder} cannot be read ({error}): run its command again"
            ) from error

    def mapped(self, name: str, slab: int) -> np.ndarray:
        """A slab as a read-only map of its file, whose pages are in memory only as far as they are used."""
        label = f"{name}-{slab}"
        try:
            shape = tuple(self._files[label][2])
            return np.memmap(self._path(label), np.float32, "r", shape=shape)
        except (OSError, KeyError, ValueError) as error:
            raise DamagedFileError(
                f"{name} in {self.folder} cannot be read ({error}): run its command again"
            ) from error

    def shape(self, name: str, slab: int) -> list[int]:
        """The shape of a slab, as float32."""
        return self._files[f"{name}-{slab}"][2]

    def drop(self, *labels: str, **state: Any) -> None:
        """Remove all slabs of some fields, or a single one by "field-slab", and note how far the run is."""
        going = {
            label: values
            for label, values in self._files.items()
            if label in labels or label.rpartition("-")[0] in labels
        }
        self._files = {label: values for label, values in self._files.items() if label not in going}
        self._note(state)
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
        self._files, self.state = {}, {}

    def _note(self, state: Mapping[str, Any]) -> None:
        self.state = {**self.state, **state}
        text = json.dumps({"key": self.key, "state": self.state, "files": self._files})
        partial = self.folder / f"{JOURNAL}.part"
        partial.write_text(text)  # no sync: it would wait for all slabs on the way to the disk
        os.replace(partial, self.folder / JOURNAL)

    def _resume(self) -> bool:
        """Whether the folder holds whole slabs of this run, which are then taken over."""
        try:
            journal = json.loads((self.folder / JOURNAL).read_text())
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
        counted = {self._path(label).name for label in self._files} | {JOURNAL}
        for path in self.folder.iterdir():
            if path.name not in counted:
                path.unlink()
        return True

    def _path(self, label: str, version: int | None = None) -> Path:
        return self.folder / f"{label}.{self._files[label][0] if version is None else version}"


def _checksum(numbers: np.ndarray) -> int:
    """The sum of the bits of float32 numbers, by words of 64: at the speed of memory."""
    flat = numbers.reshape(-1).view(np.uint32)
    even = flat.size // 2 * 2
    return (int(flat[:even].view(np.uint64).sum(dtype=np.uint64)) + int(flat[even:].sum())) % 2**64
