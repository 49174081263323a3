"""The tasks of networks, one module each, known by their names."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from zeldo.errors import InputError, nearest

if TYPE_CHECKING:
    from zeldo.networks.tasks.base import Task

MODULES = {
    "deoliveira2020": "zeldo.networks.tasks.deoliveira2020",
    "jamieson2022": "zeldo.networks.tasks.jamieson",
    "jamieson2024": "zeldo.networks.tasks.jamieson",
    "correction": "zeldo.networks.tasks.correction",
}
_classes: dict[str, type[Task]] = {}
T = TypeVar("T", bound="type[Task]")


def register(cls: T) -> T:
    """Make a task known by its `name`, also from outside the package. It is a class decorator.

    Parameters
    ----------
    cls : type
        A frozen dataclass that inherits from `Task`.
    """
    _classes[cls.name] = cls
    return cls


def names() -> list[str]:
    """The names of all tasks."""
    return [*MODULES, *(name for name in _classes if name not in MODULES)]


def make_task(name: str, **options: Any) -> Task:
    """Make a task by its name, with its options.

    Parameters
    ----------
    name : str
    **options
        Options of the task: the parameters of its class.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        For an unknown task or option, and for a value that is not allowed.
    """
    cls = task_class(name)
    allowed = [field.name for field in dataclasses.fields(cls)]
    for key in options:
        if key not in allowed:
            raise InputError(
                f"task {name} has no option {key!r}: it takes {', '.join(allowed) or 'none'}{nearest(key, allowed)}"
            )
    return cls(**options)


def task_class(name: str) -> type[Task]:
    """The class of a task. Raises `InputError` for an unknown name."""
    if name not in _classes:
        if name not in MODULES:
            raise InputError(
                f"task {name!r} is not known: choose one of {', '.join(names())}{nearest(str(name), names())}, or "
                "import the module that registers it"
            )
        import_module(MODULES[name])
    return _classes[name]
