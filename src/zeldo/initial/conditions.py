"""Initial conditions: what every engine starts from."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from zeldo.brief import brief
from zeldo.cosmology.parameters import Cosmology, check_cosmology, same_cosmology, same_parameter
from zeldo.errors import InputError
from zeldo.keywords import plain_scalars, real_array, scalar

MAX_N = 4096
LARGEST = 1e4  # of |delta_lin|: lattices of 0.01 Mpc/h reach some tens


def check_grid(box: float, n: int) -> tuple[float, int]:
    """`(box, n)` where both are allowed, else `InputError`. box in Mpc/h, n particles per side."""
    box, n = scalar(box), scalar(n)
    if not isinstance(n, Integral) or n < 4 or n > MAX_N or n % 2:
        raise InputError(f"n = {n!r} is not allowed: give an even number of particles per side, 4 to {MAX_N}")
    if isinstance(box, bool) or not isinstance(box, Real) or not 0.1 <= box <= 1e5:
        raise InputError(f"box = {box!r} is not allowed: give the side in Mpc/h, 0.1 to 100000")
    return float(box), int(n)


def difference(first: Any, second: Any) -> str:
    """Which of n, box and cosmology is not that of both; "" where all are. Of initial conditions, snapshots or origins."""
    agree: dict[str, Callable[[Any, Any], bool]] = {
        "n": operator.eq,
        "box": same_parameter,
        "cosmology": same_cosmology,
    }
    return next((name for name in agree if not agree[name](getattr(first, name), getattr(second, name))), "")


@dataclass(frozen=True)
class Origin:
    """What snapshots record of initial conditions: all but the field. The parameters are those of `InitialConditions`."""

    box: float
    n: int
    cosmology: Cosmology
    seed: int | None = None
    fixed: bool | None = None
    flip: bool | None = None
    power: str | None = None
    phases: str | None = None


@dataclass(frozen=True, eq=False)
class InitialConditions:
    """A linear density field today on a periodic lattice, with the cosmology that grew it.

    Parameters
    ----------
    box : float
        Side of the box, Mpc/h.
    n : int
        Lattice points per side, even.
    cosmology : Cosmology
        What grew the field.
    delta_lin : ndarray
        (n, n, n) float32, linear density contrast at a = 1 (D1 = 1), zero mean, nothing on Nyquist planes.
    seed : int, optional
        Seed of the white noise.
    fixed, flip : bool, optional
        How the field was drawn with it.
    power : str, optional
        The name of its model or table.
    phases : str, optional
        Label of the phases. Like seed, fixed, flip and power, None where unknown, as for a field of another code.

    Raises
    ------
    InputError
        For a box, lattice or cosmology that is not allowed, and a field of another shape, or not real and finite, or too
        large.
    """

    box: float
    n: int
    cosmology: Cosmology
    delta_lin: np.ndarray
    seed: int | None = None
    fixed: bool | None = None
    flip: bool | None = None
    power: str | None = None
    phases: str | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        box, n = check_grid(self.box, self.n)
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "n", n)
        plain_scalars(self, "seed", "fixed", "flip")
        check_cosmology(self.cosmology)
        given = real_array(self.delta_lin, "delta_lin")
        shape = given.shape
        if shape != (n, n, n):
            raise InputError(f"delta_lin has shape {shape}: with n = {n} it must have {(n, n, n)}")
        field = np.ascontiguousarray(given, dtype=np.float32)
        if not np.isfinite(field).all():
            raise InputError(
                "delta_lin holds values that are not finite: check the file or field it came from"
            )
        largest = max(float(field.max()), -float(field.min()))  # without a copy of the field
        if largest > LARGEST:
            raise InputError(
                f"delta_lin reaches {largest:.3g}, no linear density contrast of today does: give at most "
                f"{LARGEST:g}, in units of the mean density"
            )
        object.__setattr__(self, "delta_lin", field)

    @property
    def origin(self) -> Origin:
        """All but the field."""
        return Origin(**{column.name: getattr(self, column.name) for column in fields(Origin)})

    @property
    def spacing(self) -> float:
        """Lattice spacing, Mpc/h."""
        return self.box / self.n
