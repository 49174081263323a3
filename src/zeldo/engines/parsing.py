"""Engines as they are written: "cola:steps=20", the path of a file of weights, or an `Engine` object."""

from __future__ import annotations

import os
from typing import Any

from zeldo.engines.base import Engine
from zeldo.engines.registry import engine as make_engine
from zeldo.engines.registry import engine_class
from zeldo.errors import InputError
from zeldo.keywords import scalar
from zeldo.networks.architectures import is_weights


def parse_engine(text: str | os.PathLike[str] | Engine, *, optional: bool = False, **options: Any) -> Engine:
    """Make an engine from "name", "name:option=value,..." or, for engines with presets, "name:preset".

    Parameters
    ----------
    text : str, path or Engine
        A name with options, or a file of weights. An `Engine` object is returned as it is.
    optional : bool
        Whether to leave out those of `options` that the engine does not have, or that `text` sets already, instead of
        refusing them.
    **options
        Further options of the engine. One that is None keeps the engine's default.

    Returns
    -------
    Engine

    Raises
    ------
    InputError
        For an unknown engine or option, and for an option that is given twice or beside an `Engine` object.
    """
    if isinstance(text, Engine):
        clash = [key for key, value in options.items() if value is not None]
        if clash and not optional:
            raise InputError(
                f"engine {text.name} is an object with its options, so {clash[0]} cannot be given too: make it with them"
            )
        return text
    if isinstance(text, type) and issubclass(text, Engine):
        raise InputError(f"an engine is made from the class: write {text.__name__}()")
    if not isinstance(text, str | os.PathLike):
        raise InputError(
            f"engine {text!r} is not allowed: give a name such as cola, a file of weights, or a zeldo.Engine object"
        )
    name, tail = name_and_options(os.fspath(text))
    options = {key: _whole_as_int(scalar(value)) for key, value in options.items()}
    written: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if not equals and "preset" in engine_class(name).options():
            key, value = "preset", part
        elif not equals:
            raise InputError(
                f"engine {text!r}: {part!r} is not an option; write {name}:option=value,option=value"
            )
        key = key.strip().replace("-", "_")
        if key in written:
            raise InputError(f"engine {text!r} has {key} twice: leave out one")
        written[key] = _parse_value(value.strip())
    if optional:
        known = engine_class(name).options()
        options = {key: value for key, value in options.items() if key in known}
    clash = [key for key in options if key in written and options[key] is not None]
    if clash and not optional:
        raise InputError(f"{clash[0]} is given twice for engine {name}: leave out one")
    return make_engine(name, **{**options, **written})


def name_and_options(text: str) -> tuple[str, str]:
    """Both sides of the colon before the options. The path of a file of weights may have colons of its own."""
    places = [place for place, letter in enumerate(text) if letter == ":"]
    for end in (len(text), *reversed(places)):
        path = text[:end]
        if is_weights(path) and ("=" not in path.partition(":")[2] or os.path.isfile(path)):
            return path, text[end + 1 :]
    name, _, tail = text.partition(":")
    return name, tail


def _whole_as_int(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
