"""COLA in pieces that know nothing of each other (sCOLA; Tassev et al. 2015, arXiv:1502.07751; Leclercq et al. 2020).

A piece is a tile of the lattice with a buffer around it, taken as a periodic box of its own. Its particles move on the 2LPT
of the whole volume, which is known everywhere; the particle mesh of the piece follows what is left. Where 2LPT does not fit
together across the piece's faces, its mesh sees sheets of mass that are not there. Kicks are relative to the part of the
wrapped 2LPT that is a gradient, which holds the force of these sheets. The buffer is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zeldo.engines.checks import check_whole
from zeldo.engines.cola import Cola
from zeldo.engines.leapfrog import Frame, Leapfrog, take
from zeldo.engines.state import Array, Report, State
from zeldo.engines.table import Row
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.initial.lpt import lpt_factors
from zeldo.mesh import fft
from zeldo.mesh.held_force import HeldForce
from zeldo.particles.tiles import Tile, window

LEAST_WIDTH = 4  # cells of a lattice that can be evolved

Field = Callable[[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Fields:
    """The 2LPT of a whole volume, of which windows are taken.

    Parameters
    ----------
    psi_lin, second : callable
        From the indices of a window along each axis to (3, a, b, c) float32: the displacements of first and second order
        today, Mpc/h.
    """

    psi_lin: Field
    second: Field


@dataclass(eq=False)
class PieceLeapfrog(Leapfrog):
    """The steps of a piece: drifts by the 2LPT of the whole volume, kicks relative to what of it the mesh sees.

    Parameters
    ----------
    ics, gravity, moving
        Of the piece; see `Leapfrog`.
    whole : tuple of ndarray
        psi_lin and grad phi2 of the whole volume in the piece.
    origin : Origin
        Of the piece.
    """

    whole: Frame = ()
    origin: Origin | None = None

    @cached_property
    def frame(self) -> Frame:
        return tuple(longitudinal(field) for field in self.whole)

    def start(self, row: Row) -> State:
        first, second = (self.gravity.array(field) for field in self.whole)
        psi = self.gravity.combine(None, (row.drift[1], first), (row.drift[2], second))
        return State(row.a1, psi, psi * np.float32(0), take(self.gravity, psi, row))

    def step(self, state: State, row: Row, *, donate: bool = False, report: Report | None = None) -> State:
        gravity, psi, v = self.gravity, state.psi, state.v
        if not donate:
            psi, v = psi + 0, v + 0
        if state.force is not None:
            terms = zip(row.kick, (v, state.force, *self.frame), strict=True)
            v = gravity.combine(v, *terms)
        psi = gravity.combine(psi, (1.0, psi), *zip(row.drift, (v, *self.whole), strict=True))
        if donate and isinstance(state.force, HeldForce):
            state.force.spent = True  # the next one may take its mesh
        return State(row.a1, psi, v, take(gravity, psi, row))

    def velocity(self, state: State, row: Row, *, donate: bool = False) -> Array:
        assert self.origin is not None
        factors = [v for _, v in lpt_factors(self.origin.cosmology, float(row.a1))]
        piece = [weight - whole for weight, whole in zip(row.close[2:], factors, strict=True)]
        terms = [(row.close[0], state.v)]
        if state.force is not None:
            terms.append((row.close[1], self.gravity.whole(state.force)))
        out = self.gravity.combine(None, *terms, *zip(piece, self.frame, strict=True))
        return self.gravity.combine(out, (1.0, out), *zip(factors, self.whole, strict=True))


def longitudinal(field: np.ndarray) -> np.ndarray:
    """The part of a periodic vector field (3, n, n, n) that is a gradient. It has no mean, as a force of a mesh."""
    n = field.shape[1]
    modes = [fft.forward(np.ascontiguousarray(component)) for component in field]
    k = [axis.astype(np.float32) for axis in fft.wavenumbers(n)]
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    square[0, 0, 0] = 1
    potential = sum(axis * part for axis, part in zip(k, modes, strict=True)) / square
    out = np.empty_like(field)
    for component, axis in zip(out, k, strict=True):
        fft.inverse(axis * potential, n, component, scratch=True)
    return out


def check_piece(n: int, side: int, buffer: int) -> None:
    """`InputError` where a lattice of n^3 has no pieces of so many cells per side with such a buffer."""
    check_whole("side", side, 1, n)
    check_whole("buffer", buffer, 0, n)
    if n % side:
        raise InputError(f"pieces of {side} cells do not divide {n}: give a divisor")
    if side % 2:
        raise InputError(
            f"a piece of {side} cells with a buffer of {buffer} on each side is {side + 2 * buffer} cells wide, which is "
            f"odd: give an even side that divides {n}"
        )
    if side + 2 * buffer < LEAST_WIDTH:
        raise InputError(
            f"a piece of {side} cells with a buffer of {buffer} is {side + 2 * buffer} cells wide, which is too little "
            f"to evolve: give {LEAST_WIDTH} at least"
        )
    if side + 2 * buffer > n:
        raise InputError(
            f"a tile of {side} cells with a buffer of {buffer} is larger than the volume of {n}: "
            "give a smaller side or buffer, or evolve it whole"
        )


def evolve_piece(
    engine: Cola, volume: Origin, fields: Fields, tile: Tile, buffer: int, redshift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Displacement and velocity of a tile.

    Parameters
    ----------
    engine : Cola
    volume : Origin
        Of the whole.
    fields : Fields
        Of the whole.
    tile : Tile
        A cube.
    buffer : int
        Cells around it that are evolved too.
    redshift : float

    Returns
    -------
    psi, vel : ndarray
        (3, *tile.shape) float32, Mpc/h and km/s.
    """
    from zeldo.engines.driver import evolve

    side = tile.shape[0]
    check_piece(volume.n, side, buffer)
    where = window(tile.origin, side, volume.n, buffer)
    n = side + 2 * buffer
    # the engine asks for the box and the lattice alone
    ics = InitialConditions(volume.box * n / volume.n, n, volume.cosmology, np.zeros((n, n, n), np.float32))
    whole = tuple(np.ascontiguousarray(field(where)) for field in (fields.psi_lin, fields.second))
    plain = engine.dynamics(ics)
    dynamics = PieceLeapfrog(None, plain.gravity, moving=True, whole=whole, origin=ics.origin)
    timetable = engine.timetable(ics, [redshift])
    del ics, plain
    for view in evolve(dynamics, timetable, lambda *progress: None):
        if view.redshift is not None:
            inside = (slice(None), *3 * [slice(buffer, buffer + side)])
            return view.psi[inside].copy(), view.velocity[inside].copy()
    raise AssertionError("a timetable ends at its redshift")
