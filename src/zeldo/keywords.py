"""Checks of arguments: unknown or missing names, and numbers and axes that may be written in several ways."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from zeldo.errors import InputError, nearest

P = ParamSpec("P")
T = TypeVar("T")
PathLike = str | os.PathLike[str]

AXES = {"x": 0, "y": 1, "z": 2, "0": 0, "1": 1, "2": 2}


def scalar(value: Any) -> Any:
    """The Python scalar of NumPy's scalars and of arrays without dimensions; anything else as it is.

    A number with a unit stays as it is too, for the checks to refuse: `item` of unyt would drop the unit.
    """
    plain = getattr(value, "ndim", None) == 0 and hasattr(value, "item") and not _unit(value)
    return value.item() if plain else value


def _unit(values: Any) -> str:
    """The unit of a quantity of astropy, unyt or pint; "" where there is none."""
    unit = getattr(values, "unit", None)
    if unit is None:
        unit = getattr(values, "units", None)
    # text is no more than a label, as xarray's of a file that zeldo wrote
    return "" if unit is None or isinstance(unit, str) or str(unit) == "dimensionless" else str(unit)


def plain_scalars(record: Any, *names: str) -> None:
    """In a frozen dataclass, Python's scalars in place of NumPy's, which JSON and HDF5 do not take."""
    for name in names:
        object.__setattr__(record, name, scalar(getattr(record, name)))


def check_flags(record: Any, *names: str) -> None:
    """`InputError` unless these attributes are true or false."""
    for name in names:
        if not isinstance(getattr(record, name), bool):
            raise InputError(f"{name} = {getattr(record, name)!r} is not allowed: give true or false")


def number(value: Any, name: str) -> float:
    """A number, which may be written as text or as an array without dimensions.

    Parameters
    ----------
    value : float, int, str or array_like
        What the user gave.
    name : str
        The argument, for the message.

    Raises
    ------
    InputError
        For anything else.
    """
    plain = scalar(value)
    if isinstance(plain, int | float | str) and not isinstance(plain, bool):
        try:
            return float(plain)
        except (ValueError, OverflowError):
            pass
    raise InputError(f"{name} = {value!r} is not allowed: give a number")


def check_plain(values: Any, name: str) -> None:
    """`InputError` for an array with a unit, which NumPy would drop, or with a mask, which no statistic would heed."""
    unit = _unit(values)
    if unit:
        raise InputError(
            f"{name} has the unit {unit}, which zeldo does not convert: give plain numbers in zeldo's units, "
            "such as Mpc/h and km/s"
        )
    if np.ma.is_masked(values):
        raise InputError(f"{name} is a masked array: give those values alone that count, as a plain array")


def real_array(values: Any, name: str) -> np.ndarray:
    """Real numbers as an array; of a tensor without its gradient.

    Parameters
    ----------
    values : array_like or Tensor
        What the user gave.
    name : str
        The argument, for the message.

    Raises
    ------
    InputError
        For complex numbers, text and anything else, and for arrays with a unit or a mask.
    """
    check_plain(values, name)
    try:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError):
        array = None  # ragged lists, and types and transforms that torch alone has
    if array is None or array.dtype.kind not in "fiu":
        kind = type(values).__name__ if array is None else f"{type(values).__name__} of {array.dtype}"
        raise InputError(f"{name} is a {kind}: give an array of real numbers, such as float32")
    return array


def check_progress(progress: Any) -> None:
    """`InputError` for what is neither None nor a function."""
    if progress is not None and not callable(progress):
        raise InputError(
            f"progress = {progress!r} is not allowed: give a function of work done, total work and a text"
        )


def axis_index(value: Any, name: str = "axis") -> int:
    """The index of an axis of the box, which users name by a letter or by its number.

    Parameters
    ----------
    value : {"x", "y", "z", 0, 1, 2}
        What the user gave; the number may be text.
    name : str
        The argument, for the message.

    Raises
    ------
    InputError
        For anything else.
    """
    plain = scalar(value)
    if isinstance(plain, str) and plain in AXES:
        return AXES[plain]
    if isinstance(plain, int | float) and plain in (0, 1, 2) and not isinstance(plain, bool):
        return int(plain)
    raise InputError(f"{name} = {value!r} is not allowed: give x, y or z, or 0, 1 or 2")


def checked_keywords(*more: Callable[..., Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator of a function that takes most of its arguments by keyword.

    Parameters
    ----------
    *more
        Functions to which it passes on the keyword arguments that it does not name itself. Without any, a function with
        `**` checks the names of those itself.

    Raises
    ------
    InputError
        Where the decorated function is called with an unknown argument, without a required one, with one by position that
        goes by name, or with a `progress` that cannot be called.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        own = inspect.signature(function).parameters.values()
        first = [parameter.name for parameter in own if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
        named = [
            parameter
            for accepting in (function, *more)
            for parameter in inspect.signature(accepting).parameters.values()
        ]
        allowed = {
            parameter.name: parameter
            for parameter in named
            if parameter.kind is parameter.KEYWORD_ONLY or parameter.name in first
        }
        needed = [name for name, parameter in allowed.items() if parameter.default is parameter.empty]
        any_name = not more and any(parameter.kind is parameter.VAR_KEYWORD for parameter in named)
        call = function.__name__
        by_name = [name for name in allowed if name not in first]
        example = next((name for name in needed if name in by_name), by_name[0] if by_name else "name")

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if len(args) > len(first):
                but = " but the first" if len(first) == 1 else f" but the first {len(first)}" if first else ""
                raise InputError(f"{call} takes all arguments{but} by name: give them as in {example}=...")
            for name in kwargs:
                if name not in allowed and not any_name:
                    hint = nearest(name, allowed) or f": choose among {', '.join(allowed)}"
                    raise InputError(f"{call} has no argument {name!r}{hint}")
            for name in needed:
                if name not in kwargs and name not in first[: len(args)]:
                    raise InputError(f"{call} needs the argument {name!r}: give {name}=...")
            check_progress(kwargs.get("progress"))
            return function(*args, **kwargs)

        return checked

    return decorate
