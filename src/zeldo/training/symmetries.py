"""The symmetries of a periodic box: 48 rotations and reflections, and shifts by any number of cells.

An element acts on positions and on vector components alike: (g psi)(q) = R psi(R^-1 q), with R a signed
permutation of the axes. Lattice points are q = (i, j, k) box / n. In a periodic box, a reflection takes
index i to (-i) mod n, so that lattice points go to lattice points and the corner q = 0 stays. In a crop, which has no
corner of its own, it takes i to side - 1 - i.
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

    def matrix(self) -> np.ndarray:
        """R, (3, 3) int."""
        r = np.zeros((3, 3), dtype=int)
        for a in range(3):
            r[a, self.axis[a]] = self.sign[a]
        return r

    def __matmul__(self, other: Element) -> Element:
        """The element that acts as `other` first, then as `self`."""
        axis = tuple(other.axis[self.axis[a]] for a in range(3))
        sign = tuple(self.sign[a] * other.sign[self.axis[a]] for a in range(3))
        return Element(axis, sign)  # type: ignore[arg-type]

    def inverse(self) -> Element:
        axis, sign = [0, 0, 0], [0, 0, 0]
        for a in range(3):
            axis[self.axis[a]], sign[self.axis[a]] = a, self.sign[a]
        return Element(tuple(axis), tuple(sign))  # type: ignore[arg-type]


ELEMENTS = tuple(Element(a, s) for a in permutations(range(3)) for s in product((1, -1), repeat=3))  # type: ignore[arg-type]
IDENTITY = ELEMENTS[0]


def transform(field: Field, element: Element, *, periodic: bool = True, vector: bool = True) -> Field:
    """Apply an element to a field.

    Parameters
    ----------
    field : ndarray or Tensor, (..., 3, n, n, n), or (..., n, n, n) for scalars
    element : Element
    periodic : bool
        Whether the field is a whole periodic box (index i is reflected to (-i) mod n), or else a crop (i to n - 1 - i).
    vector : bool
        Whether the field is a vector.

    Returns
    -------
    ndarray or Tensor
        Of the shape of the field.

    Raises
    ------
    InputError
        For other shapes.
    """
    _check(field, vector)
    out = _transpose(field, element)
    flipped = [a - 3 for a in range(3) if element.sign[a] < 0]
    if flipped:
        out = _flip(out, flipped)
        if periodic:
            out = _roll(out, [1] * len(flipped), flipped)
    if not vector:
        return out
    picked = out[..., list(element.axis), :, :, :]  # type: ignore[index]
    for a in range(3):
        if element.sign[a] < 0:
            picked[..., a, :, :, :] *= -1
    return picked


def shift(field: Field, cells: tuple[int, int, int]) -> Field:
    """A whole periodic box (..., n, n, n) moved by `cells` lattice cells along its last three axes."""
    return _roll(field, list(cells), [-3, -2, -1])


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
        The cells origin - halo to origin + side + halo of `transform(field, element)`.
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
    if len(shape) < 3 + vector or len(set(shape[-3:])) != 1 or (vector and shape[-4] != 3):
        wanted = "(..., 3, n, n, n)" if vector else "(..., n, n, n)"
        raise InputError(f"a field of shape {shape} cannot be rotated: it must be {wanted}")


def _transpose(field, element: Element):
    lead = len(field.shape) - 3
    order = [*range(lead), *(lead + a for a in element.axis)]
    return field.transpose(order) if isinstance(field, np.ndarray) else field.permute(order)


def _flip(field, axes: list[int]):
    return np.flip(field, tuple(axes)) if isinstance(field, np.ndarray) else field.flip(axes)


def _roll(field, cells: list[int], axes: list[int]):
    if isinstance(field, np.ndarray):
        return np.roll(field, cells, axes)
    return field.roll(cells, axes)
