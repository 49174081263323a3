"""What a user writes in a TOML file to make a data set.

Relative paths are taken from the directory the command runs in.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from zeldo.configuration import Section
from zeldo.cosmology.parameters import RANGES, Cosmology
from zeldo.cosmology.redshifts import distinct_redshifts
from zeldo.errors import nearest
from zeldo.store.runs import PSI_STEP, VEL_STEP

PARTS = ("train", "validation", "test")


class Part(Section):
    """Runs of one part: seeds first_seed, first_seed + 1, ..., and rows of the hypercube alike.

    finished: patterns of directories with finished runs of other codes, which `zeldo export-ics` has made.
    """

    runs: int = Field(ge=0)
    first_seed: int = Field(ge=0)
    first_row: int = Field(default=0, ge=0)
    finished: tuple[str, ...] = ()


class Cosmologies(Section):
    """A Latin hypercube for each part: the range of each parameter that varies, drawn from one seed."""

    seed: int = Field(ge=0)
    ranges: dict[str, tuple[float, float]] = Field(min_length=1)

    @field_validator("ranges")
    @classmethod
    def _known(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in ranges.items():
            if name not in RANGES:
                raise ValueError(f"a cosmology has no {name!r}{nearest(name, RANGES)}")
            least, most = RANGES[name]
            if not least <= low < high <= most:
                raise ValueError(f"{name} must rise between {least:g} and {most:g}")
        return ranges


class DatasetConfig(Section):
    """A data set: a design of runs, the engine that makes them, and the store that keeps them."""

    store: Path
    box: float | tuple[float, ...] = 250.0  # Mpc/h; several are for the runs of each part in turn
    n: int = 128
    redshifts: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    cosmology: str | dict[str, float] = "quijote"
    latin_hypercube: Path | None = (
        None  # "quijote", or a text file: omega_m omega_b h n_s sigma_8 [w0 wa]; replaces cosmology
    )
    cosmologies: Cosmologies | None = None  # drawn here; what does not vary is of cosmology
    power: str = "camb"
    fixed: bool = False
    phases: str = "native"  # a generator such as "ngenic", seeded by each run's seed
    engine: str = "p3m"
    options: dict[str, Any] = Field(default_factory=dict)
    train: Part
    validation: Part = Part(runs=0, first_seed=0)
    test: Part = Part(runs=0, first_seed=0)
    workers: int = Field(default=1, ge=1)
    threads: int | None = Field(default=None, ge=1)  # of each worker; None: the cores shared evenly
    psi_step: float = Field(default=PSI_STEP, ge=0)  # Mpc/h, 0: float32
    vel_step: float = Field(default=VEL_STEP, ge=0)  # km/s, 0: float32
    velocity: bool = True

    @property
    def varies(self) -> bool:
        """Whether each run has a cosmology of its own."""
        return self.latin_hypercube is not None or self.cosmologies is not None

    @property
    def boxes(self) -> tuple[float, ...]:
        """Sides of the boxes, for the runs of each part in turn."""
        return self.box if isinstance(self.box, tuple) else (self.box,)

    @field_validator("box")
    @classmethod
    def _some_box(cls, box: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if box == ():
            raise ValueError("give the side of the box in Mpc/h, or several")
        return box

    @model_validator(mode="after")
    def _from_one_source(self) -> DatasetConfig:
        if self.latin_hypercube is not None and self.cosmologies is not None:
            raise ValueError("latin_hypercube and [cosmologies] both give the cosmologies: leave out one")
        return self

    def parsed_cosmology(self) -> Cosmology:
        if isinstance(self.cosmology, str):
            return Cosmology.preset(self.cosmology)
        return Cosmology.from_mapping(self.cosmology)

    @field_validator("redshifts")
    @classmethod
    def _high_to_low(cls, redshifts: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= z < math.inf for z in redshifts):
            raise ValueError("redshifts must be numbers, 0 or more")
        return tuple(distinct_redshifts(redshifts))
