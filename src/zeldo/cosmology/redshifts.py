"""When two redshifts are the same: one tolerance for files, stores, configurations and comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from zeldo.errors import InputError

TOLERANCE = 1e-4  # of 1 + z: headers of files are seldom round, and growth changes as little


def same_redshift(first: float, second: float) -> bool:
    """Whether two redshifts are the same output of a run.

    Parameters
    ----------
    first, second : float
        Redshifts above -1; their order does not matter.

    Returns
    -------
    bool
        Whether their expansion factors agree to `TOLERANCE`.
    """
    return abs(first - second) <= TOLERANCE * (1 + min(first, second))


def nearest_redshift(redshifts: Iterable[float], wanted: float) -> float | None:
    """The redshift among several that is the same as a wanted one.

    Parameters
    ----------
    redshifts : iterable of float
        What there is, in any order.
    wanted : float
        What is asked for.

    Returns
    -------
    float or None
        The nearest of `redshifts` where it is the same by `same_redshift`, else None.
    """
    nearest = min(redshifts, key=lambda redshift: abs(redshift - wanted), default=None)
    return nearest if nearest is not None and same_redshift(nearest, wanted) else None


def distinct_redshifts(redshifts: Iterable[float]) -> list[float]:
    """Redshifts from high to low, each once.

    Parameters
    ----------
    redshifts : iterable of float
        In any order; equal ones count once.

    Returns
    -------
    list of float
        Falling, and -0.0 is 0.0.

    Raises
    ------
    InputError
        Where two are not equal and yet the same by `same_redshift`.
    """
    falling = sorted({float(redshift) + 0.0 for redshift in redshifts}, reverse=True)
    for above, below in pairwise(falling):
        if same_redshift(above, below):
            raise InputError(f"redshifts {above!r} and {below!r} are the same redshift: leave out one")
    return falling


def output_redshifts(redshifts: tuple[float, ...]) -> tuple[float, ...]:
    """The redshifts of a configuration as `distinct_redshifts`; `ValueError` for one that no run comes to."""
    if not all(0 <= z < math.inf for z in redshifts):
        raise ValueError("redshifts must be numbers, 0 or more")
    return tuple(distinct_redshifts(redshifts))
