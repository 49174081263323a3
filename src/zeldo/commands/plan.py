"""zeldo plan"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.evolution import FILE, Evolution
from zeldo.commands.universe import Universe


def plan(
    *,
    universe: Universe | None = None,
    evolution: Evolution | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say how much memory, disk and time `zeldo run` takes with the same arguments.

    Parameters
    ----------
    as_json:
        Print one line of JSON with memory_gb, disk_gb and seconds.
    """
    from zeldo import api

    arguments = asdict(evolution or Evolution()) | asdict(universe or Universe())
    expected = api.plan(**arguments | {"output": arguments["output"] or FILE})
    if as_json:
        print(json.dumps({**asdict(expected), "fits": expected.fits}))
        return
    fits = "" if expected.fits else ": it does not fit"
    print(f"memory  {expected.memory_gb:.2f} GB; {expected.available_gb:.2f} GB available{fits}")
    if expected.device_gb:
        print(f"GPU     {expected.device_gb:.2f} GB; {expected.device_available_gb:.2f} GB available")
    beside = f", and {expected.scratch_gb:.2f} GB for particles during the run" if expected.scratch_gb else ""
    print(f"disk    {expected.disk_gb:.2f} GB{beside}")
    print("time    " + ("not known" if expected.seconds is None else _in_words(expected.seconds)))
    if expected.tiles is not None:
        print(f"tiles   {expected.tiles} per side")


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
