"""The force of particles on disk: the potential of their slabs, and the planes of it that are read at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np

from zeldo.engines.table import Row
from zeldo.mesh.held_force import Reach, Ring
from zeldo.mesh.numba_gravity import NumbaGravity
from zeldo.particles.tiles import slabs
from zeldo.store.slabs import SlabStore

ASIDE = "aside."  # a state off the main path


class ForceOnDisk:
    """The potential of one state at a time, in the mesh.

    Parameters
    ----------
    store : SlabStore
        With the displacements, and the potential where `written`.
    mesh : NumbaGravity
    pieces : sequence of (int, int)
        The first plane and the end of each slab.
    written : bool
        Whether the potential of the main path goes to the disk, since its slabs are replaced while it is used.
    disk : Executor
        What reads slabs ahead.
    """

    def __init__(
        self,
        store: SlabStore,
        mesh: NumbaGravity,
        pieces: Sequence[tuple[int, int]],
        *,
        written: bool,
        disk: Executor,
    ) -> None:
        self.store, self.mesh, self.pieces, self.written, self.disk = store, mesh, pieces, written, disk
        self._in_mesh: tuple[str, int] | None = None  # whose potential the mesh holds
        self._room: np.ndarray | None = None

    def forget(self) -> None:
        """The state whose potential the mesh holds is gone."""
        self._in_mesh = None

    def ring(self, state: str, i: int, row: Row, begin: int) -> Ring | None:
        """The force of a state at the end of a row, for the slabs from one on; None where the row has none."""
        if not row.forced:
            return None
        self._solve(state, i, row)
        reaches: list[Reach] = [
            tuple(self.store.state[f"{state}reach{slab}"]) for slab in range(begin, len(self.pieces))
        ]  # type: ignore[misc]
        return Ring(self.mesh, self.mesh.field, row.offset, reaches)

    def _solve(self, state: str, i: int, row: Row) -> None:
        """The potential of a state at the end of a row, in the mesh, and on disk where slabs are replaced."""
        if self._in_mesh == (state, i):
            return
        planes = list(slabs(self.mesh.m, max(1, self.mesh.m // len(self.pieces))))
        written = self.written and state != ASIDE
        if written and self.store.state["solved"] == i:
            for number, (first, end) in enumerate(planes):
                self.mesh.field[first:end] = self.store.get("potential", number)
        else:
            # from the last to the first, so that what was written last is still in the system's cache
            self.mesh.solve_slabs(self._painted(state), row.offset, row.sharpening)
            if written:
                for number, (first, end) in enumerate(planes):
                    self.store.put({"potential": self.mesh.field[first:end]}, number)
                self.store.put({}, 0, solved=i)
        self._in_mesh = (state, i)

    def _painted(self, state: str) -> Iterator[tuple[int, np.ndarray]]:
        name = f"{state}psi"
        rooms = [np.empty(self.store.shape(name, 0), np.float32) for _ in range(2)]  # read, and painted
        following = self.disk.submit(self.store.shared, name, len(self.pieces) - 1, rooms[0])
        for slab in range(len(self.pieces) - 1, -1, -1):
            psi = following.result()
            rooms.reverse()
            if slab:
                following = self.disk.submit(self.store.shared, name, slab - 1, rooms[0])
            yield self.pieces[slab][0], psi

    def force(self, ring: Ring, psi: np.ndarray, slab: int) -> np.ndarray:
        """F at the particles of a slab, which that of the next slab overwrites."""
        piece = self.pieces[slab]
        if self._room is None:
            self._room = np.empty_like(psi)
        return ring.force(psi, piece, self._room, held=piece[0])
