"""The design of a data set: which universes are run, and which part each belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count, cycle
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.datasets.config import PARTS, DatasetConfig, Part
from zeldo.datasets.cosmologies import draw_hypercube, read_hypercube
from zeldo.errors import InputError
from zeldo.files.white_noise import find_phases
from zeldo.particles.provenance import Provenance
from zeldo.store.identity import power_identity
from zeldo.store.runs import RunStore
from zeldo.universe import Universe


@dataclass(frozen=True)
class Run:
    """One universe to simulate, its name in the store, and its part of the data set."""

    run_id: str
    part: str
    universe: Universe


def make_design(config: DatasetConfig) -> list[Run]:
    """All runs of a data set: validation first, as a training waits for it, then training, then test.

    Parameters
    ----------
    config : DatasetConfig
        What the user wrote.

    Raises
    ------
    InputError
        Where two runs share a seed, or two parts a row of the hypercube: what a network is tested on must not be what it
        learned. Also for a universe that is not allowed.
    """
    rows: dict[int, str] = {}
    if find_phases(config.phases).cosmology is not None:
        raise InputError(
            f"phases = {config.phases!r} is one published simulation: give a generator, native or ngenic"
        )
    bases = [
        Universe.of(
            config.parsed_cosmology(),
            box=box,
            n=config.n,
            fixed=config.fixed,
            power=config.power,
            phases=config.phases,
        )
        for box in config.boxes
    ]
    table = None
    if config.latin_hypercube is not None:
        table = read_hypercube(config.latin_hypercube, bases[0].cosmology)
    runs = []
    for part in ("validation", "train", "test"):
        section = getattr(config, part)
        if table is not None:
            cosmologies = _rows(table, part, section, rows)
        elif config.cosmologies is not None:
            cosmologies = draw_hypercube(config.cosmologies, bases[0].cosmology, part, section.runs)
        else:
            cosmologies = section.runs * [bases[0].cosmology]
        for seed, cosmology, base in zip(count(section.first_seed), cosmologies, cycle(bases), strict=False):
            runs.append(Run(f"s{seed:08d}", part, replace(base, cosmology=cosmology, seed=seed)))
    _check_seeds(runs)
    return runs


def _rows(table: list[Cosmology], part: str, section: Part, taken: dict[int, str]) -> list[Cosmology]:
    """The rows of a part; `taken` says which part has a row."""
    wanted = range(section.first_row, section.first_row + section.runs)
    for row in wanted:
        if row >= len(table):
            raise InputError(f"{part}: row {row} is beyond the hypercube: rows are 0 to {len(table) - 1}")
        if taken.setdefault(row, part) != part:
            raise InputError(
                f"row {row} of the hypercube is in {taken[row]} and in {part}: change first_row of one"
            )
    return [table[row] for row in wanted]


def unfinished(config: DatasetConfig, runs: list[Run], store: RunStore) -> list[Run]:
    """The runs that the store does not hold yet.

    Raises `InputError` where it holds one of that name made otherwise, the seed in another part, or runs of another
    provenance.
    """
    from zeldo.engines.registry import engine

    teacher = engine(config.engine, **config.options)
    store.check_provenance(config.engine, Provenance.of(teacher))
    # the defaults too: they may have been others when the store was begun
    options = teacher.settings
    power = power_identity(config.power)
    left = []
    for run in runs:
        if run.run_id not in store:
            left.append(run)
            continue
        wanted = {
            "part": run.part,
            "cosmology": run.universe.cosmology.to_dict(),
            "box": run.universe.box,
            "n": run.universe.n,
            "redshifts": list(config.redshifts),
            "teacher": config.engine,
            "fixed": run.universe.fixed,
            # rows of older versions have the path as it was given, and nothing of what the table held
            "power": power if "power" in store.row(run.run_id) else run.universe.power,
            "phases": find_phases(config.phases, fixed=config.fixed).label,
            "psi_step": config.psi_step,
            "vel_step": config.vel_step,
            "velocity": config.velocity,
        }
        wanted |= {f"option {name}": value for name, value in options.items()}
        check_row(store, run.run_id, wanted, "use another store or other seeds")
    return left


def check_row(store: RunStore, run_id: str, wanted: Mapping[str, Any], remedy: str) -> None:
    """`InputError` where a run of the store was made otherwise than is wanted. What its row does not say may be anything."""
    row = store.row(run_id)
    there = {
        **row,
        "teacher": row.get("teacher", row["engine"]),
        "phases": "native",
        **row["initial"].get("arguments", {}),
        **({"power": row["power"]} if "power" in row else {}),
        **{f"{name}_step": step for name, step in row["steps"].items()},
        "velocity": store.has_velocity(run_id),
        **{f"option {name}": value for name, value in row["settings"].items()},
    }
    for name, value in wanted.items():
        if there.get(name, value) != value:
            raise InputError(
                f"{store.path} holds run {run_id!r} with {name} = {there[name]}, the configuration says {value}: {remedy}"
            )


def _check_seeds(runs: list[Run]) -> None:
    seen: dict[int | None, str] = {}
    for run in runs:
        seed = run.universe.seed
        if seed in seen:
            raise InputError(
                f"seed {seed} is in {seen[seed]} and in {run.part}: move first_seed of one of {', '.join(PARTS)}"
            )
        seen[seed] = run.part
