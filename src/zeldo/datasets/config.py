"""What a user writes in a TOML file to make a data set.

Relative paths are taken from the directory the command runs in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from zeldo.configuration import Section
from zeldo.cosmology.parameters import RANGES, Cosmology
from zeldo.cosmology.redshifts import output_redshifts
from zeldo.errors import nearest
from zeldo.store.runs import PSI_STEP, VEL_STEP

PARTS = ("train", "validation", "test")


class Part(Section):
    """Runs of one part: seeds first_seed, first_seed + 1, ..., and rows of the hypercube alike."""

    runs: int = Field(ge=0)
    """Number of runs."""
    first_seed: int = Field(ge=0)
    """Seed of the first run; the others follow."""
    first_row: int = Field(default=0, ge=0)
    """Row of the hypercube of the first run."""
    finished: tuple[str, ...] = ()
    """Patterns of directories with finished runs of other codes, which `zeldo export-ics` has made."""


class Cosmologies(Section):
    """A Latin hypercube for each part: the range of each parameter that varies, drawn from one seed."""

    seed: int = Field(ge=0)
    """Seed of the hypercube."""
    ranges: dict[str, tuple[float, float]] = Field(min_length=1)
    """The lowest and highest value of each parameter that varies."""

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
    """The store that keeps the runs."""
    box: float | tuple[float, ...] = 250.0
    """Side of the box, Mpc/h. Several are for the runs of each part in turn."""
    n: int = 128
    """Particles per side."""
    redshifts: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    """Redshifts of the snapshots."""
    cosmology: str | dict[str, float] = "quijote"
    """The name of a preset, or a table of parameters."""
    latin_hypercube: Path | None = None
    """Cosmologies from "quijote", or from a table: columns of text or CSV, below their names."""
    cosmologies: Cosmologies | None = None
    """Cosmologies from a hypercube drawn here. What does not vary is that of `cosmology`."""
    power: str = "camb"
    """Linear power: camb, eisenstein-hu, or a file."""
    fixed: bool = False
    """Set the amplitude of every mode to its expected value."""
    phases: str = "native"
    """The generator of phases, such as native or ngenic, seeded by each run's seed."""
    engine: str = "p3m"
    """The engine that makes the runs."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its options."""
    train: Part
    """The runs to train on."""
    validation: Part = Part(runs=0, first_seed=0)
    """The runs to validate on."""
    test: Part = Part(runs=0, first_seed=0)
    """Runs that training does not see."""
    workers: int = Field(default=1, ge=1)
    """Runs that are made at the same time."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of each worker; by default the cores are shared evenly."""
    psi_step: float = Field(default=PSI_STEP, ge=0, le=1)
    """Displacements are stored as whole steps of this, Mpc/h; 0 for float32."""
    vel_step: float = Field(default=VEL_STEP, ge=0, le=100)
    """Velocities are stored as whole steps of this, km/s; 0 for float32."""
    velocity: bool = True
    """Whether to store velocities."""

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

    _high_to_low = field_validator("redshifts")(output_redshifts)
