"""Whether what is on disk was begun by the same arguments, and if not, which one is another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeldo.errors import InputError
from zeldo.particles.provenance import Provenance

PROVENANCE = ("version", "revision", "weights")


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
    old, new = (Provenance(*(values[name] for name in PROVENANCE)) for values in (there, here))
    clash = new.clash(old)
    if clash:
        raise InputError(f"{path} was begun with another {clash}: go on with that, or choose a new name")
    before, now = _flat(there), _flat(here)
    for name in dict.fromkeys([*now, *before]):
        if name not in PROVENANCE and before.get(name) != now.get(name):
            raise InputError(
                f"{path} was begun with {name} = {_short(before.get(name))}, not {_short(now.get(name))}: "
                "give that, or choose a new name"
            )


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:50]}..."
