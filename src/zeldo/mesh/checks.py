"""The check of meshes and boxes that kernels and statistics share."""

from __future__ import annotations

from typing import Any

from zeldo.errors import InputError
from zeldo.keywords import scalar

# points a side for Numba's kernels, where float32 still places particles to 1 / 4096 of a cell
MAX_MESH = 4096


def check_mesh(mesh: Any, most: int | None = None, *, least: int = 4, even: bool = True) -> int:
    """The mesh points per side where such a mesh is possible.

    Parameters
    ----------
    mesh : int
        What was asked for.
    most : int, optional
        The largest number that is possible; any by default.
    least : int
        The smallest.
    even : bool
        Whether an odd number is refused, as by all that needs the modes of the Nyquist wavenumber.

    Raises
    ------
    InputError
        For any other value.
    """
    mesh = scalar(mesh)
    whole = isinstance(mesh, int) and not isinstance(mesh, bool)
    if not whole or mesh < least or (even and mesh % 2) or (most is not None and mesh > most):
        kind = "an even" if even else "a whole"
        reach = f"from {least} on" if most is None else f"from {least} to {most}"
        raise InputError(f"a mesh of {mesh!r} points per side is not allowed: give {kind} number {reach}")
    return int(mesh)


def check_box(box: float) -> None:
    """`InputError` unless the side of the box is above 0."""
    if not box > 0:
        raise InputError(f"box = {box!r} is not allowed: give the side in Mpc/h, above 0")
