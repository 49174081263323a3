"""Steps of a mesh engine whose particles are on disk: in memory are one mesh, and some planes of the lattice.

Displacements, velocities and the potentials of 2LPT lie in slabs of the lattice. A step reads each slab once to paint it,
and once to move it. The potential is kept on disk until all slabs have been moved by it. So a killed run goes on at the
slab where it was, to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from zeldo.engines.base import Progress
from zeldo.engines.table import Output, Row, Timetable
from zeldo.errors import ZeldoError
from zeldo.initial.slabs import ORDERS, PARTS, displacement_of_planes, names, write_potentials
from zeldo.mesh import numba_kernels as kernels
from zeldo.mesh.held_force import Reach, Ring, reach_of
from zeldo.mesh.numba_gravity import NumbaGravity
from zeldo.particles.tiles import slabs
from zeldo.store.slabs import SlabStore

SLABS = 32  # at least, so that a few of them are small beside the mesh
LPT_WORK = 2.0  # of a step
MAIN, ASIDE = "", "aside."  # the state that goes on, and one off the main path


@dataclass(frozen=True)
class Block:
    """Some planes of the lattice of a snapshot; the next block takes the place of its arrays.

    Parameters
    ----------
    first : int
        The first plane.
    psi, vel : ndarray
        (3, planes, n, n) float32, Mpc/h and km/s.
    force : ndarray, optional
        F at the particles, Mpc/h; None where it was not asked for, or where none was computed.
    """

    first: int
    psi: np.ndarray
    vel: np.ndarray
    force: np.ndarray | None


@dataclass(frozen=True)
class StreamedOutput:
    """A snapshot that comes in blocks of planes, in order.

    Parameters
    ----------
    redshift : float
    number : int
        Of the output, from 0.
    blocks : callable
        blocks(first, force=False) gives the blocks from one of them on, with or without the force. A block must be on
        disk when the next is asked for.
    """

    redshift: float
    number: int
    blocks: Callable[..., Iterator[Block]]


def thickness(n: int, block: int) -> int:
    """Planes of a slab: a divisor of the planes of a block."""
    return max(d for d in range(1, max(1, n // SLABS) + 1) if block % d == 0)


class StreamedRun:
    """One run of leapfrog steps with its particles in a `SlabStore`.

    Parameters
    ----------
    store : SlabStore
    mesh : NumbaGravity
        Whose gradient is a difference.
    timetable : Timetable
    n : int
        Particles per side.
    moving : bool
        Whether velocities are relative to 2LPT.
    block : int
        Planes that outputs come in; they divide n.
    progress : callable
    keep : bool
        Whether particles and potentials of 2LPT stay on disk when they are no longer needed.
    """

    def __init__(
        self,
        store: SlabStore,
        mesh: NumbaGravity,
        timetable: Timetable[Row],
        n: int,
        *,
        moving: bool,
        block: int,
        progress: Progress,
        keep: bool = False,
    ) -> None:
        self.store, self.mesh, self.timetable, self.n, self.moving = store, mesh, timetable, n, moving
        self.block, self.progress, self.keep = block, progress, keep
        self.pieces = list(slabs(n, thickness(n, block)))
        self.disk = ThreadPoolExecutor(1)
        self._in_mesh: tuple[str, int] | None = None  # whose potential the mesh holds

    @cached_property
    def total(self) -> float:
        """Work of the run, in steps."""
        asides = sum(output.aside is not None for output in self.timetable.outputs)
        return LPT_WORK + len(self.timetable.rows) + asides

    def run(self, delta: list[np.ndarray], written: Sequence[bool]) -> Iterator[StreamedOutput]:
        """Make what is still to be made.

        Parameters
        ----------
        delta : list of one ndarray
            The linear density field, which is taken out of the list.
        written : sequence of bool
            Which outputs are whole where their blocks were written to.
        """
        state = self.store.state
        if state and not all(written[: state["outputs"]]):
            self.store.clear()  # what was written is damaged, and its particles have moved on
        with self.disk:
            if not self.store.state:
                self.progress(0, self.total, "preparing (the first run on a machine compiles for a minute)")
                write_potentials(delta, self.mesh.box, self._write_modes)
                self.store.put({}, 0, row=0, slab=0, outputs=0, solved=-1, spent=0)
            delta.clear()
            rows = self.timetable.rows
            for i in range(self.store.state["row"], len(rows)):
                self._advance(i, rows[i])
                for output in (o for o in self.timetable.outputs if o.step == i):
                    number = self.timetable.outputs.index(output)
                    if number >= self.store.state["outputs"]:
                        yield from self._output(output, number, i)
                        self.store.put({}, 0, outputs=number + 1)

    def _advance(self, i: int, row: Row) -> None:
        """Go to the end of row i, from the slab where this row is."""
        store = self.store
        if store.state["row"] < i:
            store.put({}, 0, row=i, slab=0)
        if i and not self.moving and not self.keep:
            store.drop(*names())  # 2LPT was for the start alone
        begin = store.state["slab"]
        if begin == len(self.pieces):
            return
        ring = self._ring(MAIN, i - 1, self.timetable.rows[i - 1], begin) if i else None
        for slab, psi, v in self._moved(MAIN, MAIN, row, ring, begin, at_rest=i == 0):
            reach = self._reached(slab, psi)
            self._later(store.put, {"psi": psi, "v": v}, slab, slab=slab + 1, **{f"reach{slab}": reach})
            self.progress(
                LPT_WORK + i + (slab + 1) / len(self.pieces), self.total, f"z = {1 / row.a1 - 1:.2f}"
            )
        self._wait()

    def _moved(
        self, source: str, target: str, row: Row, ring: Ring | None, begin: int, *, at_rest: bool = False
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Displacement and velocity at the end of a row, slab by slab."""
        fields = () if at_rest else (f"{source}psi", f"{source}v")
        for slab, (kept, frame) in self._read(fields, range(begin, len(self.pieces))):
            if at_rest:
                psi = kernels.combine(None, *zip(row.drift[1:], frame, strict=True))
                v = kernels.combine(None, *zip(row.kick[2:], frame, strict=True))
            else:
                psi, v = kept
                force = None if ring is None else self._force(ring, psi, slab)
                self.mesh.advance(psi, v, force, row.kick, row.drift, frame, donate=True)
            yield slab, psi, v

    def _output(self, output: Output[Row], number: int, i: int) -> Iterator[StreamedOutput]:
        """A snapshot at the end of row i, or between it and the next."""
        if output.aside is None:
            spare = i + 1 == len(self.timetable.rows) and all(
                o.aside is None for o in self.timetable.outputs if o.step == i
            )
            row, state = self.timetable.rows[i], MAIN
        else:
            spare, row, state = False, output.aside, ASIDE
            ring = self._ring(MAIN, i, self.timetable.rows[i], 0)
            for slab, psi, v in self._moved(MAIN, ASIDE, row, ring, 0):
                reach = {f"{ASIDE}reach{slab}": self._reached(slab, psi)}
                self._later(self.store.put, {f"{ASIDE}psi": psi, f"{ASIDE}v": v}, slab, **reach)
            self._wait()
        blocks = partial(self._blocks, state, i, row, spare=spare)
        yield StreamedOutput(output.redshift, number, blocks)
        if output.aside is not None:
            self.store.drop(f"{ASIDE}psi", f"{ASIDE}v")
            self._in_mesh = None

    def _blocks(
        self, state: str, i: int, row: Row, first: int, *, force: bool = False, spare: bool
    ) -> Iterator[Block]:
        together = self.block // (self.pieces[0][1] - self.pieces[0][0])
        if first < self.store.state["spent"]:
            self.store.clear()
            raise ZeldoError(
                f"a block of planes that {self.store.folder.parent} had is damaged: the same command makes it again"
            )
        begin = first * together
        if begin >= len(self.pieces):
            return
        ring = self._ring(state, i, row, begin)
        shape = 3, self.block, self.n, self.n
        made = [np.empty(shape, np.float32) for _ in range(2 + (force and ring is not None))]
        for slab, (kept, frame) in self._read((f"{state}psi", f"{state}v"), range(begin, len(self.pieces))):
            psi, v = kept
            here = None if ring is None else self._force(ring, psi, slab)
            terms = [(w, x) for w, x in zip(row.close, (v, here, *frame), strict=False) if x is not None]
            kernels.combine(v, *terms)
            start, end = self.pieces[slab]
            at = start // self.block
            planes = slice(start - at * self.block, end - at * self.block)
            for field, values in zip(made, (psi, v, here), strict=False):
                field[:, planes] = values
            if planes.stop < self.block:
                continue
            yield Block(at * self.block, made[0], made[1], made[2] if len(made) > 2 else None)
            if spare and not self.keep:
                gone = [
                    f"{name}-{s}" for s in range(at * together, slab + 1) for name in ("psi", "v", *names())
                ]
                self.store.drop(*gone, spent=at + 1)

    def _read(
        self, fields: Sequence[str], order: Sequence[int]
    ) -> Iterator[tuple[int, tuple[list[np.ndarray], list[np.ndarray]]]]:
        """Fields and the displacements of 2LPT, slab by slab; the next one is read meanwhile."""
        frame = [f"{order}.{part}" for order in ORDERS for part in PARTS]
        parts = frame if self.moving or not fields else []

        def load(slab: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
            return [self.store.get(name, slab) for name in fields], [self.store.get(x, slab) for x in parts]

        following = self.disk.submit(load, order[0])
        for place, slab in enumerate(order):
            kept, modes = following.result()
            if place + 1 < len(order):
                following = self.disk.submit(load, order[place + 1])
            modes = [values.view(np.complex64) for values in modes]
            pairs = zip(modes[::2], modes[1::2], strict=True)
            yield slab, (kept, [displacement_of_planes(*pair, self.mesh.box) for pair in pairs])

    def _ring(self, state: str, i: int, row: Row, begin: int) -> Ring | None:
        """The force of a state at the end of a row, for the slabs from one on; None where the row has none."""
        if row.offset != row.offset:
            return None
        self._solve(state, i, row)
        reaches: list[Reach] = [
            tuple(self.store.state[f"{state}reach{slab}"]) for slab in range(begin, len(self.pieces))
        ]  # type: ignore[misc]
        return Ring(self.mesh, self.mesh.field, row.offset, reaches)

    def _solve(self, state: str, i: int, row: Row) -> None:
        """The potential of a state at the end of a row, in the mesh; that of the main path is kept on disk, too."""
        if self._in_mesh == (state, i):
            return
        planes = list(slabs(self.mesh.m, max(1, self.mesh.m // len(self.pieces))))
        if state == MAIN and self.store.state["solved"] == i:
            for number, (first, end) in enumerate(planes):
                self.mesh.field[first:end] = self.store.get("potential", number)
        else:
            # from the last to the first, so that what was written last is still in the system's cache
            self.mesh.solve_slabs(self._painted(state), row.offset, row.sharpening)
            if state == MAIN:
                for number, (first, end) in enumerate(planes):
                    self.store.put({"potential": self.mesh.field[first:end]}, number)
                self.store.put({}, 0, solved=i)
        self._in_mesh = (state, i)

    def _painted(self, state: str) -> Iterator[tuple[int, np.ndarray]]:
        name = f"{state}psi"
        order = range(len(self.pieces) - 1, -1, -1)
        following = self.disk.submit(self.store.get, name, order[0])
        for slab in order:
            psi = following.result()
            if slab:
                following = self.disk.submit(self.store.get, name, slab - 1)
            yield self.pieces[slab][0], psi

    def _force(self, ring: Ring, psi: np.ndarray, slab: int) -> np.ndarray:
        piece = self.pieces[slab]
        return ring.force(psi, piece, np.empty_like(psi), held=piece[0])

    def _reached(self, slab: int, psi: np.ndarray) -> Reach:
        return reach_of(psi[0], self.pieces[slab][0], self.mesh.box / self.n)

    def _write_modes(self, name: str, modes: np.ndarray) -> None:
        for slab, (first, end) in enumerate(self.pieces):
            self.store.put({name: modes[first:end]}, slab)

    _pending: Future[Any] | None = None

    def _later(self, function: Callable[..., Any], /, *values: Any, **named: Any) -> None:
        """Call a function while the work goes on, when what was given before is done."""
        self._wait()
        self._pending = self.disk.submit(function, *values, **named)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
