"""What a suite will take, before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zeldo.api import initial_conditions
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import Engine
from zeldo.keywords import PathLike, checked_keywords
from zeldo.measuring.memory import limited
from zeldo.planning import RunPlan, plan_universes
from zeldo.suites.asked import Asked


@checked_keywords(initial_conditions)
def plan_suite(
    *,
    output: PathLike | None = None,
    seeds: str | Iterable[int] | None = None,
    cosmologies: PathLike | Iterable[Cosmology | Mapping[str, float]] | None = None,
    keep: str = "particles",
    engine: PathLike | Engine = "emulator",
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    memory: str | float | None = None,
    **universe: Any,
) -> RunPlan:
    """Predict what `run_suite` with these arguments will take. Nothing is made.

    Parameters
    ----------
    output, seeds, cosmologies, keep, engine, redshift, steps, mesh_factor, extrapolate, memory, **universe
        Those of `run_suite`; the output may be left out.

    Returns
    -------
    RunPlan
        The memory of one process; the disk space of what is kept of all universes; and the time of one process that makes
        them all, on this machine under its present load.

    Raises
    ------
    InputError
        For a value that is not allowed.
    """
    asked = Asked.of(
        universe,
        output=output,
        seeds=seeds,
        cosmologies=cosmologies,
        keep=keep,
        engine=engine,
        redshift=redshift,
        steps=steps,
        mesh_factor=mesh_factor,
        extrapolate=extrapolate,
    )
    with limited(memory):
        return plan_universes(
            asked.engine,
            asked.base.n,
            asked.redshifts,
            [asked.cosmology(task) for task in asked.tasks],
            statistics=len(asked.statistics),
        )
