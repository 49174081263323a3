"""Phases of N-GenIC (Springel et al. 2005) and the codes that took over its scheme, the same for the same seed.

One generator fills a table of seeds, ring by ring from small |kx| and |ky| to large, so that a larger mesh keeps the
seeds of a smaller one. Each row (kx, ky) is drawn from its seed along kz: phase, amplitude, phase, amplitude, ...
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import prange

from zeldo.errors import InputError
from zeldo.initial.noise import check_seed
from zeldo.initial.phases import SEED, Phases
from zeldo.initial.ranlxd import STATE, draw, seed_state
from zeldo.keywords import check_flags
from zeldo.mesh import fft
from zeldo.mesh.compile import kernel

BITS = 31  # of a seed, which the generator takes
MAX_SEED = 2**BITS - 1
MAX_FACTOR = 8
NYQUIST = ("zero", "filled")


@dataclass(frozen=True)
class NGenIC(Phases):
    """Phases of N-GenIC, 2LPTic, L-PICOLA, monofonIC, FastPM and MP-GenIC.

    Parameters
    ----------
    seed : int
        From 0 to 2^31 - 1; 0 gives the phases of 1, as it does in those codes.
    fixed : bool
        Unit amplitudes: RayleighSampling 0, FixedAmplitude 1, UnitaryAmplitude 1.
    flip : bool
        Phases shifted by pi: Phase_flip, PhaseFlip, InvertPhase, DoInversion.
    sphere : bool
        Modes beyond the sphere of radius n / 2 in k are zero: SphereMode 1.
    nyquist : {"zero", "filled"}
        Nyquist planes zero as N-GenIC has them, or filled as MP-GenIC and FastPM do. Engines clear them.
    mesh_factor : int
        Mesh points per lattice point and dimension. The modes of a mesh finer than the lattice fold back into the lattice's
        displacements: 2 is MP-GenIC's default. Codes that cut modes beyond the lattice's Nyquist wavenumber have 1
        on any mesh.
    sign : {1, -1}
        Of the white noise, for codes of the other convention.
    """

    seed: int = SEED
    fixed: bool = False
    flip: bool = False
    sphere: bool = False
    nyquist: str = "zero"
    mesh_factor: int = 1
    sign: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed, BITS))
        check_flags(self, "fixed", "flip", "sphere")
        if self.nyquist not in NYQUIST:
            raise InputError(f"nyquist = {self.nyquist!r} is not allowed: give {' or '.join(NYQUIST)}")
        if type(self.mesh_factor) is not int or not 1 <= self.mesh_factor <= MAX_FACTOR:
            raise InputError(
                f"mesh_factor = {self.mesh_factor!r} is not allowed: give a whole number from 1 to {MAX_FACTOR}"
            )
        check_sign(self.sign)

    @property
    def label(self) -> str:
        """ "ngenic", with the options that are not the default ones."""
        changed = {
            field.name: getattr(self, field.name)
            for field in fields(NGenIC)
            if field.name not in ("seed", "fixed", "flip") and getattr(self, field.name) != field.default
        }
        text = ",".join(f"{name}={str(value).lower()}" for name, value in changed.items())
        return f"ngenic:{text}" if text else "ngenic"

    def mesh(self, n: int) -> int:
        return self.mesh_factor * n

    def modes(self, n: int) -> np.ndarray:
        seeds = seed_table(n, self.seed)
        modes = np.zeros((n, n, n // 2 + 1), np.complex64)
        sign = -self.sign if self.flip else self.sign
        _fill_rows(seeds, self.nyquist == "filled", self.fixed, np.float64(sign), modes)
        modes[0, 0, 0] = 0
        if self.sphere:
            kx, ky, kz = fft.wavenumbers(n)
            modes[kx**2 + ky**2 + kz**2 > (n // 2) ** 2] = 0
        return modes


def check_sign(sign: int) -> int:
    """The sign where it is one, else `InputError`."""
    if sign not in (1, -1) or isinstance(sign, bool):
        raise InputError(f"sign = {sign!r} is not allowed: give 1 or -1")
    return int(sign)


@kernel(fastmath=False)
def seed_table(n: int, seed: int) -> np.ndarray:
    """The seed of each row of modes, (n, n) int64."""
    table = np.zeros((n, n), np.int64)
    state = np.empty(STATE, np.int64)
    seed_state(state, seed)
    for i in range(n // 2):
        for a, b in ((i, i), (n - 1 - i, i), (i, n - 1 - i), (n - 1 - i, n - 1 - i)):
            # a ring in one corner of the table: a stretch of row a, then one of column b
            for j in range(i):
                table[a, j if b == i else n - 1 - j] = np.int64(MAX_SEED * draw(state))
            for j in range(i + 1):
                table[j if a == i else n - 1 - j, b] = np.int64(MAX_SEED * draw(state))
    return table


@kernel(parallel=True, fastmath=False)
def _fill_rows(seeds: np.ndarray, nyquist: bool, fixed: bool, sign: float, modes: np.ndarray) -> None:
    """All rows of modes. On the planes kz = 0 and Nyquist the first of two opposite modes decides."""
    n = seeds.shape[0]
    half = n // 2
    for row in prange(n * n):
        i, j = row // n, row % n
        if not nyquist and (i == half or j == half):
            continue
        opposite_i, opposite_j = (n - i) % n, (n - j) % n
        opposite = opposite_i * n + opposite_j
        state = np.empty(STATE, np.int64)
        seed_state(state, seeds[i, j])
        for k in range(half + 1 if nyquist else half):
            phase = 2 * np.pi * draw(state)
            number = draw(state)
            while number == 0:
                number = draw(state)
            size = sign if fixed else sign * np.sqrt(-np.log(number))
            real, imaginary = size * np.cos(phase), size * np.sin(phase)
            if 0 < k < half:
                modes[i, j, k] = complex(real, imaginary)
            elif row == opposite:
                modes[i, j, k] = complex(real, 0.0)
            elif row < opposite:
                modes[i, j, k] = complex(real, imaginary)
                modes[opposite_i, opposite_j, k] = complex(real, -imaginary)


def fold(modes: np.ndarray, n: int) -> np.ndarray:
    """-div psi on an n^3 lattice of the displacement that a density on a finer mesh has at the lattice's points.

    Parameters
    ----------
    modes : numpy.ndarray
        Of the density, (m, m, m // 2 + 1) complex64, unnormalised; m is a multiple of n. They are destroyed.
    n : int
        Points of the lattice per side.

    Returns
    -------
    numpy.ndarray
        Modes of the lattice, (n, n, n // 2 + 1) complex64, Nyquist planes cleared. The displacement's curl is lost.
    """
    m = modes.shape[0]
    fine = [k.astype(np.float32) for k in fft.wavenumbers(m)]
    coarse = [k.astype(np.float32) for k in fft.wavenumbers(n)]
    square = fine[0] ** 2 + fine[1] ** 2 + fine[2] ** 2
    square[0, 0, 0] = 1
    modes /= square
    out = np.zeros((n, n, n // 2 + 1), np.complex64)
    step = m // n
    for k_fine, k_coarse in zip(fine, coarse, strict=True):
        psi = fft.inverse(np.complex64(1j) * k_fine * modes, m, scratch=True)
        out -= np.complex64(1j) * k_coarse * fft.forward(np.ascontiguousarray(psi[::step, ::step, ::step]))
    return fft.zero_nyquist(out)
