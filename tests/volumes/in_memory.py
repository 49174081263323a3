"""Pieces of a volume whose fields are in memory, one after the other: what pieces from the disk are held against."""

from __future__ import annotations

import numpy as np

from zeldo.engines.cola import Cola
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import displacements
from zeldo.particles.snapshot import Snapshot
from zeldo.particles.tiles import cover, take
from zeldo.volumes.pieces import Fields, check_piece, evolve_piece


def in_pieces(cola: Cola, ics: InitialConditions, redshift: float, *, side: int, buffer: int) -> Snapshot:
    check_piece(ics.n, side, buffer)
    first, second = displacements(ics)
    fields = Fields(lambda where: take(first, where), lambda where: take(second, where))
    psi, vel = np.empty((2, 3, ics.n, ics.n, ics.n), np.float32)
    for tile in cover(ics.n, side):
        piece = evolve_piece(cola, ics.origin, fields, tile, buffer, redshift)
        psi[:, *tile.inside], vel[:, *tile.inside] = piece
    return cola.snapshot(ics, psi, vel, redshift)
