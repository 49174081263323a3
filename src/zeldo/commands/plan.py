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
    print(f"memory  {expected.memory_gb:.2f} GB of {expected.available_gb:.2f} GB{fits}")
    beside = f", and {expected.scratch_gb:.2f} GB for particles during the run" if expected.scratch_gb else ""
    print(f"disk    {expected.disk_gb:.2f} GB{beside}")
    print("time    " + ("not known" if expected.seconds is None else f"{expected.seconds:.1f} s"))
    if expected.tiles is not None:
        print(f"tiles   {expected.tiles} per side")
