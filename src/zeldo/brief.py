"""Short texts of values that hold arrays, for a session or a notebook in which one is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

LONGEST = 8  # values of a list that are printed


def brief(value: Any) -> str:
    """The `repr` of a dataclass, with type and shape in place of an array's numbers, and without what is None."""
    named = {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
    inside = ", ".join(f"{name}={_text(each)}" for name, each in named.items() if each is not None)
    return f"{type(value).__name__}({inside})"


def _text(value: Any) -> str:
    if getattr(value, "ndim", 0) and hasattr(value, "dtype"):
        return f"<{value.dtype} {tuple(value.shape)}>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) > LONGEST:
        return f"<{len(value)} values>"
    if isinstance(value, list):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    return repr(value)
