"""Linear power from a text file of two columns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np

from zeldo.cosmology.tables import is_number
from zeldo.errors import InputError

ROWS = 20
# largest over smallest ratio to the fit of Eisenstein & Hu that a table of the right columns has
CLOSE = 1.25
DOUBTFUL = 1.45  # the same from which on other columns are thought of
FAR = 3.0  # the same that no linear spectrum near cold dark matter has, massive neutrinos included
STEP = 1.01  # least ratio of wavenumbers between the table and what continues it
NEEDED = (0.01, 1.0)  # h/Mpc: sigma_8 comes from here; the rest may be continued


def read_table(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers and power of a text file, with blanks or commas between; `#` starts a comment.

    Parameters
    ----------
    path : str or path
        With the columns k (h/Mpc, increasing) and P (any unit, positive). One line of words above them is left out.

    Returns
    -------
    k, p : ndarray
        float64, one length.

    Raises
    ------
    InputError
        For a file that is no table of numbers or has fewer than 20 rows or two columns. Also for values that are not
        finite and positive, for k out of order, and for k that does not cover 0.01 to 1 h/Mpc.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file: said below
            try:
                table = _numbers(path)
            except ValueError:
                above = _lines_above(path)
                table = _numbers(path, above) if above else np.empty((0, 2))
                if not len(table):  # words alone
                    raise
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is not a table of numbers ({reason}): give two columns, k in h/Mpc and P"
        ) from error
    if table.shape[0] < ROWS or table.shape[1] < 2:
        raise InputError(
            f"{path} has {table.shape[0]} rows of {table.shape[1]} columns: "
            f"give at least {ROWS} rows of k in h/Mpc and P"
        )
    k, p = table[:, 0], table[:, 1]
    bad = ~(np.isfinite(k) & np.isfinite(p) & (k > 0) & (p > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{path}, row {row + 1}: k = {k[row]:g}, P = {p[row]:g} is not allowed: give positive numbers"
        )
    if (np.diff(k) <= 0).any():
        row = int(np.argmax(np.diff(k) <= 0)) + 1
        raise InputError(
            f"{path}, row {row + 1}: k = {k[row]:g} follows {k[row - 1]:g}: sort the rows so that k increases"
        )
    if k[0] > NEEDED[0] or k[-1] < NEEDED[1]:
        raise InputError(
            f"{path} has k from {k[0]:g} to {k[-1]:g} h/Mpc: "
            f"it must cover {NEEDED[0]:g} to {NEEDED[1]:g} at least"
        )
    return k, p


def _numbers(path: str | os.PathLike[str], above: int = 0) -> np.ndarray:
    """The numbers of a text file, (rows, columns), without so many lines above. `ValueError` for anything else in it."""
    try:
        return np.loadtxt(path, dtype=np.float64, ndmin=2, skiprows=above)
    except ValueError:
        return np.loadtxt(path, dtype=np.float64, ndmin=2, skiprows=above, delimiter=",")


def _lines_above(path: str | os.PathLike[str]) -> int:
    """How many lines a table begins below: those down to a line of words that is no comment; 0 without one."""
    with open(path, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            cells = line.partition("#")[0].replace(",", " ").split()
            if cells:  # a line with a number may be a row that is misspelt
                return 0 if any(map(is_number, cells)) else number
    return 0


def check_shape(
    k: np.ndarray, p: np.ndarray, expected: Callable[[np.ndarray], np.ndarray], h: float, path: str
) -> None:
    """Refuse a table whose columns are other quantities, or whose shape is far from a spectrum of cold dark matter.

    Parameters
    ----------
    k, p : ndarray
        The table.
    expected : callable
        The cosmology's P(k), k in h/Mpc, in any unit.
    h : float
        Its Hubble constant in 100 km/s/Mpc.
    path : str
        For the message.

    Raises
    ------
    InputError
        For k in 1/Mpc, for Delta^2, both at once, and for other shapes.
    """
    x = np.geomspace(*NEEDED, 60)

    def spread(k: np.ndarray, p: np.ndarray) -> float:
        """The largest over the smallest ratio to the expected power."""
        inside = x[(x >= k[0]) & (x <= k[-1])]
        ratio = np.interp(np.log(inside), np.log(k), np.log(p)) - np.log(expected(inside))
        return float(np.exp(ratio.max() - ratio.min()))

    as_given = spread(k, p)
    if as_given < DOUBTFUL:
        return
    readings = {
        "k in 1/Mpc: divide it by h": (k / h, p),
        "Delta^2 = k^3 P / 2 pi^2 in place of P: divide it by k^3": (k, p / k**3),
        "Delta^2 in place of P and k in 1/Mpc: divide it by k^3, then k by h": (k / h, p / k**3),
    }
    for reading, columns in readings.items():
        if spread(*columns) < CLOSE:
            raise InputError(f"{path} seems to have {reading}, or give the cosmology that the table is of")
    if as_given > FAR:
        raise InputError(
            f"{path} has a shape far from cold dark matter's in this cosmology (between k = {NEEDED[0]:g} and "
            f"{NEEDED[1]:g} h/Mpc their ratio changes {as_given:.2g}-fold): give k in h/Mpc and linear P, and the cosmology "
            "that they are of"
        )


def continued(
    k: np.ndarray, p: np.ndarray, expected: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The table with rows beyond its ends, of the shape that is expected and the height that the table has there.

    Parameters
    ----------
    k, p : ndarray
        The table, k in h/Mpc.
    expected : callable
        As in `check_shape`.

    Returns
    -------
    k, p : ndarray
        From 1e-6 to 1e3 h/Mpc, or the table's own range where that is wider.
    """
    more = np.geomspace(1e-6, 1e3, 901)
    low, high = more[more < k[0] / STEP], more[more > k[-1] * STEP]
    below, above = (expected(x) * (p[end] / expected(k[end])) for x, end in ((low, 0), (high, -1)))
    return np.concatenate([low, k, high]), np.concatenate([below, p, above])
