"""Make the universes of a suite: in this process, in any others that join it, or on a cluster of dask."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zeldo.api import check_output, initial_conditions, universe_of
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import MODELS, linear_power
from zeldo.engines.base import Engine, Progress
from zeldo.engines.checks import redshift_list
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError, ZeldoWarning
from zeldo.files.registry import suffixes
from zeldo.keywords import checked_keywords
from zeldo.measuring.memory import limited
from zeldo.particles.provenance import Provenance
from zeldo.planning import check_fits
from zeldo.store.claims import LEASE, check_lease
from zeldo.store.identity import PROVENANCE, power_identity
from zeldo.store.queue import FAILED, in_turn
from zeldo.suites.arrays import KEEP
from zeldo.suites.cluster import attempt, by_workers, connected
from zeldo.suites.suite import FORMAT, Suite
from zeldo.suites.tasks import PathLike, Task, make_tasks, parse_seeds, read_cosmologies
from zeldo.suites.worker import Worker, described
from zeldo.universe import Universe

MANIFEST_EVERY = 30.0  # seconds


@checked_keywords(initial_conditions)
def run_suite(
    *,
    output: PathLike,
    seeds: str | Iterable[int] | None = None,
    cosmologies: PathLike | Iterable[Cosmology | Mapping[str, float]] | None = None,
    keep: str = "particles",
    engine: PathLike | Engine = "emulator",
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    memory: str | float | None = None,
    scheduler: str | Any | None = None,
    lease: float = LEASE,
    progress: Progress | None = None,
    **universe: Any,
) -> Suite:
    """Make many universes: every cosmology with every seed.

    The same call in any number of processes that share the directory divides the work. Called again after a kill it makes
    what is missing, and what failed.

    Parameters
    ----------
    output : path
        The directory of the suite, a new one or one of the same arguments.
    seeds : str or iterable of int, optional
        "0:1000", which leaves out 1000, "1,5,9", or whole numbers; where absent, that of `universe`, or 7.
    cosmologies : path or iterable, optional
        A CSV file with a column for each parameter that varies, or `Cosmology` objects. A column `seed` gives each
        cosmology a seed of its own.
    keep : {"particles", "measure", "multipoles"}
        What is kept of each universe: its particles, P(k) alone, or P(k) and the multipoles in redshift space along z. Both
        are measured up to the lattice's Nyquist wavenumber; see `Suite.arrays`.
    engine, redshift, steps, mesh_factor, extrapolate, memory
        As in `run`.
    scheduler : str or distributed.Client, optional
        Address of a scheduler of dask.distributed, whose workers make the universes.
    lease : float
        Seconds without a sign of life after which the universe of a process on another machine is taken over.
    progress : callable, optional
        Called with universes done, their number, and a text.
    **universe
        The arguments of `initial_conditions` that all universes share.

    Returns
    -------
    Suite
        Its `rows` are those of manifest.csv; `failed` says what went wrong.

    Raises
    ------
    InputError
        For a value that is not allowed, and for a directory of other arguments.
    ZeldoError
        For a full disk. The same call goes on afterwards.
    """
    for name in ("seed", "ics"):
        if universe.get(name) is not None:
            raise InputError(f"a suite takes no {name}: give seeds, such as 0:10")
    check_output(output, "directory, such as suite", optional=False)
    if Path(output).suffix.lower() in suffixes():
        raise InputError(
            f"output {output} has the name of a file: a suite is a directory, give a name such as suite"
        )
    if keep not in KEEP:
        raise InputError(f"keep = {keep!r} is not allowed: choose {' or '.join(KEEP)}")
    lease = check_lease(lease)
    parsed_engine = parse_engine(
        engine, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None
    )
    redshifts = parsed_engine.check(redshift_list(redshift))
    if getattr(parsed_engine, "checkpoint", None) is not None:
        raise InputError("the option checkpoint is chosen for each universe: leave it out")
    base = universe_of(universe).with_absolute_power()
    if not isinstance(base.phases, str):
        raise InputError("a suite draws its phases from seeds: give the name of a generator, such as native")
    chosen, pairs = read_cosmologies(cosmologies, base.cosmology)
    _check_shared(universe, base, chosen)
    if pairs is not None and seeds is not None:
        raise InputError("the table of cosmologies has seeds, so seeds cannot be given too")
    drawn = pairs or parse_seeds([base.seed] if seeds is None and base.seed is not None else seeds)
    for seed in (min(drawn), max(drawn)):  # what its phases cannot have is refused here, not by each universe
        replace(base, seed=seed, cosmology=chosen[0] if chosen else base.cosmology)
    arguments = {
        "format": FORMAT,
        **described(base),
        "power": power_identity(base.power),
        "seeds": [] if pairs else drawn,
        "cosmologies": [cosmology.to_dict() for cosmology in chosen],
        "seed_of_cosmology": pairs,
        "engine": parsed_engine.name,  # however it is spelled; its settings say the rest
        "settings": {name: _text(value) for name, value in parsed_engine.settings.items()},
        "redshifts": redshifts,
        "keep": keep,
        **{name: getattr(Provenance.of(parsed_engine), name) for name in PROVENANCE},
    }
    parsed_engine.check_lattice(base.n)
    if base.power not in MODELS:
        linear_power(chosen[0] if chosen else base.cosmology, base.power)  # a table that will not do
    _check_universes(parsed_engine, base, make_tasks(drawn, chosen, pairs), redshifts)
    with limited(memory):
        check_fits(parsed_engine, base.n, redshifts, may_stream=False)
        # where no scheduler answers, no directory is begun
        with nullcontext() if scheduler is None else connected(scheduler) as client:
            suite = Suite.join(output, arguments)
            _warn_of_missing(suite)
            worker = Worker(suite, parsed_engine, base, lease, memory)
            try:
                _follow(suite, _outcomes(worker, client), progress)
            finally:
                suite.write_manifest()
            suite.tidy()
    return suite


def _warn_of_missing(suite: Suite) -> None:
    """Warn of universes that are made, and whose files somebody has removed."""
    missing = sorted(suite.done() - {path.name for path in (suite.path / "universes").iterdir()})
    if missing:
        warnings.warn(
            f"{suite.path}: the files of {len(missing)} universes are gone, of {missing[0]} first: remove "
            f"{suite.path / 'rows' / missing[0]}.json and so on to make them again",
            ZeldoWarning,
            stacklevel=3,
        )


def _check_shared(universe: Mapping[str, Any], base: Universe, chosen: Sequence[Cosmology]) -> None:
    """`InputError` for a parameter that is given for all universes and that the table of cosmologies replaces."""
    for name in Cosmology.names():
        if universe.get(name) is not None and any(
            getattr(cosmology, name) != getattr(base.cosmology, name) for cosmology in chosen
        ):
            raise InputError(
                f"the cosmologies have {name} too: leave out the {name} = {universe[name]} for all of them"
            )


def _check_universes(
    engine: Engine, base: Universe, tasks: Sequence[Task], redshifts: Sequence[float]
) -> None:
    """`InputError` where the engine may not be used for some of the universes."""
    problems: dict[Cosmology, str | None] = {}
    for cosmology in {task.cosmology or base.cosmology: None for task in tasks}:
        try:
            engine.check_universe(cosmology, base.box / base.n, redshifts)
            problems[cosmology] = None
        except InputError as error:
            problems[cosmology] = str(error)
    outside = [task for task in tasks if problems[task.cosmology or base.cosmology] is not None]
    if outside:
        raise InputError(
            f"{len(outside)} of {len(tasks)} universes cannot be made, the first is {outside[0].name}: "
            f"{problems[outside[0].cosmology or base.cosmology]}"
        )


def _text(value: object) -> str:
    """An option's value as text, the same for 2 and 2.0."""
    return f"{value:.17g}" if isinstance(value, float) and value.is_integer() else str(value)


def _outcomes(worker: Worker, client: Any | None) -> Iterator[tuple[Task, str]]:
    """Makes what is missing as it is asked for the outcomes: here, or on a cluster."""
    done = worker.suite.done()
    left = [task for task in worker.suite.tasks if task.name not in done]
    if client is None:
        return in_turn(left, worker.attempt, worker.claims)
    return by_workers(left, partial(attempt, pickle.dumps(worker.parts())), client)


def _follow(suite: Suite, outcomes: Iterator[tuple[Task, str]], progress: Progress | None) -> None:
    """Report the outcomes, and write the manifest now and then."""
    total, ready, failed = len(suite.tasks), len(suite.done()), 0
    written = time.monotonic()
    for _, outcome in outcomes:
        ready, failed = ready + 1, failed + (outcome == FAILED)
        if progress is not None:
            progress(ready, total, f"{ready} of {total} universes, {failed} failed")
        if time.monotonic() - written > MANIFEST_EVERY:
            suite.write_manifest()
            written = time.monotonic()
