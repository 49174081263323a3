"""Engines against a reference on the same initial conditions: accuracy, time and memory of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.api import PathLike, initial_conditions, parse_engine, redshift_list
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.engines.base import Engine
from zeldo.engines.registry import names
from zeldo.errors import InputError
from zeldo.files.atomic import directory
from zeldo.initial.conditions import InitialConditions
from zeldo.keywords import checked_keywords
from zeldo.measuring.cost import measured
from zeldo.particles.snapshot import DRAWN, Snapshot

if TYPE_CHECKING:
    from zeldo.statistics.comparison import Comparison


@dataclass
class CompareResult:
    """What `compare` found: one comparison and one prediction for each engine and redshift, and the references."""

    comparisons: list[Comparison] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    references: list[Snapshot] = field(default_factory=list)
    page: Path | None = None


@checked_keywords(initial_conditions)
def compare(
    *,
    engine: PathLike | Engine | Sequence[PathLike | Engine],
    reference: PathLike | Engine | Snapshot | None = None,
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    output: PathLike | None = None,
    command: str = "",
    watch: Callable[[str], Any] | None = None,
    **universe: Any,
) -> CompareResult:
    """Engines against a reference on the same initial conditions: accuracy, time and memory of each.

    engine: one or several names, with options as "cola:mesh_factor=2", files of weights, or `Engine` objects.
    reference: a file of a reference run, a snapshot (file), or an engine; by default the particles of the reference file
    given as `ics`, else `p3m`. redshift: by default 0, or that of the reference snapshot. steps, mesh_factor, extrapolate:
    for every engine given by name that has them. output: a directory for index.html and comparison.json. watch: makes a
    context manager that gives a progress callback, called with the engine's name. universe: the arguments of
    `initial_conditions`; by default those of the reference file.
    """
    given: list[Any] = [engine] if isinstance(engine, str) or not isinstance(engine, Iterable) else [*engine]
    chosen = _engines(given, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None)
    with nullcontext() if output is None else directory(output):
        ics, truth, name = _truth(reference, redshift, universe)
        if redshift is None:
            redshift = _default(truth) if isinstance(truth, dict) else 0.0
        redshifts = redshift_list(redshift)
        for one in chosen:
            one.check(redshifts)
        watch = watch or _unwatched
        if not isinstance(truth, dict):
            truth.check(redshifts)
            with watch(f"reference {truth.name}") as progress:
                truth = {one.redshift: one for one in truth.run(ics, redshifts, progress)}
        matched = {one.redshift: one for one in (_nearest(truth, z) for z in redshifts)}
        return _compare(chosen, ics, matched, name, output, command, watch)


def _nearest(truth: dict[float, Snapshot], redshift: float) -> Snapshot:
    """The snapshot at a redshift, as far as files tell it: their headers are seldom round."""
    z = nearest_redshift(truth, redshift)
    if z is None:
        there = ", ".join(f"{one:g}" for one in truth)
        raise InputError(f"the reference has no redshift {redshift:g}: choose among {there}")
    return truth[z]


def _engines(given: Sequence[PathLike | Engine], **options: Any) -> list[Engine]:
    """Each with the options that it has; one that none of them has is refused."""
    if not given:
        raise InputError("no engine was given: name at least one, such as cola")
    chosen = [parse_engine(each, optional=True, **options) for each in given]
    takers = [made for made, each in zip(chosen, given, strict=True) if made is not each]
    for key, value in options.items():
        if value is not None and not any(key in made.options() for made in takers):
            parse_engine(given[0], **{key: value})
    return chosen


def _compare(
    chosen: list[Engine],
    ics: InitialConditions,
    truth: dict[float, Snapshot],
    name: str,
    output: PathLike | None,
    command: str,
    watch: Callable[[str], Any],
) -> CompareResult:
    from zeldo.statistics.comparison import Reference

    for one in chosen:
        warm_up(one, ics, list(truth))
    result = CompareResult(references=list(truth.values()))
    runs = []
    for one in chosen:
        with watch(one.name) as progress, measured() as cost:
            runs.append((list(one.run(ics, list(truth), progress)), cost))
    for z, snapshot in truth.items():
        against = Reference(snapshot, name)
        for snapshots, cost in runs:
            prediction = next(one for one in snapshots if one.redshift == z)
            result.snapshots.append(prediction)
            result.comparisons.append(
                against.compare(prediction, wall_seconds=cost.seconds, peak_memory=cost.peak_memory)
            )
    if output is not None:
        from zeldo.report.html import write_report

        result.page = write_report(
            result.comparisons,
            result.snapshots,
            result.references,
            output,
            title=f"{ics.n}³ particles in {ics.box:g} Mpc/h",
            command=command,
        )
    return result


def warm_up(one: Engine, ics: InitialConditions, redshifts: Sequence[float] = (0.0,)) -> None:
    """Runs the engine on a few particles, so that what is timed afterwards compiles and imports nothing."""
    import numpy as np

    n = one.least_n
    tiny = InitialConditions(ics.spacing * n, n, ics.cosmology, np.zeros((n, n, n), np.float32))
    list(one.for_trial().run(tiny, redshifts))


@contextmanager
def _unwatched(title: str) -> Iterator[None]:
    yield None


def _default(truth: dict[float, Snapshot]) -> float:
    """Today where the reference has it, else its lowest redshift."""
    return 0.0 if 0.0 in truth else min(truth)


def _truth(
    reference: PathLike | Engine | Snapshot | None, redshift: Any, universe: dict[str, Any]
) -> tuple[InitialConditions, dict[float, Snapshot] | Engine, str]:
    """Initial conditions, and the reference: snapshots by redshift or an engine; and its name."""
    from zeldo.files import read
    from zeldo.files.reference import SHIPPED, is_reference, read_reference, reference_path

    ics_file = universe.get("ics")
    if reference is None and isinstance(ics_file, str | os.PathLike) and is_reference(ics_file):
        reference = ics_file
    if isinstance(reference, Snapshot):
        ics = initial_conditions(**universe)
        return ics, {reference.redshift: _same_universe(reference, ics)}, reference.engine
    if isinstance(reference, Engine):
        return initial_conditions(**universe), reference, reference.name
    name = "p3m" if reference is None else os.fspath(reference)
    if name.partition(":")[0] in names():
        return initial_conditions(**universe), parse_engine(name), name
    if name in SHIPPED and not Path(name).exists():
        name = str(reference_path(name))
    if not Path(name).is_file():
        raise InputError(
            f"reference {name!r} is neither a file nor an engine nor {', '.join(SHIPPED)}: engines are {', '.join(names())}"
        )
    if Path(name).suffix == ".npz" and is_reference(name):
        own, snapshots = read_reference(name)
        given = {key: value for key, value in universe.items() if value not in (None, False)}
        ics = own if not given else initial_conditions(**universe)
        for snapshot in snapshots.values():
            _same_universe(snapshot, ics)
        return ics, snapshots, next(iter(snapshots.values())).engine
    snapshot = read(name)
    ics = initial_conditions(**universe)
    return ics, {snapshot.redshift: _same_universe(snapshot, ics)}, f"{snapshot.engine} ({Path(name).name})"


def _same_universe(snapshot: Snapshot, ics: InitialConditions) -> Snapshot:
    for name in ("n", "box", "cosmology"):
        mine, other = getattr(ics, name), getattr(snapshot, name)
        if mine != other:
            raise InputError(
                f"the reference has {name} = {other} and the initial conditions have {mine}: both must be one universe; "
                "give the reference's own initial conditions by --ics, or its parameters and seed"
            )
    for name in ("seed", *DRAWN):
        mine, other = getattr(ics, name), getattr(snapshot, name)
        if None not in (mine, other) and mine != other:
            raise InputError(
                f"the reference has {name} = {other} and the initial conditions have {mine}: "
                f"mode by mode they are not one universe; give the same {name}"
            )
    return snapshot
