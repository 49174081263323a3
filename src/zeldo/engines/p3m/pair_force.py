"""The pair force within a radius R: the neighbours of a column of cells, gathered once, and a kernel without branches.

Each particle sums over its neighbours in an order that the particles alone determine, so the results do not depend on the
number of threads. The periodic box needs no minimum image.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue

import numpy as np
from numba import get_num_threads, prange

from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.force_split import SPLINE, ForceSplit
from zeldo.mesh.compile import kernel

SHARE = 3  # a piece is 1/3 of the work left per thread, so that a busy core causes little delay
SMALL = 2.5e5  # the least work of a piece in pairs, a quarter of a millisecond
LEVELS = 16  # cells of a column that are computed together
CROWD = 16  # particles in a cell beyond which its parts select the neighbours within their reach
PAD = 16  # neighbours are computed in multiples of this, without a remainder loop
MAX_ORDER = 4  # of the split, whose polynomial is written out
FAR = np.float32(64.0)  # a coordinate beyond R from everything, in units of R


class PairForce:
    """The short-range force between the particles of a cell list whose radius is the split's, with its work space."""

    def __init__(self, split: ForceSplit, cells: CellList):
        self.split, self.cells = split, cells
        # lengths in units of R; a particle's mass is v / (4 pi) with v = (box / n)^3, as lap phi = delta
        self.scale = np.float32((cells.box / cells.n) ** 3 / (4 * np.pi) / split.radius**2)
        terms = [*split.polynomial(), 0, 0, 0, 0]
        self.coefficients = tuple(np.float32(c) for c in terms[: MAX_ORDER + 1])
        core = np.cbrt(SPLINE * split.core**2)
        self.softening = np.float32(core), np.float32(core / split.core**2)
        segments = -(-cells.count // LEVELS)
        self.work = np.zeros(cells.count**2 * segments + 1, np.float64)

    def __call__(self, out: np.ndarray) -> np.ndarray:
        """Compute F at the particles into out, (3, n, n, n) float32, Mpc/h."""
        cells = self.cells
        largest = count_work(cells.start, cells.count, self.work)

        def attract(first: int, last: int) -> None:
            _pair_force(
                cells.position, cells.order, cells.start, first, last, cells.count, np.float32(cells.side), largest,
                self.coefficients, *self.softening, self.scale, out.reshape(3, -1),
            )  # fmt: skip

        share(attract, pieces(self.work, get_num_threads()))
        return out


def pieces(work: np.ndarray, threads: int) -> Iterator[tuple[int, int]]:
    """Bounds of pieces of work, from the cumulative work before each item. Large pieces come first, to end together."""
    first, items = 0, work.size - 1
    while first < items:
        wanted = max((work[-1] - work[first]) / (SHARE * threads), SMALL)
        last = min(max(first + 1, int(np.searchsorted(work, work[first] + wanted))), items)
        yield first, last
        first = last


def share(function: Callable[[int, int], None], pieces: Iterable[tuple[int, int]]) -> None:
    """Call the function for each piece, on as many threads as Numba has. A thread that is done takes the next piece.

    Numba's own parallel loops assign the pieces beforehand and wait for the slowest core.
    """
    waiting: SimpleQueue[tuple[int, int]] = SimpleQueue()
    for piece in pieces:
        waiting.put(piece)

    def work() -> None:
        with suppress(Empty):
            while True:
                function(*waiting.get_nowait())

    threads = get_num_threads()
    working = [_pool(threads).submit(work) for _ in range(min(threads, waiting.qsize()))]
    try:
        wait(working, return_when=FIRST_EXCEPTION)  # whichever thread it is in
        for task in working:
            if task.done():
                task.result()
    finally:
        with suppress(Empty):  # after an error or an interrupt no thread begins another piece
            while True:
                waiting.get_nowait()
        wait(working)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool of threads that is kept, since sixteen threads take a millisecond to start."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


@kernel()
def _segment(s, cells):  # type: ignore[no-untyped-def]
    """Column i, j and levels low to high of a segment."""
    segments = (cells + LEVELS - 1) // LEVELS
    column = s // segments
    low = (s % segments) * LEVELS
    return column // cells, column % cells, low, min(low + LEVELS, cells)


@kernel()
def _wrap(i, cells):  # type: ignore[no-untyped-def]
    return i + cells if i < 0 else i - cells if i >= cells else i


@kernel(parallel=True)
def count_work(start, cells, work):  # type: ignore[no-untyped-def]
    """Compute the cumulative work (pairs, and gathered particles) before each segment; return the most gathered."""
    largest = np.zeros(work.size - 1, np.int64)
    for u in prange(work.size - 1):
        i, j, low, high = _segment(np.int64(u), cells)
        below = middle = total = 0
        pairs = 0.0
        for level in range(low - 1, high + 1):
            above = 0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    c = (_wrap(i + di, cells) * cells + _wrap(j + dj, cells)) * cells + _wrap(level, cells)
                    above += start[c + 1] - start[c]
            total += above
            if level > low:
                c = (i * cells + j) * cells + level - 1
                pairs += (start[c + 1] - start[c]) * float(below + middle + above)
            below, middle = middle, above
        largest[u] = total
        work[u + 1] = pairs + 4.0 * total
    running = 0.0
    for u in range(1, work.size):
        running += work[u]
        work[u] = running
    return largest.max()


@kernel()
def _gather(position, start, i, j, low, high, cells, side, near, begin):  # type: ignore[no-untyped-def]
    """Copy the levels low - 1 to high of the nine columns around (i, j), relative to cell (i, j, low).

    Level l starts at near[:, begin[l - low + 1]]. PAD particles out of reach follow the last one.
    """
    m = 0
    for level in range(low - 1, high + 1):
        begin[level - low + 1] = m
        k = _wrap(level, cells)
        sz = np.float32((level - low) * side)
        for di in range(-1, 2):
            a = _wrap(i + di, cells) * cells
            sx = np.float32(di * side)
            for dj in range(-1, 2):
                c = (a + _wrap(j + dj, cells)) * cells + k
                sy = np.float32(dj * side)
                first, last = start[c], start[c + 1]
                # full vectors are copied: what is beyond the cell is overwritten by the next one
                for v in range(first, last, 8):
                    to = m + v - first
                    for p in range(8):
                        near[0, to + p] = position[0, v + p] + sx
                        near[1, to + p] = position[1, v + p] + sy
                        near[2, to + p] = position[2, v + p] + sz
                m += last - first
    begin[high - low + 2] = m
    near[:, m : m + PAD] = FAR


@kernel()
def _within_reach(near, at, m, box, distance, chosen):  # type: ignore[no-untyped-def]
    """Copy those of m neighbours closer than 1 to the box of (low, high) along x, y, z; return their number."""
    nx, ny, nz = near[0, at:], near[1, at:], near[2, at:]
    x0, x1, y0, y1, z0, z1 = box
    zero = np.float32(0)
    for p in range(m):
        x, y, z = nx[p], ny[p], nz[p]
        dx = max(max(x0 - x, x - x1), zero)
        dy = max(max(y0 - y, y - y1), zero)
        dz = max(max(z0 - z, z - z1), zero)
        distance[p] = dx * dx + dy * dy + dz * dz
    count = 0
    for p in range(m):
        chosen[0, count] = nx[p]
        chosen[1, count] = ny[p]
        chosen[2, count] = nz[p]
        count += 1 if distance[p] < np.float32(1) else 0
    chosen[:, count : count + PAD] = FAR
    return count


@kernel()
def _attract(x, y, z, near, at, m, poly, core, slope):  # type: ignore[no-untyped-def]
    """The force at (x, y, z) by the m neighbours from near[:, at].

    r^2 is softened by (core - slope r^2)^3 where that is positive.
    """
    nx, ny, nz = near[0, at:], near[1, at:], near[2, at:]
    c0, c1, c2, c3, c4 = poly
    one, zero = np.float32(1), np.float32(0)
    fx = fy = fz = zero
    for p in range((m + PAD - 1) // PAD * PAD):
        dx, dy, dz = nx[p] - x, ny[p] - y, nz[p] - z
        r2 = dx * dx + dy * dy + dz * dz
        e = max(core - slope * r2, zero)
        s = one / np.sqrt(r2 + e * e * e)
        f = s * s * s - (c0 + r2 * (c1 + r2 * (c2 + r2 * (c3 + r2 * c4))))
        f = f if r2 < one else zero
        fx += f * dx
        fy += f * dy
        fz += f * dz
    return fx, fy, fz


@kernel()
def _by_part(position, first, last, side, split, index, begin):  # type: ignore[no-untyped-def]
    """List the particles of a cell by its split^3 parts, in stable order: index[begin[s] : begin[s + 1]]."""
    parts = split * split * split
    begin[: parts + 1] = 0
    scale = np.float32(split / side)
    for again in range(2):
        for p in range(first, last):
            c = 0
            for axis in range(3):
                c = c * split + min(int(position[axis, p] * scale), split - 1)
            if again:
                index[begin[c]] = p
                begin[c] += 1
            else:
                begin[c + 1] += 1
        if not again:
            for c in range(parts):
                begin[c + 1] += begin[c]
    for c in range(parts, 0, -1):
        begin[c] = begin[c - 1]
    begin[0] = 0


@kernel()
def _bounding_box(position, members, z):  # type: ignore[no-untyped-def]
    x0 = y0 = z0 = FAR
    x1 = y1 = z1 = -FAR
    for p in members:
        x0, x1 = min(x0, position[0, p]), max(x1, position[0, p])
        y0, y1 = min(y0, position[1, p]), max(y1, position[1, p])
        z0, z1 = min(z0, position[2, p]), max(z1, position[2, p])
    return x0, x1, y0, y1, z0 + z, z1 + z


@kernel()
def _pair_force(
    position, order, start, start_at, stop_at, cells, side, largest, poly, core, slope, scale, out
):  # type: ignore[no-untyped-def]
    near = np.empty((3, largest + 2 * PAD), np.float32)
    chosen = np.empty((3, largest + 2 * PAD), np.float32)
    distance = np.empty(largest + PAD, np.float32)
    index = np.empty(largest, np.int64)
    begin, parts = np.empty(LEVELS + 3, np.int64), np.empty(8**3 + 1, np.int64)
    for segment in range(start_at, stop_at):
        i, j, low, high = _segment(segment, cells)
        _gather(position, start, i, j, low, high, cells, side, near, begin)
        for level in range(low, high):
            c = (i * cells + j) * cells + level
            first, last = start[c], start[c + 1]
            z = np.float32((level - low) * side)
            # the level after next follows in the array: it is out of reach and serves as padding
            at = begin[level - low]
            m = begin[level - low + 3] - at
            if last - first < CROWD:
                for p in range(first, last):
                    fx, fy, fz = _attract(
                        position[0, p], position[1, p], position[2, p] + z, near, at, m, poly, core, slope
                    )
                    q = order[p]
                    out[0, q], out[1, q], out[2, q] = fx * scale, fy * scale, fz * scale
                continue
            split = 2 if last - first < 8 * CROWD else 4 if last - first < 64 * CROWD else 8
            _by_part(position, first, last, side, split, index, parts)
            for part in range(split**3):
                members = index[parts[part] : parts[part + 1]]
                use, begins, size = near, at, m
                if members.size > 2:
                    box = _bounding_box(position, members, z)
                    use, begins, size = chosen, 0, _within_reach(near, at, m, box, distance, chosen)
                for p in members:
                    fx, fy, fz = _attract(
                        position[0, p],
                        position[1, p],
                        position[2, p] + z,
                        use,
                        begins,
                        size,
                        poly,
                        core,
                        slope,
                    )
                    q = order[p]
                    out[0, q], out[1, q], out[2, q] = fx * scale, fy * scale, fz * scale
