"""Fourier transforms of real meshes, on preallocated arrays (ducc0, pocketfft's successor).

field[x] is float32, (m, m, m); modes are complex64, (m, m, m // 2 + 1), with delta_k = sum delta exp(-ikx) unnormalised;
`inverse` divides by m^3, so that inverse(forward(field)) = field.
"""

from __future__ import annotations

import numpy as np


def threads() -> int:
    """The number of threads that every kernel and transform uses: one setting for all (NUMBA_NUM_THREADS or cores)."""
    import numba

    return numba.get_num_threads()


def forward(field: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Real (m, m, m) to modes (m, m, m // 2 + 1)."""
    import ducc0

    return ducc0.fft.r2c(field, nthreads=threads(), out=out)


def inverse(
    modes: np.ndarray,
    m: int,
    out: np.ndarray | None = None,
    *,
    scratch: bool = False,
    axes: tuple[int, ...] = (0, 1, 2),
) -> np.ndarray:
    """Modes to a real (m, m, m). With `scratch` the modes may be destroyed, which is twice as fast.

    axes: (1, 2) for modes that `inverse_first` has been applied to.
    """
    import ducc0

    return ducc0.fft.c2r(
        modes,
        axes=axes,
        lastsize=m,
        forward=False,
        inorm=2,
        nthreads=threads(),
        out=out,
        allow_overwriting_input=scratch,
    )


def real_view(modes: np.ndarray) -> np.ndarray:
    """The memory of modes as a real field, (m, m, m + 2) float32: the transforms work in place in its first m columns."""
    return modes.view(np.float32)


def inverse_first(modes: np.ndarray) -> np.ndarray:
    """The transform of `inverse` along the first axis alone, in place: what several fields have in common is done once."""
    import ducc0

    return ducc0.fft.c2c(modes, axes=(0,), forward=False, inorm=2, nthreads=threads(), out=modes)


def wavenumbers(m: int, box: float = 2 * np.pi) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """kx, ky, kz in h/Mpc for box in Mpc/h (integers for the default box), shaped to broadcast over modes.

    The Nyquist wavenumber has no sign: its entry is -m/2 on the full axes and +m/2 on the half axis.
    """
    full = np.fft.fftfreq(m, 1 / m) * (2 * np.pi / box)
    half = np.arange(m // 2 + 1) * (2 * np.pi / box)
    return full[:, None, None], full[None, :, None], half[None, None, :]


def zero_nyquist(modes: np.ndarray) -> np.ndarray:
    """Clears the Nyquist planes in place: they hold half a mode each and no direction."""
    half = modes.shape[0] // 2
    modes[half] = 0
    modes[:, half] = 0
    modes[:, :, half] = 0
    return modes
