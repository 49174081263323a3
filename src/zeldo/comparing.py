"""Compare engines and snapshots with a reference of the same initial conditions: accuracy, time and memory of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.api import initial_conditions
from zeldo.cosmology.parameters import Cosmology, with_parameters
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.engines.base import Engine
from zeldo.engines.checks import redshift_list
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.files.atomic import directory
from zeldo.files.stored import StoredSnapshot
from zeldo.files.universe_zarr import is_universe
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.keywords import PathLike, checked_keywords
from zeldo.measuring.cost import Cost, measured
from zeldo.measuring.memory import available, check_room, limited
from zeldo.particles.snapshot import Snapshot
from zeldo.planning import check_fits, chosen_plan
from zeldo.references import (
    SNAPSHOT_BYTES,
    check_drawn,
    default_redshift,
    find_reference,
    is_asked,
    snapshot_at,
    snapshots_of,
)
from zeldo.sources import LIBRARY_BYTES, Given, names_of
from zeldo.store.universe import check_place, run_into

if TYPE_CHECKING:
    from zeldo.statistics.comparison import Comparison, Reference


@dataclass
class CompareResult:
    """The results of `compare`.

    Parameters
    ----------
    comparisons : list of Comparison
        One for each redshift and snapshot or engine, all of the first redshift first.
    snapshots : list of Snapshot
        The snapshots given and the engines' predictions, in the order of `comparisons`.
    references : list of Snapshot
        What they are compared with, one for each redshift.
    page : Path or None
        The report, `index.html`; None where no output directory was given.
    """

    comparisons: list[Comparison] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    references: list[Snapshot] = field(default_factory=list)
    page: Path | None = None

    def add(
        self, against: Reference, prediction: Snapshot, name: str | None = None, cost: Cost | None = None
    ) -> None:
        """Compare one more snapshot, which is called by its engine where it has no name."""
        seconds, memory = (cost.seconds, cost.peak_memory) if cost else (None, None)
        compared = against.compare(prediction, wall_seconds=seconds, peak_memory=memory)
        self.comparisons.append(compared if name is None else replace(compared, engine=name))
        self.snapshots.append(prediction)


@checked_keywords(initial_conditions)
def compare(
    snapshot: PathLike | Snapshot | Sequence[PathLike | Snapshot] = (),
    *,
    engine: PathLike | Engine | Sequence[PathLike | Engine] = (),
    reference: PathLike | Engine | Snapshot | None = None,
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    mesh: int | None = None,
    output: PathLike | None = None,
    memory: str | float | None = None,
    command: str = "",
    watch: Callable[[str], Any] | None = None,
    **universe: Any,
) -> CompareResult:
    """Compare snapshots and engines with a reference of the same initial conditions: accuracy, time and memory of each.

    Parameters
    ----------
    snapshot : path, Snapshot, or a sequence of them, optional
        Finished runs: files of snapshots, universes in .zarr, or snapshots in memory. They need a `reference` that is not
        an engine. Without an engine no initial conditions are made, and of `**universe` only the cosmology is allowed, for
        files that do not say theirs.
    engine : str, path, Engine, or a sequence of them
        Names of engines, with options as in "cola:mesh_factor=2", files of weights, or `Engine` objects.
    reference : path, str, Engine or Snapshot, optional
        A file of a reference run, a snapshot or its file, a universe in .zarr, or an engine. By default the particles of
        the reference file given as `ics`, else the engine "p3m".
    redshift : float or sequence of float, optional
        Where to compare; 0 by default, or the lowest redshift of a reference that has no snapshot at 0.
    steps : int, optional
        Number of steps of every engine given by name that has this option.
    mesh_factor : float, optional
        Mesh points per particle and dimension, of every engine given by name that has this option.
    extrapolate : bool
        Allow networks given by name outside the ranges of their model cards.
    mesh : int, optional
        Points per side of the density; twice the lattice by default.
    output : path, optional
        A directory for the report, `index.html`, and the numbers, `comparison.json`.
    memory : str or float, optional
        The most memory that may be taken, such as "8GB"; by default what the machine has free. Snapshots that do not fit
        are written into `output`, as universes in .zarr, and compared from there. They stay, and the same call does not
        make them again; it then has no time of theirs to show.
    command : str
        The command line that the report quotes.
    watch : callable, optional
        Called with a title before every run; returns a context manager that gives the run's progress callback.
    **universe
        The arguments of `initial_conditions`; by default the initial conditions of the reference file.

    Returns
    -------
    CompareResult

    Raises
    ------
    InputError
        For a value that is not allowed, and for a reference of another universe than the initial conditions.
    """
    if watch is not None and not callable(watch):
        raise InputError(f"watch = {watch!r} is not allowed: give a function of a run's title")
    requested, given = _listed(engine), _listed(snapshot)
    if not requested and not given:
        raise InputError(
            "nothing to compare was given: name an engine, such as cola, or a file of a snapshot"
        )
    engines = _make_engines(requested, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None)
    with limited(memory), nullcontext() if output is None else directory(output):
        if not requested:
            return _compare_finished(given, reference, redshift, mesh, output, command, universe)
        ics, truth, name = find_reference(reference, universe)
        if redshift is None:
            redshift = default_redshift(truth) if isinstance(truth, dict) else 0.0
        redshifts = redshift_list(redshift)
        for candidate in engines:
            candidate.check(redshifts)
        to_run = engines if isinstance(truth, dict) else [*engines, truth]
        folder = _folder(to_run, ics.n, redshifts, mesh, output)
        runs = _Runs(ics, universe, folder, mesh, watch or unwatched)
        del ics
        if not isinstance(truth, dict):
            truth.check(redshifts)
            with runs.watch(f"reference {truth.name}") as progress:
                truth = {at.redshift: at for at in runs.run(truth, redshifts, "reference", progress)}
        references = [snapshot_at(truth, z, "the reference") for z in redshifts]
        finished = _finished(given, runs.origin.cosmology)
        return _run_and_compare(finished, engines, runs, references, name, output, command)


class _Runs:
    """Runs of engines, whose snapshots are in memory, or in universes in a folder, and are compared on one mesh."""

    def __init__(
        self,
        ics: InitialConditions,
        universe: dict[str, Any],
        folder: Path | None,
        mesh: int | None,
        watch: Callable[[str], Any],
    ) -> None:
        self.origin, self.folder, self.mesh, self.watch = ics.origin, folder, mesh, watch
        # those of runs on disk are made anew, so that none waits in memory
        anew = folder is not None and any(universe.values())
        self.ics: Callable[[], InitialConditions] = (
            partial(initial_conditions, **universe) if anew else lambda: ics
        )

    def path(self, label: str) -> Path | None:
        return (
            None if self.folder is None else self.folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', label)}.zarr"
        )

    def run(self, engine: Engine, redshifts: Sequence[float], label: str, progress: Any) -> list[Snapshot]:
        path, ics = self.path(label), self.ics()
        if path is None:
            return list(engine.run(ics, redshifts, progress))
        given = [ics]
        del ics
        streamed = check_fits(engine, given[0].n, redshifts, check_place(path))
        return list(run_into(path, engine, given.pop(), redshifts, progress, streamed=streamed))


def _folder(
    engines: Sequence[Engine], n: int, redshifts: Sequence[float], mesh: int | None, output: PathLike | None
) -> Path | None:
    """Where the snapshots are written, because they do not fit into memory; None where they do. `InputError` if none can."""
    from zeldo.mesh.checks import check_mesh
    from zeldo.statistics.comparison import PARTICLE_BYTES, POINT_BYTES
    from zeldo.statistics.on_disk import check_comparable

    mesh = check_mesh(2 * n if mesh is None else mesh)
    run = max((chosen_plan(engine, n, redshifts, None)[0].memory_gb for engine in engines), default=0.0)
    held = SNAPSHOT_BYTES * len(engines) * len(redshifts) * n**3
    needed = held + max(1e9 * run, PARTICLE_BYTES * n**3 + POINT_BYTES * mesh**3)
    if output is None:
        advice = (
            "give an output, a directory where they can be on disk, or a smaller n or mesh, or more memory"
        )
        check_room("the snapshots and their comparison need", needed, advice)
    if output is None or needed <= available():
        return None
    check_comparable(n, mesh, LIBRARY_BYTES)  # which the runs load: a refusal after them would come late
    for engine in engines:
        check_fits(engine, n, redshifts, Path(output) / "universe.zarr")
    return Path(output)


def _listed(given: Any) -> list[Any]:
    """What is given once or several times, as a list."""
    alone = isinstance(given, str | Snapshot) or not isinstance(given, Iterable)
    return [given] if alone else [*given]


def _make_engines(requested: Sequence[PathLike | Engine], **options: Any) -> list[Engine]:
    """The engines, each with those of the options that it has. An option that none of them has is refused."""
    engines = [parse_engine(spec, optional=True, **options) for spec in requested]
    from_names = [engine for engine, spec in zip(engines, requested, strict=True) if engine is not spec]
    for key, value in options.items():
        if value is not None and not any(key in engine.options() for engine in from_names):
            if not requested:
                raise InputError(f"{key} is an option of engines, and none was given: leave it out")
            parse_engine(requested[0], **{key: value})
    return engines


@dataclass(frozen=True)
class _Finished:
    """A finished run: what it is called, and its snapshots by redshift."""

    name: str
    snapshots: dict[float, Snapshot]

    def at(self, reference: Snapshot) -> Snapshot:
        """The one at the redshift of a reference; `InputError` where there is none, or its phases are others."""
        snapshot = snapshot_at(self.snapshots, reference.redshift, self.name)
        check_drawn(snapshot, reference, (f"{self.name} has", "the reference has"))
        return snapshot


def _finished(given: Sequence[PathLike | Snapshot], cosmology: Given) -> list[_Finished]:
    pairs = zip(names_of(given), given, strict=True)
    return [_Finished(name, snapshots_of(each, cosmology, "snapshot")[0]) for name, each in pairs]


def _compare_finished(
    given: Sequence[PathLike | Snapshot],
    reference: PathLike | Engine | Snapshot | None,
    redshift: float | Sequence[float] | None,
    mesh: int | None,
    output: PathLike | None,
    command: str,
    universe: dict[str, Any],
) -> CompareResult:
    """Compare finished runs alone, for which no initial conditions are needed."""
    from zeldo.statistics.comparison import PARTICLE_BYTES, POINT_BYTES, Reference

    if reference is None or isinstance(reference, Engine):
        raise InputError(
            "snapshots are compared with another one: give its file or a snapshot as the reference"
        )
    known = ("cosmology", *Cosmology.names())
    for name, value in universe.items():
        if is_asked(value) and name not in known:
            raise InputError(
                f"{name} is for runs of engines, and none was given: leave it out, or name an engine"
            )
    parameters = {name: universe.get(name) for name in Cosmology.names()}
    cosmology = with_parameters(universe.get("cosmology"), **parameters) or None
    truth, name = snapshots_of(reference, cosmology, "reference")
    finished = _finished(given, cosmology)
    if redshift is None:
        shared = [z for z in truth if all(nearest_redshift(one.snapshots, z) is not None for one in finished)]
        redshift = min(shared, default=default_redshift(truth))
    references = [snapshot_at(truth, z, "the reference") for z in redshift_list(redshift)]
    result = CompareResult(references=references)
    for at in references:
        if not isinstance(at, StoredSnapshot):
            needed = PARTICLE_BYTES * at.n**3 + POINT_BYTES * (mesh or 2 * at.n) ** 3
            check_room(
                "the comparison needs", needed, "give universes in .zarr, a smaller mesh, or more memory"
            )
        against = Reference(at, name, mesh)
        for one in finished:
            result.add(against, one.at(at), one.name)
    return _reported(result, output, command)


def _run_and_compare(
    finished: list[_Finished],
    engines: list[Engine],
    runs: _Runs,
    references: list[Snapshot],
    name: str,
    output: PathLike | None,
    command: str,
) -> CompareResult:
    from zeldo.statistics.comparison import Reference

    redshifts = [snapshot.redshift for snapshot in references]
    there = [[(one.at(reference), one.name) for one in finished] for reference in references]
    for engine in engines:
        warm_up(engine, runs.origin, redshifts)
    result = CompareResult(references=references)
    made = []
    for number, engine in enumerate(engines, 1):
        label = f"{number}-{engine.name}"
        path = runs.path(label)
        earlier = path is not None and is_universe(path)
        with runs.watch(engine.name) as progress, measured() as cost:
            snapshots = runs.run(engine, redshifts, label, progress)
        made.append((snapshots, None if earlier else cost))
    for reference, those in zip(references, there, strict=True):
        against = Reference(reference, name, runs.mesh)
        for snapshot, called in those:
            result.add(against, snapshot, called)
        for snapshots, taken in made:
            prediction = next(s for s in snapshots if s.redshift == reference.redshift)
            result.add(against, prediction, cost=taken)
    return _reported(result, output, command)


def _reported(result: CompareResult, output: PathLike | None, command: str) -> CompareResult:
    """The result, with its report where there is a place for one."""
    if output is not None:
        from zeldo.report.html import write_report

        first = result.references[0]
        result.page = write_report(
            result.comparisons,
            result.snapshots,
            result.references,
            output,
            title=f"{first.n}³ particles in {first.box:g} Mpc/h",
            command=command,
        )
    return result


def warm_up(engine: Engine, ics: InitialConditions | Origin, redshifts: Sequence[float] = (0.0,)) -> None:
    """Run an engine on a few particles, so that a timed run afterwards neither compiles nor imports anything.

    Parameters
    ----------
    engine : Engine
        The engine whose run will be timed.
    ics : InitialConditions or Origin
        The initial conditions of the timed run; the trial has their lattice spacing and cosmology.
    redshifts : sequence of float
        The redshifts of the trial's snapshots.
    """
    import numpy as np

    n = engine.least_n
    tiny = InitialConditions(ics.box / ics.n * n, n, ics.cosmology, np.zeros((n, n, n), np.float32))
    list(engine.for_trial().run(tiny, redshifts))


@contextmanager
def unwatched(title: str) -> Iterator[None]:
    """Watches no run: the progress callback of each is None."""
    yield None
