"""How codes count the points of a lattice: orders of ids, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from zeldo.errors import InputError, nearest

NONE = "none"  # for particles that are to be read without a lattice


@dataclass(frozen=True)
class IdOrder:
    """A way of counting the points of a lattice.

    Parameters
    ----------
    name : str
        What users call it.
    point : callable
        (ids - first, n) to the row (i n + j) n + k of the lattice point, (N,) int64 both.
    """

    name: str
    point: Callable[[np.ndarray, int], np.ndarray]


def axes(letters: str) -> IdOrder:
    """The order whose axes go from the slowest to the fastest: "ijk" is i-major, "kji" counts x fastest."""
    weights = {letter: 2 - place for place, letter in enumerate("ijk")}

    def point(index: np.ndarray, n: int) -> np.ndarray:
        first, rest = np.divmod(index, n * n)
        second, third = np.divmod(rest, n)
        rows: np.ndarray = sum(
            digit * n ** weights[letter]
            for digit, letter in zip((first, second, third), letters, strict=True)
        )
        return rows

    name = {"ijk": "i-major", "kji": "k-major"}.get(letters, letters)
    return IdOrder(name, (lambda index, n: index) if letters == "ijk" else point)


def tiles(number: int) -> IdOrder:
    """The order of N-GenIC and 2LPTic, which repeat a small lattice: number^3 tiles, one after another, i-major both."""

    def point(index: np.ndarray, n: int) -> np.ndarray:
        side = n // number
        tile, inside = np.divmod(index, side**3)
        of_tile, of_point = _digits(tile, number), _digits(inside, side)
        i, j, k = (t * side + p for t, p in zip(of_tile, of_point, strict=True))
        rows: np.ndarray = (i * n + j) * n + k
        return rows

    return IdOrder(f"tiles:{number}", point)


def _digits(index: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rest, last = np.divmod(index, base)
    first, middle = np.divmod(rest, base)
    return first, middle, last


AXES = ("ijk", "kji", "ikj", "jik", "jki", "kij")
ID_ORDERS = [axes(letters) for letters in AXES]


def orders(n: int) -> Iterator[IdOrder]:
    """The orders that a lattice of n^3 points may have, the commonest first."""
    yield from ID_ORDERS
    for number in range(2, n // 2 + 1):
        if n % number == 0:
            yield tiles(number)


def order_named(name: str, n: int) -> IdOrder:
    """An order by its name. `InputError` for one that n^3 points cannot have."""
    aliases = dict(zip(AXES, ID_ORDERS, strict=True))
    known = {order.name: order for order in orders(n)} | aliases
    if name not in known:
        allowed = [*(order.name for order in orders(n)), NONE]
        raise InputError(
            f"ids = {name!r} is not an order of {n}^3 points: give one of {', '.join(allowed)}{nearest(name, allowed)}"
        )
    return known[name]
