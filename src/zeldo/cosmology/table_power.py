"""Linear power from a text file of two columns."""

from __future__ import annotations

import os
import warnings

import numpy as np

from zeldo.errors import InputError

ROWS = 20
NEEDED = (0.01, 1.0)  # h/Mpc: sigma_8 comes from here; the rest is extrapolated


def read_table(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers and power of a text file; `#` starts a comment.

    Parameters
    ----------
    path : str or path
        With the columns k (h/Mpc, increasing) and P (any unit, positive).

    Returns
    -------
    k, p : ndarray
        float64, one length.

    Raises
    ------
    InputError
        For a file that cannot be read as numbers, with fewer than 20 rows or two columns, values that are not finite and
        positive, k out of order, or a range that does not cover 0.01 to 1 h/Mpc.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file: said below
            table = np.loadtxt(path, dtype=np.float64, ndmin=2)
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
