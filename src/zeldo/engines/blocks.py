"""A snapshot that never is whole in memory: blocks of lattice planes, which an engine makes and a universe on disk takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


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
    linear : ndarray, optional
        The linear displacement today, Mpc/h; None where it was not asked for.
    """

    first: int
    psi: np.ndarray
    vel: np.ndarray
    force: np.ndarray | None = None
    linear: np.ndarray | None = None


@dataclass(frozen=True)
class StreamedOutput:
    """A snapshot that comes in blocks of planes, in order.

    Parameters
    ----------
    redshift : float
    number : int
        Of the output, from 0.
    blocks : callable
        blocks(first, force=False, linear=False) gives the blocks from one of them on, with or without these fields. A
        block must be on disk when the next is asked for.
    told : callable
        What the engine says of the snapshot when all blocks have been taken, by the names of `TOLD`.
    """

    redshift: float
    number: int
    blocks: Callable[..., Iterator[Block]]
    told: Callable[[], Mapping[str, Any]] = dict
