"""Snapshots of a universe on disk, whose planes are read when they are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zeldo.files.saved import SavedSnapshot, written_again
from zeldo.files.universe_zarr import UniverseZarr


class StoredSnapshot(SavedSnapshot):
    """A snapshot whose `psi` and `vel` are read from a universe on disk when they are asked for."""

    _header: dict[str, Any]

    @property
    def universe(self) -> UniverseZarr:
        """Where its fields are. `InputError` where a universe of other arguments is there by now."""
        universe = UniverseZarr(self.path)
        if universe.header != self._header:
            raise written_again(self.path)
        return universe

    @property
    def psi(self) -> np.ndarray:
        """(3, n, n, n) float32, Mpc/h, from the disk."""
        return self.universe.whole(self.redshift, "psi")

    @property
    def vel(self) -> np.ndarray | None:
        """(3, n, n, n) float32, km/s, from the disk; None where it has none."""
        return self.universe.whole(self.redshift, "vel") if self.has_velocities else None

    @property
    def has_velocities(self) -> bool:
        return self.universe.has(self.redshift, "vel")

    def planes(self, field: str, first: int = 0, end: int | None = None) -> np.ndarray:
        return self.universe.planes(self.redshift, field, first, self.n if end is None else end)

    def slabs(self, field: str = "psi") -> Iterator[tuple[int, np.ndarray]]:
        return self.universe.slabs(self.redshift, field)

    def __reduce__(self) -> tuple[Any, ...]:
        return stored, (self.universe, self.redshift)


def stored(universe: UniverseZarr, redshift: float) -> StoredSnapshot:
    """The snapshot of a universe at one of its redshifts, without its fields in memory."""
    snapshot: StoredSnapshot = object.__new__(StoredSnapshot)
    own = {"path": universe.path.absolute(), "_header": universe.header, "_n": universe.n, "_alive": {}}
    vars(snapshot).update(universe.about(redshift), **own)
    return snapshot
