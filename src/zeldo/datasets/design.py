"""The design of a data set: which universes are run, and which part each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.datasets.config import PARTS, DatasetConfig
from zeldo.errors import InputError
from zeldo.initial.conditions import check_grid
from zeldo.store.runs import RunStore

COLUMNS = Cosmology.required()


@dataclass(frozen=True)
class Run:
    """One universe to simulate: its name in the store, its part of the data set, and what it starts from."""

    run_id: str
    part: str
    cosmology: Cosmology
    seed: int


def make_design(config: DatasetConfig) -> list[Run]:
    """All runs of a data set: validation first, as a training waits for it, then training, then test.

    Raises `InputError` where two runs share a seed, or two parts a row of the hypercube: what a network is
    tested on must not be what it learned.
    """
    check_grid(config.box, config.n)
    table = None if config.latin_hypercube is None else read_hypercube(config.latin_hypercube)
    cosmology = config.parsed_cosmology() if table is None else None
    runs: list[Run] = []
    rows: dict[int, str] = {}
    for part in ("validation", "train", "test"):
        section = getattr(config, part)
        for i in range(section.runs):
            seed, row = section.first_seed + i, section.first_row + i
            if table is None:
                runs.append(Run(f"s{seed:08d}", part, cosmology, seed))  # type: ignore[arg-type]
                continue
            if row >= len(table):
                raise InputError(
                    f"{part}: row {row} is beyond {config.latin_hypercube}: rows are 0 to {len(table) - 1}"
                )
            if rows.setdefault(row, part) != part:
                raise InputError(
                    f"row {row} of the hypercube is in {rows[row]} and in {part}: change first_row of one"
                )
            runs.append(Run(f"s{seed:08d}", part, table[row], seed))
    _check_seeds(runs)
    return runs


def read_hypercube(path: Any) -> list[Cosmology]:
    """Cosmologies of a text file with the columns Omega_m, Omega_b, h, n_s, sigma_8."""
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise InputError(
            f"the hypercube {path} cannot be read: {reason}; set latin_hypercube to a text file with the columns "
            f"{', '.join(COLUMNS)}"
        ) from None
    if rows.shape[1] != len(COLUMNS):
        raise InputError(
            f"the hypercube {path} has {rows.shape[1]} columns: give {len(COLUMNS)}, {', '.join(COLUMNS)}"
        )
    return [Cosmology(**dict(zip(COLUMNS, map(float, row), strict=True))) for row in rows]


def unfinished(config: DatasetConfig, runs: list[Run], store: RunStore) -> list[Run]:
    """The runs that the store does not hold yet.

    Raises `InputError` where it holds one of that name made otherwise, or the seed in another part.
    """
    from zeldo.engines.registry import engine

    # the defaults too: they may have been others when the store was begun
    options = vars(engine(config.engine, **config.options))
    left = []
    for run in runs:
        if run.run_id not in store:
            left.append(run)
            continue
        row = store.row(run.run_id)
        there = {
            **row,
            "teacher": row.get("teacher", row["engine"]),
            **row["initial"].get("arguments", {}),
            **{f"{name}_step": step for name, step in row["steps"].items()},
            "velocity": store.has_velocity(run.run_id),
            **{f"option {name}": value for name, value in row["settings"].items()},
        }
        wanted = {
            "part": run.part,
            "cosmology": run.cosmology.to_dict(),
            "box": config.box,
            "n": config.n,
            "redshifts": list(config.redshifts),
            "teacher": config.engine,
            "fixed": config.fixed,
            "power": config.power,
            "psi_step": config.psi_step,
            "vel_step": config.vel_step,
            "velocity": config.velocity,
        }
        wanted |= {f"option {name}": value for name, value in options.items()}
        for name, value in wanted.items():
            if there.get(name, value) != value:
                raise InputError(
                    f"{store.path} holds run {run.run_id!r} with {name} = {there[name]}, the configuration says "
                    f"{value}: use another store or other seeds"
                )
    return left


def _check_seeds(runs: list[Run]) -> None:
    seen: dict[int, str] = {}
    for run in runs:
        if run.seed in seen:
            raise InputError(
                f"seed {run.seed} is in {seen[run.seed]} and in {run.part}: move first_seed of one of {PARTS}"
            )
        seen[run.seed] = run.part
