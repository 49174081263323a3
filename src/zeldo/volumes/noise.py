"""Some planes of zeldo's white noise, without the others: the same bits as `initial.noise.white_noise`.

Each shell of modes has its stretch of a counter-based generator, so that any part of it can be drawn by itself.
"""

from __future__ import annotations

import numpy as np

from zeldo.initial.noise import gaussians

WORDS = 4  # 64-bit words of a step of Philox's counter


def noise_planes(
    n: int, seed: int, first: int, end: int, *, fixed: bool = False, flip: bool = False
) -> np.ndarray:
    """Planes first to end of the modes of `white_noise`, in the order of fftfreq.

    Parameters
    ----------
    n : int
        Lattice points per side, even.
    seed : int
    first, end : int
        Of the planes along kx.
    fixed, flip : bool
        See `white_noise`.

    Returns
    -------
    ndarray
        (end - first, n, n // 2 + 1) complex64.
    """
    modes = np.zeros((end - first, n, n // 2 + 1), np.complex64)
    for row, index in enumerate(range(first, end)):
        kx = index if index < n // 2 else index - n
        if kx == -n // 2:
            continue
        _fill(modes[row], n, seed, kx, fixed)
        # of each pair of opposite modes with kz = 0, the half with ky > 0, or ky = 0 and kx > 0, decides
        opposite = np.zeros((n, 1), np.complex64)
        _fill(opposite, n, seed, -kx, fixed)
        mirrored = np.conj(np.roll(opposite[::-1, 0], 1))
        modes[row, n // 2 + 1 :, 0] = mirrored[n // 2 + 1 :]
        if kx < 0:
            modes[row, 0, 0] = mirrored[0]
    return -modes if flip else modes


def _fill(plane: np.ndarray, n: int, seed: int, kx: int, fixed: bool) -> None:
    """The modes (ky, kz) of one kx as they are drawn; only kz = 0 where the plane is one column."""
    columns = plane.shape[1]
    for s in range(max(1, abs(kx)), n // 2):
        side = 2 * s + 1
        full = np.arange(-s, s + 1)
        # the faces of a shell, in the order of `initial.noise`: kz = s, |ky| = s, |kx| = s
        if columns > s:
            plane[full, s] = _draw(seed, s, (kx + s) * side, side, fixed)
        start = side * side
        drawn = _draw(seed, s, start + (kx + s) * 2 * s, 2 * s, fixed).reshape(2, s)
        keep = min(s, columns)
        plane[-s, :keep], plane[s, :keep] = drawn[:, :keep]
        if abs(kx) == s:
            start += side * 2 * s + (kx > 0) * (side - 2) * s
            inner = _draw(seed, s, start, (side - 2) * s, fixed).reshape(side - 2, s)
            plane[full[1:-1], :keep] = inner[:, :keep]


def _draw(seed: int, shell: int, start: int, count: int, fixed: bool) -> np.ndarray:
    """Gaussians start to start + count of a shell."""
    stream = np.random.Philox(key=seed, counter=[0, 0, 0, shell])
    skipped = 2 * start
    stream.advance(skipped // WORDS)
    extra = skipped % WORDS
    if extra:
        stream.random_raw(extra)
    return gaussians(stream, count, fixed)
