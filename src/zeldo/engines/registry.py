"""Engines by name: what takes initial conditions to snapshots.

An engine is a frozen dataclass whose fields are its options; `run` yields a Snapshot for each redshift, from high to
low. It knows nothing of files, statistics or the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from numbers import Real
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from zeldo.cosmology.redshifts import distinct_redshifts
from zeldo.errors import InputError, nearest
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot

Progress = Callable[[float, float, str], None]  # done, total, what is being done

MAX_REDSHIFT = 1000.0


class Engine(Protocol):
    """One line of the class docstring says what it is; the options are the dataclass fields."""

    name: ClassVar[str]

    def run(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress | None = None
    ) -> Iterator[Snapshot]: ...


E = TypeVar("E", bound=type)

# where each engine lives, so that its module loads when it is asked for; in the order of tables
MODULES = {
    "zeldovich": "zeldo.engines.lpt",
    "2lpt": "zeldo.engines.lpt",
    "cola": "zeldo.engines.cola",
    "pm": "zeldo.engines.pm",
    "p3m": "zeldo.engines.p3m.engine",
    "vnet": "zeldo.engines.network",
}
WEIGHTS = (".safetensors", ".pt", ".npz")  # a file of a network is an engine too
_classes: dict[str, Any] = {}


def register(cls: E) -> E:
    """Makes an engine class known by its `name`."""
    _classes[cls.name] = cls  # type: ignore[attr-defined]
    return cls


def engine_class(name: str) -> Any:
    """The class of an engine by its name, or by a file of a network's weights; `InputError` for another."""
    if name.lower().endswith(WEIGHTS):
        name = "vnet"
    if name not in MODULES:
        raise InputError(
            f"engine {name!r} is not known: choose one of {', '.join(MODULES)}{nearest(name, MODULES)}"
        )
    import_module(MODULES[name])
    return _classes[name]


def engine(name: str, **options: Any) -> Engine:
    """An engine by name with its options; an option that is None keeps the engine's default."""
    cls = engine_class(name)
    if name not in MODULES:
        if options.get("weights") is not None:
            raise InputError(
                f"engine {name} is a file of weights, so weights = {options['weights']!r} cannot be given too: "
                "leave out one or the other"
            )
        options["weights"] = name
    allowed = [field.name for field in dataclasses.fields(cls)]
    given = {key: plain(value) for key, value in options.items() if value is not None}
    for key in given:
        if key not in allowed:
            what = f"it takes {', '.join(allowed)}" if allowed else "it takes no options"
            raise InputError(f"engine {name} has no option {key!r}: {what}{nearest(key, allowed)}")
    return cls(**given)


def plain(value: Any) -> Any:
    """The number of Python's for one of NumPy's; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def check_redshifts(redshifts: Sequence[float], start: float = MAX_REDSHIFT) -> list[float]:
    """The redshifts from high to low, each once; `InputError` where one is below 0 or above the start."""
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


def check_start(value: object) -> None:
    """`InputError` unless value is a redshift from which a mesh engine can start."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value <= 200:
        raise InputError(f"start_redshift = {value!r} is not allowed: give a number from 0.5 to 200")
