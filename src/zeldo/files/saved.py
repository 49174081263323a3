"""Snapshots that stay in their files until their fields are used."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import InputError
from zeldo.files import open_particles
from zeldo.particles import lattice
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot


class SavedSnapshot(Snapshot):
    """A snapshot whose `psi` and `vel` are read from its file when they are asked for.

    They are in memory only while they are in use. A copy that `dataclasses.replace` makes is a plain
    `Snapshot`. Where the file is gone or damaged by then, `zeldo.read`'s errors are raised, and `InputError` where it
    was written again, since another universe may be in it.
    """

    path: Path
    _n: int
    _moving: bool
    _identity: tuple[int, ...] | None
    _alive: dict[str, weakref.ref[np.ndarray]]

    def __new__(cls, *values: Any, **fields: Any) -> Any:
        return Snapshot(*values, **fields)  # for `dataclasses.replace`; `saved` makes those of this class

    def _field(
        self, name: str, read: Callable[[Particles, lattice.Lattice], np.ndarray | None]
    ) -> np.ndarray | None:
        alive = self._alive.get(name)
        values = alive() if alive is not None else None
        if values is None:
            if self.path.exists():  # what is gone is for `open_particles` to say
                self._check_identity()
            with open_particles(self.path, self.cosmology) as particles:
                values = read(particles, lattice.find(particles))
            self._check_identity()  # it may have been replaced meanwhile
            if values is not None:
                self._alive[name] = weakref.ref(values)
        return values

    def _check_identity(self) -> None:
        if _identity(self.path) != self._identity:
            raise written_again(self.path)

    @property
    def psi(self) -> np.ndarray:  # type: ignore[override]
        """(3, n, n, n) float32, Mpc/h, from the file."""
        psi = self._field("psi", lambda particles, place: lattice.displacement(particles, place)[0])
        assert psi is not None
        return psi

    @property
    def vel(self) -> np.ndarray | None:  # type: ignore[override]
        """(3, n, n, n) float32, km/s, from the file; None where it has none."""
        return self._field("vel", lattice.velocity) if self._moving else None

    @property
    def has_velocities(self) -> bool:
        return self._moving

    @property
    def n(self) -> int:
        return self._n

    def __repr__(self) -> str:
        return f"SavedSnapshot({str(self.path)!r}, n={self.n}, box={self.box:g}, redshift={self.redshift:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, ({name: value for name, value in vars(self).items() if name != "_alive"},)


def saved(snapshot: Snapshot, path: str | os.PathLike) -> SavedSnapshot:
    """The snapshot that was written to a path, without its fields in memory."""
    kept = {name: value for name, value in vars(snapshot).items() if name not in ("psi", "vel")}
    path = Path(path).absolute()
    kept |= {
        "path": path,
        "_n": snapshot.n,
        "_moving": snapshot.vel is not None,
        "_identity": _identity(path),
    }
    return _restore(kept)


def written_again(path: Path) -> InputError:
    """The error where a file holds another run by now."""
    return InputError(
        f"{path} was written again since this run: read it with zeldo.read, or give each run an output of its own"
    )


def _identity(path: Path) -> tuple[int, ...] | None:
    """What tells a file, or a directory, from a later one of its name; None where there is none.

    Both are made under another name and then renamed, so that the number of the inode changes. The device is left out:
    other machines that share the disk know it by another number.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _restore(attributes: dict[str, Any]) -> SavedSnapshot:
    snapshot: SavedSnapshot = object.__new__(SavedSnapshot)
    vars(snapshot).update(attributes, _alive={})
    return snapshot
