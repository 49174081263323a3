"""Cosmologies of a data set that varies them: rows of a text file, or a Latin hypercube of its own."""

from __future__ import annotations

import os

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.tables import from_row, read_rows
from zeldo.datasets.config import PARTS, Cosmologies
from zeldo.errors import InputError
from zeldo.initial.quijote import latin_hypercube


def read_hypercube(path: str | os.PathLike[str], base: Cosmology) -> list[Cosmology]:
    """Cosmologies of a text file, or of Quijote's Latin hypercube.

    Parameters
    ----------
    path : str or path
        "quijote" for the 2000 rows of that suite's hypercube. Else a table as in `read_rows`.
    base : Cosmology
        It has the parameters that the table does not.

    Raises
    ------
    InputError
        For a file that cannot be read, unknown parameters, and values that are not allowed.
    """
    if os.fspath(path) == "quijote":
        return list(latin_hypercube())
    rows = enumerate(read_rows(path), 1)
    return [from_row(row, base, f"cosmology {number} of {path}") for number, row in rows]


def draw_hypercube(drawn: Cosmologies, base: Cosmology, part: str, count: int) -> list[Cosmology]:
    """Cosmologies of one part of a data set, a Latin hypercube (McKay, Beckman & Conover 1979) of its own.

    Parameters
    ----------
    drawn : Cosmologies
        The seed, and the range of each parameter that varies.
    base : Cosmology
        It gives the other parameters.
    part : {"train", "validation", "test"}
        Each has its own stream of random numbers, so that the size of one moves no point of another.
    count : int
        How many. Another number gives other points.

    Raises
    ------
    InputError
        For a point that is no cosmology.
    """
    from scipy.stats.qmc import LatinHypercube, scale

    if count == 0:
        return []
    names = [name for name in Cosmology.names() if name in drawn.ranges]
    low, high = zip(*(drawn.ranges[name] for name in names), strict=True)
    generator = np.random.default_rng([drawn.seed, PARTS.index(part)])
    points = scale(LatinHypercube(len(names), rng=generator).random(count), low, high)
    try:
        return [
            Cosmology(**{**base.to_dict(), **dict(zip(names, map(float, point), strict=True))})
            for point in points
        ]
    except InputError as error:
        raise InputError(f"a point of [cosmologies] is not allowed: {error}; narrow the ranges") from None
