"""The option --set key=value of commands with a configuration file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from zeldo.errors import InputError


def parsed(pairs: Sequence[str] | None) -> dict[str, Any]:
    """The settings as {"a.b": value} from texts "a.b=value". Values are written as in TOML; words need no quotes."""
    values = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair!r} is not a setting: write --set section.key=value")
        try:
            values[key.strip()] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values
