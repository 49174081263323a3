"""The symmetries of a periodic box: 48 rotations and reflections, and shifts by any number of cells.

An element acts on positions and on vector components alike: (g psi)(q) = R psi(R^-1 q), with R a signed
permutation of the axes. Lattice points are q = (i, j, k) box / n. In a periodic box, a reflection takes
index i to (-i) mod n, so that lattice points go to lattice points and the corner q = 0 stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import TypeVar

import numpy as np

from zeldo.errors import InputError
from zeldo.particles.tiles import take, window

Field = TypeVar("Field")  # a numpy array or a torch tensor


@dataclass(frozen=True)
class Element:
    """A signed permutation of the axes: (R x)_a = sign[a] x_axis[a].

    Parameters
    ----------
    axis : (int, int, int)
    sign : (int, int, int)
    """

    axis: tuple[int, int, int]
    sign: tuple[int, int, int]


ELEMENTS = tuple(Element(a, s) for a in permutations(range(3)) for s in product((1, -1), repeat=3))  # type: ignore[arg-type]
IDENTITY = ELEMENTS[0]


def crop(
    field: Field,
    element: Element = IDENTITY,
    origin: tuple[int, int, int] = (0, 0, 0),
    side: int | None = None,
    halo: int = 0,
    *,
    vector: bool = True,
) -> Field:
    """A cube of a periodic field after an element has been applied, with its periodic halo, in one gather.

    Parameters
    ----------
    field : ndarray or Tensor, (3, n, n, n), or (n, n, n) for scalars
        A whole periodic box.
    element : Element
    origin : (int, int, int)
        First cell of the cube.
    side : int, optional
        Cells per side of the cube; n by default, which gives the shifted box.
    halo : int
        Cells added on each side.
    vector : bool
        Whether the field is a vector.

    Returns
    -------
    ndarray or Tensor, (3, side + 2 halo, ...), or without the 3 for scalars
        The cells origin - halo to origin + side + halo of the transformed field.
    """
    _check(field, vector)
    n = field.shape[-1]  # type: ignore[attr-defined]
    side = n if side is None else side
    if not 0 < side <= n:
        raise InputError(f"a crop of side {side} does not fit a box of {n} cells: give 1 to {n}")
    i, j, k = (
        sign * index % n for sign, index in zip(element.sign, window(origin, side, n, halo), strict=True)
    )
    out = take(_transpose(field, element), (i, j, k))
    if not vector:
        return out
    picked = out[list(element.axis)]  # type: ignore[index]
    for a in range(3):
        if element.sign[a] < 0:
            picked[a] *= -1
    return picked


def random_element(rng: np.random.Generator) -> Element:
    """One of the 48 elements, each with the same probability."""
    return ELEMENTS[int(rng.integers(len(ELEMENTS)))]


def _check(field, vector: bool) -> None:
    shape = tuple(field.shape)
    if len(shape) != 3 + vector or len(set(shape[-3:])) != 1 or (vector and shape[0] != 3):
        wanted = "(3, n, n, n)" if vector else "(n, n, n)"
        raise InputError(f"a field of shape {shape} cannot be rotated: it must be {wanted}")


def _transpose(field, element: Element):
    lead = len(field.shape) - 3
    order = [*range(lead), *(lead + a for a in element.axis)]
    return field.transpose(order) if isinstance(field, np.ndarray) else field.permute(order)
