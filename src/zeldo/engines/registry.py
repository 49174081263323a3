"""Engines by name: those of zeldo, of installed packages, and those that a user registers.

A package offers its engines by an entry point of the group `zeldo.engines`, "name = package.module:Class".
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from zeldo.engines.base import Engine
from zeldo.errors import InputError, nearest
from zeldo.keywords import scalar
from zeldo.networks.architectures import is_weights

if TYPE_CHECKING:
    from zeldo.networks.tasks.base import Task

GROUP = "zeldo.engines"

# in the order of tables; a module is loaded when its engine is asked for
BUILT_IN = tuple(
    EntryPoint(name, f"zeldo.engines.{where}", GROUP)
    for name, where in {
        "zeldovich": "lpt:Zeldovich",
        "2lpt": "lpt:SecondOrder",
        "cola": "cola:Cola",
        "pm": "pm:ParticleMesh",
        "p3m": "p3m.engine:P3M",
        "vnet": "network:Network",
        "emulator": "emulator:Emulator",
    }.items()
)
# engine classes for files of weights, by the name in the network's task
FOR_WEIGHTS = {source.name: source for source in BUILT_IN if source.name in ("vnet", "emulator")}
_registered: dict[str, type[Engine]] = {}

E = TypeVar("E", bound=type[Engine])


def register(cls: E) -> E:
    """Make an engine class known by its `name`. Use it as a decorator.

    Parameters
    ----------
    cls : type
        A subclass of `Engine`.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    InputError
        Where the class is no engine, lacks something that engines need, or has the name of another engine.
    """
    _check_class(cls)
    for source in _sources().get(cls.name, []):
        if source.value != f"{cls.__module__}:{cls.__qualname__}":
            raise InputError(f"engine {cls.name} exists already ({source.value}): give yours another name")
    registered = _registered.get(cls.name, cls)
    if (registered.__module__, registered.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(
            f"engine {cls.name} exists already ({registered.__module__}:{registered.__qualname__}): "
            "give yours another name"
        )
    _registered[cls.name] = cls
    return cls


def checked_name(name: str | os.PathLike[str]) -> str:
    """The name of an engine or of a file of weights as text; `InputError` for anything else."""
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"engine = {name!r} is not allowed: give a name, such as cola, or a file of weights")
    return os.fspath(name)


def names() -> list[str]:
    """All engines that can be asked for by name."""
    return list(dict.fromkeys([*_sources(), *_registered]))


def engine_class(name: str) -> type[Engine]:
    """Find the class of an engine.

    Parameters
    ----------
    name : str
        The engine's name, or the path of a file of a network's weights.

    Returns
    -------
    type
        A subclass of `Engine`.

    Raises
    ------
    InputError
        For an unknown name, and for a package that cannot be loaded.
    """
    name = checked_name(name)
    if is_weights(name):
        return _class_for(name)
    sources = _sources().get(name, [])
    if len(sources) > 1:  # even if one of them is loaded already
        offers = " and ".join(source.value for source in sources)
        raise InputError(f"engine {name} is offered twice, by {offers}: uninstall the package of one")
    if name in _registered:
        return _registered[name]
    if not sources:
        raise InputError(
            f"engine {name!r} is not known: choose one of {', '.join(names())}{nearest(name, names())}"
        )
    return _load(sources[0])


def _class_for(path: str) -> type[Engine]:
    """The engine class for a file of weights: the one its card names, or the V-Net's for files without a card."""
    name = "vnet"
    if path.lower().endswith(".safetensors"):
        from zeldo.networks.weights import read_card

        card = read_card(path)
        name = name if card is None else card.make_task().engine_class
    return FOR_WEIGHTS[name].load() if name in FOR_WEIGHTS else engine_class(name)


def engine(name: str, **options: Any) -> Engine:
    """Make an engine by its name, with its options.

    Parameters
    ----------
    name : str
        A name such as "cola", or the path of a file of a network's weights.
    **options
        Options of the engine: the parameters of its class. One that is None keeps the engine's default.

    Returns
    -------
    Engine

    Raises
    ------
    InputError
        For an unknown name or option, and for a value that is not allowed.
    """
    name = checked_name(name)
    cls = engine_class(name)
    if is_weights(name):
        if options.get("weights") is not None:
            raise InputError(
                f"engine {name} is a file of weights, so weights = {options['weights']!r} cannot be given too: "
                "leave out one or the other"
            )
        options["weights"] = name
    allowed = cls.options()
    values = {key: scalar(value) for key, value in options.items() if value is not None}
    for key in values:
        if key not in allowed:
            known_options = f"it takes {', '.join(allowed)}" if allowed else "it takes no options"
            raise InputError(f"engine {name} has no option {key!r}: {known_options}{nearest(key, allowed)}")
    return cls(**values)


def dynamics_of(task: Task) -> Engine | None:
    """The engine that the networks of a task correct; None where they correct none."""
    return None if task.dynamics is None else engine(task.dynamics[0], **task.dynamics[1])


def _sources() -> dict[str, list[EntryPoint]]:
    """The entry points of every engine by name, those of zeldo first. No engine is loaded."""
    offers: dict[str, list[EntryPoint]] = {source.name: [source] for source in BUILT_IN}
    for source in _installed(tuple(sys.path)):
        offering = offers.setdefault(source.name, [])
        if source.value not in [other.value for other in offering]:
            offering.append(source)
    return offers


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> list[EntryPoint]:
    """Entry points of packages on the path."""
    return list(entry_points(group=GROUP))


def _load(source: EntryPoint) -> type[Engine]:
    """The class of an entry point; `InputError` in one line where its package is broken."""
    cls: type[Engine]
    try:
        cls = source.load()
    except Exception as error:
        if source in BUILT_IN:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"engine {source.name} ({source.value}) cannot be loaded ({reason}): update its package or remove it"
        ) from error
    _check_class(cls)
    if cls.name != source.name:
        raise InputError(
            f"engine {source.name} ({source.value}) calls itself {cls.name!r}: both names must agree"
        )
    _registered[cls.name] = cls
    return cls


def _check_class(cls: Any) -> None:
    """`InputError` unless this is an engine class with everything that an engine needs."""
    if not (isinstance(cls, type) and issubclass(cls, Engine)):
        raise InputError(f"{cls!r} is not an engine: give a class that inherits from zeldo.Engine")
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name) or is_weights(name):
        raise InputError(f"engine {cls.__qualname__} has the name {name!r}: give it one, such as my_engine")
    if not isinstance(cls.revision, int):
        raise InputError(f"engine {name} has revision = {cls.revision!r}: give a whole number")
    if inspect.isabstract(cls):
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise InputError(f"engine {name} lacks {lacking}: see zeldo.Engine")
