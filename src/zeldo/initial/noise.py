"""White noise in Fourier space, nested across resolutions: a larger lattice adds modes and changes none.

Modes come in cubic shells s = max(|kx|, |ky|, |kz|) in units of the fundamental mode, from large scales to small. Each shell
has its own stretch of one counter-based stream (Philox, Salmon et al. 2011), so that the shells below n / 2 are the same for
every n. Raw 64-bit words of a bit generator are stable across versions of NumPy; the step to Gaussians is done here.
"""

from __future__ import annotations

import numpy as np

from zeldo.errors import InputError
from zeldo.keywords import scalar


def check_seed(seed: int, bits: int = 63) -> int:
    """The seed where it is allowed, below 2^bits, else `InputError`."""
    seed = scalar(seed)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**bits:
        raise InputError(f"seed = {seed!r} is not allowed: give a whole number from 0 to 2^{bits} - 1")
    return int(seed)


def white_noise(n: int, seed: int, *, fixed: bool = False, flip: bool = False) -> np.ndarray:
    """Hermitian Gaussian modes w(k) of mean square 1, with the same large scales for every n.

    Parameters
    ----------
    n : int
        Lattice points per side, even.
    seed : int
        From 0 to 2^63 - 1.
    fixed : bool
        Every amplitude is 1, phases stay (Angulo & Pontzen 2016, arXiv:1603.05253).
    flip : bool
        Phases shifted by pi, the pair of the same seed without it (ibid.).

    Returns
    -------
    ndarray
        (n, n, n // 2 + 1) complex64, zero in the mean mode and on Nyquist planes.

    Raises
    ------
    InputError
        For a seed that is not allowed.
    """
    seed = check_seed(seed)
    modes = np.zeros((n, n, n // 2 + 1), np.complex64)
    for shell in range(1, n // 2):
        index = _shell(shell)
        stream = np.random.Philox(key=seed, counter=[0, 0, 0, shell])
        modes[index] = gaussians(stream, index[0].size, fixed)
    # kz = 0 holds each pair of opposite modes twice: the half with ky > 0, or ky = 0 and kx > 0, decides
    plane = modes[:, :, 0]
    opposite = np.conj(np.roll(plane[::-1, ::-1], 1, axis=(0, 1)))
    plane[:, n // 2 + 1 :] = opposite[:, n // 2 + 1 :]
    plane[n // 2 + 1 :, 0] = opposite[n // 2 + 1 :, 0]
    return np.negative(modes, out=modes) if flip else modes


def gaussians(stream: np.random.Philox, count: int, fixed: bool) -> np.ndarray:
    """Complex Gaussians of unit variance by Box and Muller; unit amplitudes if fixed."""
    words = stream.random_raw(2 * count) >> np.uint64(11)
    uniform = (words.astype(np.float64) + 0.5) * 2.0**-53
    phase = np.exp(2j * np.pi * uniform[1::2])
    return phase if fixed else np.sqrt(-np.log(uniform[::2])) * phase


def _shell(s: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the modes with max(|kx|, |ky|, |kz|) = s and kz >= 0, in an order that depends on s alone."""
    full, inner, half = np.arange(-s, s + 1), np.arange(-s + 1, s), np.arange(s)
    faces = [
        np.meshgrid(full, full, [s], indexing="ij"),
        np.meshgrid(full, [-s, s], half, indexing="ij"),
        np.meshgrid([-s, s], inner, half, indexing="ij"),
    ]
    kx, ky, kz = (np.concatenate([face[axis].ravel() for face in faces]) for axis in range(3))
    return kx, ky, kz
