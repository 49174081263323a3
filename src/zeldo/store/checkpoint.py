"""Where a long run stands, on disk: a killed run goes on from here to the same bits."""

from __future__ import annotations

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
class Checkpoint:
    """A file with two fields at the end of a step, and a file beside it for each snapshot made so far.

    Parameters
    ----------
    path
        Ends in .npz.
    key
        Tells one run from all others.
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
    keeps_outputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        if self.path.suffix != ".npz":
            raise InputError(f"checkpoint {self.path} is not allowed: give a name that ends in .npz")
        check_writable(self.path)
        self._written = monotonic()

    def load(self) -> tuple[int, np.ndarray, np.ndarray] | None:
        """Steps done and the two fields; None where there is no file.

        Raises `InputError` where the file belongs to another run, `DamagedFileError` where it is not whole.
        """
        return self._read(self.path) if self.path.exists() else None

    def due(self) -> bool:
        """Whether it is time to write."""
        return monotonic() - self._written >= 60 * self.minutes

    def save(self, done: int, psi: np.ndarray, v: np.ndarray) -> None:
        """Writes the two fields after so many steps."""
        self._write(self.path, done, psi, v)
        self._written = monotonic()

    def save_output(self, number: int, psi: np.ndarray, vel: np.ndarray) -> None:
        self._write(self._output(number), number, psi, vel)

    def load_output(self, number: int) -> Pair:
        """A snapshot made before the run was killed."""
        _, psi, vel = self._read(self._output(number))
        return psi, vel

    def remove(self, outputs: int) -> None:
        """Removes all files, of so many outputs: the run is done."""
        for path in [self.path, *map(self._output, range(outputs))]:
            with suppress(FileNotFoundError):
                path.unlink()

    def _output(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.output{number}.npz")

    def _write(self, path: Path, number: int, first: np.ndarray, second: np.ndarray) -> None:
        with writing(path, first.nbytes + second.nbytes) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, key=np.array(self.key), number=number, first=first, second=second)

    def _read(self, path: Path) -> tuple[int, np.ndarray, np.ndarray]:
        if path.exists() and "key" not in names_in(path):
            raise InputError(f"{path} is not a checkpoint: give another name")
        values = read_arrays(path, ["key", "number", "first", "second"])
        if str(values["key"]) != self.key:
            raise InputError(
                f"checkpoint {path} belongs to a run with another version, engine revision, options or initial conditions: "
                "remove it or give another name"
            )
        first, second = values["first"], values["second"]
        if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise DamagedFileError(f"checkpoint {path} is damaged: remove it to start afresh")
        return int(values["number"]), first, second
