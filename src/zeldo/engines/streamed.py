"""Steps of a mesh engine whose particles are on disk: in memory are one mesh, and some planes of the lattice.

Displacements, velocities and the orders of 2LPT lie in slabs of the lattice. A step reads each slab once to paint it,
and once to move it. A killed run goes on at the slab where it was, to the same bits. For this, the potential is on disk
until all slabs have been moved by it. Where the mesh is finer than the lattice, the old slabs take less time and space:
they stay beside the new ones to the end of the step, and the potential is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.engines import leapfrog
from zeldo.engines.base import PREPARING, Progress, needs_memory
from zeldo.engines.blocks import Block, StreamedOutput
from zeldo.engines.plans import SLABS
from zeldo.engines.state import State
from zeldo.engines.streamed_force import ASIDE, ForceOnDisk
from zeldo.engines.table import Output, Row, Timetable
from zeldo.errors import ZeldoError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.slabs import ORDERS, Planes, write_displacements
from zeldo.mesh.held_force import Reach, Ring, reach_of
from zeldo.mesh.numba_gravity import NumbaGravity
from zeldo.particles.tiles import slabs
from zeldo.store.slabs import SlabStore

LPT_WORK = 2.0  # of a step


def stream(
    engine: Any,
    ics: list[InitialConditions],
    redshifts: Sequence[float],
    folder: Path,
    written: Sequence[bool],
    *,
    block: int,
    progress: Progress,
    keep: bool = False,
) -> Iterator[StreamedOutput]:
    """Snapshots of an engine with steps on a mesh.

    Parameters
    ----------
    engine : Stepping
        Its dynamics are a `Leapfrog` with a mesh on the CPU.
    ics, redshifts, folder, written, block, progress
        As in `Engine.streamed`.
    keep : bool
        Whether particles and the orders of 2LPT stay on disk when they are no longer needed.

    Raises
    ------
    InputError
        For an engine whose `plan_streamed` gives None.
    """
    (start,) = ics
    if engine.plan_streamed(start.n, redshifts) is None:
        raise needs_memory(engine)
    ics.clear()
    dynamics = engine.dynamics(start)
    run = StreamedRun(
        SlabStore(folder, engine.key(start, redshifts)),
        dynamics.gravity,
        engine.timetable(start, redshifts),
        start.n,
        moving=dynamics.moving,
        block=block,
        progress=progress,
        keep=keep,
    )
    delta = [engine.linear_field(start).delta_lin]
    del start, dynamics
    yield from run.run(delta, written)


def thickness(n: int, block: int, slabs: int = SLABS) -> int:
    """Planes of a slab, of which the lattice has `slabs` or more: a divisor of the planes of a block."""
    return max(d for d in range(1, max(1, n // slabs) + 1) if block % d == 0)


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
        As in `stream`.
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
        self.beside = mesh.m > n  # new slabs lie beside the old ones
        self.pieces = list(slabs(n, thickness(n, block)))
        self.disk = ThreadPoolExecutor(1)
        self._rooms: dict[tuple[str, int], np.ndarray] = {}
        self.forces = ForceOnDisk(store, mesh, self.pieces, written=not self.beside, disk=self.disk)

    @cached_property
    def total(self) -> float:
        """Work of the run, in steps."""
        return LPT_WORK + len(self.timetable.rows) + len(self.timetable.asides)

    def run(self, delta: list[np.ndarray], written: Sequence[bool]) -> Iterator[StreamedOutput]:
        """Make what is still to be made.

        Parameters
        ----------
        delta : list of one ndarray
            The linear density field, which is taken out of the list.
        written : sequence of bool
            For each output, whether all its blocks are on disk already.
        """
        state = self.store.state
        if state and not all(written[: state["outputs"]]):
            self.store.clear()  # what was written is damaged, and its particles have moved on
        with self.disk:
            if not self.store.state:
                self.progress(0, self.total, PREPARING)
                write_displacements(delta, self.mesh.box, self._write_order)
                self.store.put({}, 0, row=0, slab=0, outputs=0, solved=-1, spent=0)
            delta.clear()
            rows = self.timetable.rows
            for i in range(self.store.state["row"], len(rows)):
                self._advance(i, rows[i])
                for output in self.timetable.after(i):
                    number = self.timetable.outputs.index(output)
                    if number >= self.store.state["outputs"]:
                        yield from self._output(output, number, i)
                        self.store.put({}, 0, outputs=number + 1)

    def _main(self, i: int) -> str:
        """What the fields at the end of row i are called, as a prefix."""
        return f"{i % 2}." if self.beside else ""

    def _advance(self, i: int, row: Row) -> None:
        """Go to the end of row i, from the slab where this row is."""
        store, old, new = self.store, self._main(i - 1), self._main(i)
        if store.state["row"] < i:
            store.put({}, 0, row=i, slab=0)
        if i and not self.moving and not self.keep:
            store.drop(*ORDERS)  # 2LPT was for the start alone
        begin = store.state["slab"]
        if begin == len(self.pieces):
            return
        ring = self.forces.ring(old, i - 1, self.timetable.rows[i - 1], begin) if i else None
        for slab, psi, v in self._moved(old, row, ring, begin, at_rest=i == 0):
            state = {"slab": slab + 1, f"{new}reach{slab}": self._reached(slab, psi)}
            self._later(store.put, {f"{new}psi": psi, f"{new}v": v}, slab, **state)
            self.progress(
                LPT_WORK + i + (slab + 1) / len(self.pieces), self.total, f"z = {1 / row.a1 - 1:.2f}"
            )
        self._wait()
        if self.beside:
            store.drop(f"{old}psi", f"{old}v")

    def _moved(
        self, source: str, row: Row, ring: Ring | None, begin: int, *, at_rest: bool = False
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Displacement and velocity at the end of a row, slab by slab."""
        fields = () if at_rest else (f"{source}psi", f"{source}v")
        orders = ORDERS if self.moving or at_rest else ()
        for slab, (kept, frame) in self._read(fields, orders, range(begin, len(self.pieces))):
            if at_rest:
                psi, v = leapfrog.begin(row, self.mesh, *frame)
            else:
                psi, v = kept
                force = None if ring is None else self.forces.force(ring, psi, slab)
                self.mesh.advance(psi, v, force, row.kick, row.drift, frame, donate=True)
            yield slab, psi, v

    def _output(self, output: Output[Row], number: int, i: int) -> Iterator[StreamedOutput]:
        """A snapshot at the end of row i, or between it and the next."""
        if output.aside is None:
            # where the old slabs are gone, there is space for the output
            spare = self.timetable.is_last(i) and not self.keep and not self.beside
            row, state = self.timetable.rows[i], self._main(i)
        else:
            spare, row, state = False, output.aside, ASIDE
            main = self._main(i)
            ring = self.forces.ring(main, i, self.timetable.rows[i], 0)
            for slab, psi, v in self._moved(main, row, ring, 0):
                reach = {f"{ASIDE}reach{slab}": self._reached(slab, psi)}
                self._later(self.store.put, {f"{ASIDE}psi": psi, f"{ASIDE}v": v}, slab, **reach)
            self._wait()
        blocks = partial(self._blocks, state, i, row, spare=spare)
        yield StreamedOutput(output.redshift, number, blocks)
        if output.aside is not None:
            self.store.drop(f"{ASIDE}psi", f"{ASIDE}v")
            self.forces.forget()

    def _blocks(
        self,
        state: str,
        i: int,
        row: Row,
        first: int,
        *,
        force: bool = False,
        linear: bool = False,
        spare: bool,
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
        ring = self.forces.ring(state, i, row, begin)
        shape = 3, self.block, self.n, self.n
        fields = ["psi", "vel", *["force"] * (force and ring is not None), *["linear"] * linear]
        made = {name: np.empty(shape, np.float32) for name in fields}
        orders = ORDERS if self.moving else ORDERS[:1] if linear else ()
        kept = f"{state}psi", f"{state}v"
        for slab, ((psi, v), lpt) in self._read(kept, orders, range(begin, len(self.pieces))):
            here = None if ring is None else self.forces.force(ring, psi, slab)
            frame = tuple(lpt) if self.moving else ()
            leapfrog.velocity(State(row.a1, psi, v, here), row, self.mesh, frame, donate=True)
            start, end = self.pieces[slab]
            at = start // self.block
            planes = slice(start - at * self.block, end - at * self.block)
            values = {"psi": psi, "vel": v, "force": here, "linear": lpt[0] if lpt else None}
            for name, field in made.items():
                field[:, planes] = values[name]
            if planes.stop < self.block:
                continue
            yield Block(at * self.block, **made)
            if spare:
                gone = [
                    f"{name}-{s}" for s in range(at * together, slab + 1) for name in ("psi", "v", *ORDERS)
                ]
                self.store.drop(*gone, spent=at + 1)

    def _read(
        self, fields: Sequence[str], orders: Sequence[str], order: Sequence[int]
    ) -> Iterator[tuple[int, tuple[list[np.ndarray], list[np.ndarray]]]]:
        """Fields and orders of 2LPT, slab by slab; the next one is read meanwhile.

        Their memory is used again. Of fields, one slab is read, one is in work, and one is on its way to the disk; the
        thread of the disk does these in order. Orders are not written.
        """

        def load(place: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
            slab = order[place]
            kept = [self._get(name, slab, place % 3) for name in fields]
            return kept, [self._get(name, slab, place % 2, shared=True) for name in orders]

        following = self.disk.submit(load, 0)
        for place, slab in enumerate(order):
            values = following.result()
            if place + 1 < len(order):
                following = self.disk.submit(load, place + 1)
            yield slab, values

    def _get(self, name: str, slab: int, number: int, shared: bool = False) -> np.ndarray:
        room, shape = self._rooms.get((name, number)), tuple(self.store.shape(name, slab))
        if room is None or room.shape != shape:
            room = self._rooms[name, number] = np.empty(shape, np.float32)
        return self.store.shared(name, slab, room) if shared else self.store.get(name, slab, room)

    def _reached(self, slab: int, psi: np.ndarray) -> Reach:
        return reach_of(psi[0], self.pieces[slab][0], self.mesh.box / self.n)

    def _write_order(self, name: str, planes: Planes) -> None:
        for slab, piece in enumerate(self.pieces):
            self._later(self.store.put, {name: planes(*piece)}, slab)
        self._wait()

    _pending: Future[Any] | None = None

    def _later(self, function: Callable[..., Any], /, *values: Any, **named: Any) -> None:
        """Call a function while the work goes on, when what was given before is done."""
        self._wait()
        self._pending = self.disk.submit(function, *values, **named)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
