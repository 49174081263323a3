"""Reference of the configuration files, from their pydantic models."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from zeldo.configuration import Section
from zeldo.datasets.config import DatasetConfig
from zeldo.training.config import TrainConfig

FILES = {
    DatasetConfig: ("Data sets", "`zeldo dataset FILE.toml` reads this. Examples: `configs/dataset_*.toml`."),
    TrainConfig: (
        "Training",
        "`zeldo train FILE.toml` reads this. Examples: `configs/vnet_*.toml`, `configs/emulator*.toml`.",
    ),
}

WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
SEVERAL = {"whole number": "whole numbers", "number": "numbers", "text": "texts", "path": "paths"}


def sections(annotation: Any) -> Iterator[type[Section]]:
    """The tables that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from sections(argument)


def written(annotation: Any) -> str:
    """A type as one would write it in TOML."""
    if any(sections(annotation)):
        return "list of tables" if get_origin(annotation) is tuple else "table"
    parts = [part for part in get_args(annotation) if part is not types.NoneType]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value!r}`".replace("'", '"') for value in parts)
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(written(part) for part in parts)
    if get_origin(annotation) is tuple:
        return f"list of {several(parts[0])}"
    if get_origin(annotation) is dict:
        return f"table of {several(parts[1])}" if parts[1] is not Any else "table"
    return WORDS.get(annotation, annotation.__name__)


def several(annotation: Any) -> str:
    """The same in the plural, where it has one."""
    word = written(annotation)
    return SEVERAL.get(word, word)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "a table"
    if value is None:
        return "none"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def limits(field: FieldInfo) -> str:
    """The allowed range, from the constraints of the field."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(constraint, name):g}"
        for constraint in field.metadata
        for name, sign in signs.items()
        if hasattr(constraint, name)
    ]
    return ", ".join(found)


def table(model: type[Section]) -> str:
    lines = ["| key | meaning | type | default | allowed |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        cells = [f"`{name}`", meaning, written(field.annotation), default(field), limits(field)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def inner_tables(model: type[Section], above: str = "") -> Iterator[tuple[type[Section], str]]:
    """The models inside a model, with the dotted names of their tables."""
    for name, field in model.model_fields.items():
        for inner in sections(field.annotation):
            path = f"{above}.{name}".strip(".")
            yield inner, path
            yield from inner_tables(inner, path)


def tables(model: type[Section]) -> Iterator[str]:
    """The tables inside a model; those of one kind are described once."""
    names: dict[type[Section], list[str]] = {}
    for inner, path in inner_tables(model):
        names.setdefault(inner, []).append(f"[{path}]")
    for inner, paths in names.items():
        heading = ", ".join(f"`{path}`" for path in paths)
        yield f"### {heading}\n\n{inner.__doc__ or ''}\n\n{table(inner)}"


def configuration_page() -> str:
    parts = [
        "# Configuration files\n\nConfiguration files are written in TOML. All keys are checked before any work begins. "
        "The message for an unknown key names the nearest known one. `--set section.key=value` on the command line "
        "replaces a value of the file. Paths are relative to the directory in which the command runs.\n"
    ]
    for model, (title, text) in FILES.items():
        parts += [f"## {title}\n\n{text}\n\n{table(model)}", *tables(model)]
    return "\n".join(parts)
