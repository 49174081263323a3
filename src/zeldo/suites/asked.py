"""What the arguments of a suite ask for, checked: its engine, its universes, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zeldo.api import check_output, universe_of
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import check_table
from zeldo.engines.base import Engine
from zeldo.engines.checks import redshift_list
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.files.registry import suffixes
from zeldo.keywords import PathLike
from zeldo.particles.provenance import Provenance
from zeldo.store.identity import power_identity
from zeldo.suites.arrays import NO_VELOCITIES, STATISTICS
from zeldo.suites.suite import FORMAT
from zeldo.suites.tasks import Task, make_tasks, parse_seeds, read_cosmologies
from zeldo.suites.worker import described
from zeldo.universe import Universe


@dataclass(frozen=True)
class Asked:
    """A suite that is asked for.

    Parameters
    ----------
    engine : Engine
    base : Universe
        With the arguments that all universes share.
    redshifts : list of float
    keep : str
        One of `STATISTICS`.
    seeds : list of int
    cosmologies : list of Cosmology
        Empty where all universes have that of `base`.
    pairs : list of int or None
        The seed of each cosmology, where the table has them.
    """

    engine: Engine
    base: Universe
    redshifts: list[float]
    keep: str
    seeds: list[int]
    cosmologies: list[Cosmology]
    pairs: list[int] | None

    @classmethod
    def of(
        cls,
        universe: Mapping[str, Any],
        *,
        output: PathLike | None,
        seeds: str | Iterable[int] | None,
        cosmologies: PathLike | Iterable[Cosmology | Mapping[str, float]] | None,
        keep: str,
        engine: PathLike | Engine,
        redshift: float | Sequence[float] | None,
        steps: int | None,
        mesh_factor: float | None,
        extrapolate: bool,
    ) -> Asked:
        """Of the arguments of `run_suite`. `InputError` for a value that is not allowed."""
        for name in ("seed", "ics"):
            if universe.get(name) is not None:
                raise InputError(f"a suite takes no {name}: give seeds, such as 0:10")
        check_output(output, "directory, such as suite")
        if output is not None and Path(output).suffix.lower() in suffixes():
            raise InputError(
                f"output {output} has the name of a file: a suite is a directory, give a name such as suite"
            )
        if keep not in tuple(STATISTICS):
            raise InputError(f"keep = {keep!r} is not allowed: choose {' or '.join(STATISTICS)}")
        parsed_engine = parse_engine(
            engine, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None
        )
        redshifts = parsed_engine.check(redshift_list(redshift))
        if getattr(parsed_engine, "checkpoint", None) is not None:
            raise InputError("the option checkpoint is chosen for each universe: leave it out")
        base = universe_of(universe).with_absolute_power()
        if not isinstance(base.phases, str):
            raise InputError(
                "a suite draws its phases from seeds: give the name of a generator, such as native"
            )
        chosen, pairs = read_cosmologies(cosmologies, base.cosmology)
        _check_shared(universe, base, chosen)
        if pairs is not None and seeds is not None:
            raise InputError("the table of cosmologies has seeds, so seeds cannot be given too")
        drawn = pairs or parse_seeds([base.seed] if seeds is None and base.seed is not None else seeds)
        # what its phases cannot have is refused here, not by each universe; those of a simulation have its cosmology alone
        other = next((cosmology for cosmology in chosen if cosmology != base.cosmology), base.cosmology)
        for seed in (min(drawn), max(drawn)):
            replace(base, seed=seed, cosmology=other)
        parsed_engine.check_lattice(base.n)
        check_table(chosen[0] if chosen else base.cosmology, base.power)
        asked = cls(parsed_engine, base, redshifts, keep, drawn, chosen, pairs)
        asked._check_universes()
        if "multipoles" in asked.statistics and parsed_engine.plan(base.n, redshifts).vectors < 2:
            raise InputError(NO_VELOCITIES.format(parsed_engine.name))
        return asked

    @property
    def statistics(self) -> tuple[str, ...]:
        """What is measured of each universe, and kept in place of its particles."""
        return STATISTICS[self.keep]

    @property
    def tasks(self) -> list[Task]:
        """All universes of the suite."""
        return make_tasks(self.seeds, self.cosmologies, self.pairs)

    def cosmology(self, task: Task) -> Cosmology:
        """That of a universe."""
        return task.cosmology or self.base.cosmology

    def arguments(self) -> dict[str, Any]:
        """What determines the universes, as in `suite.json`."""
        return {
            "format": FORMAT,
            **described(self.base),
            "power": power_identity(self.base.power),
            "seeds": [] if self.pairs else self.seeds,
            "cosmologies": [cosmology.to_dict() for cosmology in self.cosmologies],
            "seed_of_cosmology": self.pairs,
            "engine": self.engine.name,  # however it is spelled; its settings say the rest
            "settings": {name: _text(value) for name, value in self.engine.settings.items()},
            "redshifts": self.redshifts,
            "keep": self.keep,
            **vars(Provenance.of(self.engine)),
        }

    def _check_universes(self) -> None:
        """`InputError` where the engine may not be used for some of the universes."""
        tasks, problems = self.tasks, dict[Cosmology, str | None]()
        for cosmology in {self.cosmology(task): None for task in tasks}:
            try:
                self.engine.check_universe(cosmology, self.base.spacing, self.redshifts)
                problems[cosmology] = None
            except InputError as error:
                problems[cosmology] = str(error)
        outside = [task for task in tasks if problems[self.cosmology(task)] is not None]
        if outside:
            raise InputError(
                f"{len(outside)} of {len(tasks)} universes cannot be made, the first is {outside[0].name}: "
                f"{problems[self.cosmology(outside[0])]}"
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


def _text(value: object) -> str:
    """An option's value as text, the same for 2 and 2.0."""
    return f"{value:.17g}" if isinstance(value, float) and value.is_integer() else str(value)
