"""Whether what is on disk was begun by the same arguments, and if not, which one is another."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeldo.cosmology.power import MODELS
from zeldo.errors import InputError
from zeldo.particles.provenance import PROVENANCE, Provenance, file_hash


def check_same(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """`InputError` that names the first difference. Versions may differ in what does not change results.

    Parameters
    ----------
    path : Path
        Of what was begun.
    there, here : mapping
        The arguments of then and now, as JSON gives them back, with version, revision and weights. A mapping among
        them, such as settings, is compared by its entries.
    """
    clash = Provenance.in_row(here).clash(Provenance.in_row(there))
    if clash:
        raise InputError(
            f"{path} was begun with other software or weights ({clash}): go on with those, or choose a new name"
        )
    before, now = _flat(there), _flat(here)
    for name in dict.fromkeys([*now, *before]):
        had, given = before.get(name), now.get(name)
        if name in PROVENANCE or had == given:
            continue
        said = f"{name} = {_short(had)}, not {_short(given)}"
        if _short(had) == _short(given) and isinstance(had, list) and isinstance(given, list):
            said = _difference(name, had, given)
        raise InputError(f"{path} was begun with {said}: give that, or choose a new name")


def power_identity(model: str | os.PathLike[str]) -> str:
    """A linear power as an argument: the name of a model, or that of a table with a hash of what the table holds."""
    if model in MODELS:
        return str(model)
    return f"{Path(model).name} of sha256 {file_hash(model)[:16]}"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def _difference(name: str, old: list[Any], new: list[Any]) -> str:
    """How two lists differ, in words: by their lengths, or by the first entry that is another."""
    if len(old) != len(new):
        return f"{len(old)} {name}, not {len(new)}"
    place = next(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
    had, given = old[place], new[place]
    # a cosmology, whose beginning may be the same
    if isinstance(had, Mapping) and isinstance(given, Mapping):
        key = next(key for key in dict.fromkeys([*given, *had]) if had.get(key) != given.get(key))
        return (
            f"{name} whose entry {place + 1} has {key} = {_short(had.get(key))}, not {_short(given.get(key))}"
        )
    return f"{name} whose entry {place + 1} is {_short(had)}, not {_short(given)}"


def _short(value: object) -> str:
    text = "none" if value is None else json.dumps(value)
    if len(text) < 60:
        return text
    # that of a table of power ends with its hash, which may be all that differs
    return f"{text[:20]}...{text[-30:]}" if isinstance(value, str) else f"{text[:50]}..."
