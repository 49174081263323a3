"""Checks that every engine makes of its options and of the redshifts that it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from zeldo.cosmology.redshifts import distinct_redshifts
from zeldo.errors import InputError

MAX_REDSHIFT = 1000.0


def check_redshifts(redshifts: Sequence[float], start: float = MAX_REDSHIFT) -> list[float]:
    """The redshifts from high to low, each once; `InputError` for one below 0 or above the start, or two that are one."""
    for z in redshifts:
        if isinstance(z, bool) or not isinstance(z, Real) or not 0 <= float(z) <= start:
            raise InputError(f"redshift {z!r} is not allowed: give numbers from 0 to the start at {start:g}")
    if len(redshifts) == 0:
        raise InputError("no redshift was asked for: give at least one, such as 0")
    return distinct_redshifts(redshifts)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """`InputError` unless value is a whole number from low to high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} = {value!r} is not allowed: give a whole number from {low} to {high}")


def check_number(name: str, value: object, low: float, high: float, hint: str = "") -> None:
    """`InputError` unless value is a number from low to high. hint: how the line ends, as ", such as 2"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} = {value!r} is not allowed: give a number from {low:g} to {high:g}{hint}")
