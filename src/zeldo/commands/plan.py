"""zeldo plan"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.evolution import FILE, Evolution, is_suite
from zeldo.commands.options import Named
from zeldo.commands.universe import Universe


def plan(
    *,
    universe: Universe | None = None,
    evolution: Evolution | None = None,
    seeds: str | None = None,
    cosmologies: Named | None = None,
    keep: str = "particles",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say how much memory, disk and time `zeldo run` takes with the same arguments, from the start of Python to the files.

    Parameters
    ----------
    seeds:
        Seeds of a suite, as for zeldo run. Disk and time are then for all universes, made one after another in one process.
    cosmologies:
        A file of cosmologies for a suite, as for zeldo run.
    keep:
        What a suite keeps of each universe: particles, measure or multipoles.
    as_json:
        Print one line of JSON with memory_gb, disk_gb and seconds.
    """
    from zeldo import api

    arguments = asdict(evolution or Evolution()) | asdict(universe or Universe())
    if is_suite(seeds, cosmologies, keep):
        from zeldo.suites.plan import plan_suite

        expected = plan_suite(seeds=seeds, cosmologies=cosmologies, keep=keep, **arguments)
    else:
        expected = api.plan(**arguments | {"output": arguments["output"] or FILE})
    if as_json:
        print(json.dumps({**asdict(expected), "fits": expected.fits}))
        return
    many = f" for {expected.universes} universes" if expected.universes > 1 else ""
    fits = "" if expected.fits else ": it does not fit"
    print(f"memory  {expected.memory_gb:.2f} GB; {expected.available_gb:.2f} GB available{fits}")
    if expected.device_gb:
        print(f"GPU     {expected.device_gb:.2f} GB; {expected.device_available_gb:.2f} GB available")
    beside = f", and {expected.scratch_gb:.2f} GB for particles during the run" if expected.scratch_gb else ""
    print(f"disk    {_size(expected.disk_gb)}{many}{beside}")
    alone = f"{many} in one process" if many else ""
    print("time    " + ("not known" if expected.seconds is None else f"{_in_words(expected.seconds)}{alone}"))
    if expected.tiles is not None:
        print(f"tiles   {expected.tiles} per side")


def _size(gb: float) -> str:
    """A size in GB, or in MB where it is small, as measurements are."""
    return f"{gb:.2f} GB" if gb >= 0.1 else f"{1000 * gb:.2f} MB"


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
