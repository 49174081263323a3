"""Cosmologies of a data set that varies them: rows of a text file, or a Latin hypercube of its own."""

from __future__ import annotations

import os

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.datasets.config import PARTS, Cosmologies
from zeldo.errors import InputError
from zeldo.initial.quijote import latin_hypercube

COLUMNS = (
    Cosmology.required(),
    Cosmology.names(),
)  # with a cosmological constant, or dark energy that varies


def read_hypercube(path: str | os.PathLike[str]) -> list[Cosmology]:
    """Cosmologies of a text file, or of Quijote's Latin hypercube.

    Parameters
    ----------
    path : str or path
        "quijote" for the 2000 rows of that suite's hypercube. Else a text file: a row for each, with the columns
        omega_m, omega_b, h, n_s, sigma_8, and perhaps w0 and wa; `#` starts a comment.

    Raises
    ------
    InputError
        For a file that cannot be read, another number of columns, and values that are not allowed.
    """
    if os.fspath(path) == "quijote":
        return list(latin_hypercube())
    wanted = f"{', '.join(COLUMNS[0])}, and perhaps w0, wa"
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise InputError(
            f"the hypercube {path} cannot be read: {reason}; set latin_hypercube to quijote, or to a text file with "
            f"the columns {wanted}"
        ) from None
    names = {len(columns): columns for columns in COLUMNS}.get(rows.shape[1])
    if names is None:
        raise InputError(f"the hypercube {path} has {rows.shape[1]} columns: give {wanted}")
    return [Cosmology(**dict(zip(names, map(float, row), strict=True))) for row in rows]


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
