"""The growth of particles on a lattice, which near its Nyquist wavenumber is not that of a fluid.

Particles that hardly move feel the lattice they started on: a plane wave along its diagonals grows more slowly, and one
along its axes faster (particle linear theory: Marcos et al. 2006, arXiv:astro-ph/0601479). An N-body run grows like this
from its first step on. A fast engine that starts later, or has softer forces, does not. Here a linear field is filtered
so that the engine's waves have the amplitudes of an N-body run when halos begin to form. Garrison et al. 2016
(arXiv:1605.02333) filter in the other direction, to undo the effect in the N-body run.

The response of a lattice is lambda = (k . F) / (k . psi) for a small longitudinal wave psi with force F. It is 1 for a
fluid. The wave grows as in an Einstein-de Sitter universe whose matter attracts lambda times as strongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import permutations, product
from math import erfc, exp, pi, sqrt

import numpy as np

from zeldo.initial.conditions import InitialConditions
from zeldo.mesh import fft

MATCHED = 1 / 6  # scale factor at which the amplitudes agree, before most halos form
POINTS = 17  # of a table along each axis up to Nyquist: linear in between, it errs by 0.001
SPLIT = 2.0  # Ewald's, in inverse spacings: with so many cells around, both sums are exact to 1e-8
WAVES, NEIGHBOURS = 3, 2
IMAGES = 2  # of a mesh's window on each side; those beyond fall as their fourth power


def times_table(ics: InitialConditions, table: np.ndarray) -> InitialConditions:
    """The linear field times a table of `amplitudes`."""
    from zeldo.mesh.numba_kernels import apply_table

    modes = fft.forward(ics.delta_lin)
    apply_table(modes, table)
    return replace(ics, delta_lin=fft.inverse(modes, ics.n, scratch=True))


def amplitudes(
    nbody_start: float, start: float, response: np.ndarray | None = None, until: float = MATCHED
) -> np.ndarray:
    """What a linear field is multiplied by, so that an engine's waves grow to the amplitudes of an N-body run.

    Parameters
    ----------
    nbody_start : float
        The redshift at which the N-body run leaves perturbation theory.
    start : float
        That of the engine.
    response : ndarray, optional
        Of the engine's mesh, by `mesh_response`; by default that of an engine whose waves grow like those of a fluid.
    until : float
        The scale factor until which that response counts: the softer the forces of a mesh, the longer they hold waves back.

    Returns
    -------
    ndarray, (`POINTS`, `POINTS`, `POINTS`)
        A table for `zeldo.mesh.numba_kernels.apply_table`.
    """
    wanted = _growth(lattice_response(), MATCHED * (1 + nbody_start))
    return wanted if response is None else wanted / _growth(response, max(1.0, until * (1 + start)))


def _growth(response: np.ndarray, longer: float) -> np.ndarray:
    """The growth of waves over that of a fluid, from its growing mode until the scale factor is `longer` times as large.

    A mode a^p has p^2 + p / 2 = 3 lambda / 2, as for a fluid with lambda = 1.
    """
    root = np.sqrt(1 + 24 * response)
    growing, decaying = (root - 1) / 4, -(root + 1) / 4
    share = (1 - decaying) / (growing - decaying)
    return (share * longer**growing + (1 - share) * longer**decaying) / longer


@lru_cache
def lattice_response() -> np.ndarray:
    """lambda of point particles on a cubic lattice, by Ewald's sums: a table, (`POINTS`, `POINTS`, `POINTS`)."""
    k, along, total = _octant()
    for image in _cells(WAVES):
        wave = 2 * pi * image[:, None]
        total += _waves(k + wave, along) - (_waves(wave, along) if image.any() else 0)
    for cell in _cells(NEIGHBOURS):
        r = sqrt(cell @ cell)
        if r:
            # first and second derivative of erfc(SPLIT r) / (4 pi r)
            near, bell = erfc(SPLIT * r), 2 * SPLIT / sqrt(pi) * exp(-((SPLIT * r) ** 2))
            first = -(near / r + bell) / (4 * pi * r)
            second = (near / r**3 + bell / r**2 + SPLIT**2 * bell) / (2 * pi)
            towards = (cell @ along / r) ** 2
            pull = (second - first / r) * towards + first / r
            total += pull * (1 - np.cos(cell @ k))
    return _table(total)


def _waves(k: np.ndarray, along: np.ndarray) -> np.ndarray:
    square = np.maximum(np.sum(k * k, axis=0), 1e-30)
    return np.sum(k * along, axis=0) ** 2 / square * np.exp(-square / (4 * SPLIT**2))


@lru_cache
def mesh_response(factor: float, gradient: str, deconvolution: float) -> np.ndarray:
    """lambda of particles on a lattice whose force comes from a mesh, as a table.

    It is the mean over all places of the mesh relative to the lattice.

    Parameters
    ----------
    factor : float
        Mesh points per particle and dimension.
    gradient, deconvolution
        As in `zeldo.mesh.gravity.gravity`.
    """
    k, along, total = _octant()

    def image(wave: np.ndarray) -> np.ndarray:
        """The force along k by an alias of a wave along k."""
        cells = wave / factor  # phases from one mesh point to the next
        folded = cells - 2 * pi * np.round(cells / (2 * pi))
        window = np.prod(np.sinc(cells / (2 * pi)) ** 4, axis=0)  # painted and read
        window *= np.prod(np.sinc(folded / (2 * pi)) ** (-2 * deconvolution), axis=0)
        slope = folded if gradient == "spectral" else (8 * np.sin(folded) - np.sin(2 * folded)) / 6
        seen = np.all(np.abs(folded) < pi * (1 - 1e-9), axis=0) * window
        square = np.maximum(np.sum(folded**2, axis=0), 1e-30)
        return seen * np.sum(slope * along, axis=0) * np.sum(cells * along, axis=0) / square

    for cell in _cells(IMAGES):
        wave = 2 * pi * cell[:, None]
        total += image(k + wave) - (image(wave) if cell.any() else 0)
    return _table(total)


def _cells(reach: int) -> Iterator[np.ndarray]:
    return (np.array(cell) for cell in product(range(-reach, reach + 1), repeat=3))


def _octant() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavenumbers x >= y >= z in inverse spacings, which the symmetry of the lattice leaves, their directions, and zeros."""
    axis = np.linspace(0, pi, POINTS)
    axis[-1] *= 1 - 1e-6  # at Nyquist itself a mesh has no derivative
    k = axis[np.array(_PLACES).T]
    return k, k / np.maximum(np.sqrt(np.sum(k * k, axis=0)), 1e-30), np.zeros(len(_PLACES))


_PLACES = [(x, y, z) for x in range(POINTS) for y in range(x + 1) for z in range(y + 1)]


def _table(response: np.ndarray) -> np.ndarray:
    response[0] = 1  # no wave
    table = np.empty(3 * (POINTS,))
    for axes in permutations(range(3)):
        table[tuple(np.array(_PLACES).T[list(axes)])] = response
    table.flags.writeable = False  # it is kept
    return table
