"""Configuration files: TOML becomes frozen pydantic models, and every mistake is explained in one line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from zeldo.errors import InputError, nearest


class Section(BaseModel):
    """A table of a configuration file. A key that is not one of its fields is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _values_are_of_their_kind(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """Refuse texts and truth values that pydantic would turn into numbers, and a path without a name."""
        checked = handler(value)
        kinds = set(_types(cls.model_fields[str(info.field_name)].annotation))
        # pydantic would take it for the directory where the command runs
        if value == "" and Path in kinds:
            raise PydanticCustomError("path_type", "give a path")
        numbers = {int, float} & kinds
        given = value if isinstance(value, list | tuple) else [value]
        if numbers and not {bool, str} & kinds and any(isinstance(one, bool | str) for one in given):
            raise PydanticCustomError("int_type" if numbers == {int} else "float_type", "give a number")
        return checked


# what to give, by pydantic's name of the mistake
REMEDIES = {
    "greater_than": "give more than {gt:g}",
    "greater_than_equal": "give {ge:g} or more",
    "less_than": "give less than {lt:g}",
    "less_than_equal": "give {le:g} or less",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "string_type": "give a text",
    "path_type": "give a path",
    "literal_error": "choose {expected}",
    "tuple_type": "give a list",
    "list_type": "give a list",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length} values",
    "dict_type": "give a table of keys and values",
    "model_type": "give a table of keys and values",
}
Config = TypeVar("Config", bound=Section)
ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | Section


def load(source: ConfigSource, kind: type[Config], override: Mapping[str, Any] | None = None) -> Config:
    """Load and check a configuration.

    Parameters
    ----------
    source : path, mapping or Section
        A TOML file, a tree of values, or a configuration that is ready.
    kind : type
        The `Section` that the file must match.
    override : mapping, optional
        Values that replace those of the file, by dotted keys: `{"data.store": "other.zarr"}`.

    Returns
    -------
    Section
        An instance of `kind`.

    Raises
    ------
    InputError
        For a file that is missing or not TOML, and for the first key or value that is not allowed.
    """
    if isinstance(source, kind) and not override:
        return source
    where = "the configuration"
    if isinstance(source, Section):
        tree = source.model_dump(exclude_unset=True)
    elif isinstance(source, Mapping):
        tree = _copy_tree(source)
    else:
        where = str(source)
        tree = _read_toml(Path(source))
    for dotted, value in (override or {}).items():
        *parents, last = dotted.split(".")
        table = tree
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise InputError(
                    f"{dotted} cannot be set: {parent} = {table!r} is not a table, set {parent} itself"
                )
        table[last] = value
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {_explanation(error, tree, kind)}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise InputError(f"there is no configuration file {path}: give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _types(annotation: Any) -> Iterator[Any]:
    """All types that an annotation is made of."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def _copy_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy_tree(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _explanation(error: ValidationError, tree: Mapping[str, Any], kind: type[Section]) -> str:
    """The first mistake, in one line. Unknown keys come first: a misspelt key also explains a missing one."""
    mistakes = [(list(_keys(detail, tree)), detail) for detail in error.errors()]
    # of a value that may be of several types, the mistake that lies deepest is the one that was made
    path, first = min(
        mistakes, key=lambda mistake: (mistake[1]["type"] != "extra_forbidden", -len(mistake[0]))
    )
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        allowed = _known_keys(kind, path[:-1])
        table = f" in [{'.'.join(path[:-1])}]" if path[:-1] else ""
        known = ", ".join(allowed)
        return f"unknown key {path[-1]!r}{table}{nearest(path[-1], allowed)}; known are {known}"
    if first["type"] == "missing" and path[-1].isdigit():
        count = 1 + max(int(where[-1]) for where, _ in mistakes if where[:-1] == path[:-1])
        return f"{'.'.join(path[:-1])} = {first['input']!r} is not allowed: give {count} values"
    if first["type"] == "missing":
        return f"{name} is missing: it must be given"
    message = " or ".join(dict.fromkeys(_remedy(detail) for where, detail in mistakes if where == path))
    if not name:
        return message
    if isinstance(first["input"], Mapping):
        return f"[{name}]: {message}"
    given = first["input"]
    shown = str(given).lower() if isinstance(given, bool) else repr(given)  # true, as in the file
    return f"{name} = {shown} is not allowed: {message[:1].lower() + message[1:]}"


def _remedy(detail: ErrorDetails) -> str:
    remedy = REMEDIES.get(detail["type"])
    return (
        detail["msg"].removeprefix("Value error, ")
        if remedy is None
        else remedy.format(**detail.get("ctx", {}))
    )


def _keys(detail: ErrorDetails, tree: Any) -> Iterator[str]:
    """The keys and indices of a mistake's place, without pydantic's names of the types that it tried there."""
    for part in detail["loc"]:
        if isinstance(tree, Mapping) and (part in tree or detail["type"] == "missing"):
            yield str(part)
            tree = tree.get(part)
        elif isinstance(tree, Sequence) and isinstance(part, int):
            yield str(part)
            tree = tree[part] if part < len(tree) else None


def _known_keys(kind: type[Section], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue
        kind = next(_sections(kind.model_fields[part].annotation))
    return list(kind.model_fields)


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
