"""Where long work stands, on disk: killed work goes on from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import ClassVar

import numpy as np

from zeldo.errors import DamagedFileError, InputError
from zeldo.files.archive import names_in, read_arrays
from zeldo.files.atomic import check_writable, writing

Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class CheckpointFile:
    """An .npz file that one piece of work writes now and then, and reads when it is begun again.

    Parameters
    ----------
    path
        Ends in .npz.
    key
        Tells one piece of work from all others.
    minutes
        The time between two writes.

    Raises
    ------
    InputError
        Where the path cannot be written.
    """

    path: Path
    key: str
    minutes: float
    others: ClassVar[str]  # what a file with another key belongs to

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        if self.path.suffix != ".npz":
            raise InputError(f"checkpoint {self.path} is not allowed: give a name that ends in .npz")
        check_writable(self.path)
        self._written = monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return monotonic() - self._written >= 60 * self.minutes

    def _write(self, path: Path, values: Mapping[str, np.ndarray]) -> None:
        size = sum(value.nbytes for value in values.values())
        with writing(path, size) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, key=np.array(self.key), **values)  # type: ignore[arg-type]
        if path == self.path:  # what is kept beside it says nothing of where the work stands
            self._written = monotonic()

    def _read(self, path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The named arrays, or all.

        Raises `InputError` where the file belongs to other work, `DamagedFileError` where it is not whole.
        """
        present = names_in(path)
        if "key" not in present:
            raise InputError(f"{path} is not a checkpoint: give another name")
        values = read_arrays(path, present if names is None else ["key", *names])
        if str(values.pop("key")) != self.key:
            raise InputError(f"checkpoint {path} belongs to {self.others}: remove it or give another name")
        return values


class Checkpoint(CheckpointFile):
    """Two fields at the end of a step, and a file beside them for each snapshot made so far.

    A killed run goes on from here to the same bits.
    """

    others = "a run with another version, engine revision, options or initial conditions"
    keeps_outputs: ClassVar[bool] = True

    def load(self) -> tuple[int, np.ndarray, np.ndarray] | None:
        """Steps done and the two fields; None where there is no file.

        Raises `InputError` where the file belongs to another run, `DamagedFileError` where it is not whole.
        """
        return self._load(self.path) if self.path.exists() else None

    def save(self, done: int, psi: np.ndarray, v: np.ndarray) -> None:
        """Write the two fields after so many steps."""
        self._save(self.path, done, psi, v)

    def save_output(self, number: int, psi: np.ndarray, vel: np.ndarray) -> None:
        """Write a snapshot."""
        self._save(self._output(number), number, psi, vel)

    def load_output(self, number: int) -> Pair:
        """A snapshot made before the run was killed."""
        _, psi, vel = self._load(self._output(number))
        return psi, vel

    def remove(self, outputs: int) -> None:
        """Remove all files, of so many outputs: the run is done."""
        for path in [self.path, *map(self._output, range(outputs))]:
            with suppress(FileNotFoundError):
                path.unlink()

    def _output(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.output{number}.npz")

    def _save(self, path: Path, number: int, first: np.ndarray, second: np.ndarray) -> None:
        self._write(path, {"number": np.array(number), "first": first, "second": second})

    def _load(self, path: Path) -> tuple[int, np.ndarray, np.ndarray]:
        values = self._read(path, ["number", "first", "second"])
        first, second = values["first"], values["second"]
        if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise DamagedFileError(f"checkpoint {path} is damaged: remove it to start afresh")
        return int(values["number"]), first, second
