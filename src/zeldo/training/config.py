"""What a user writes in a TOML file to make a data set or to train, validated once, here.

Relative paths are taken from the directory the command runs in.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from zeldo.cosmology.parameters import PRESETS, RANGES, Cosmology
from zeldo.errors import InputError, nearest
from zeldo.training.store import PSI_STEP, VEL_STEP

PARTS = ("train", "validation", "test")


class Section(BaseModel):
    """A table of the file; a key that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(Section):
    """Runs of one part: seeds first_seed, first_seed + 1, ..., and rows of the hypercube alike."""

    runs: int = Field(ge=0)
    first_seed: int = Field(ge=0)
    first_row: int = Field(default=0, ge=0)


class DatasetConfig(Section):
    """A data set: a design of runs, the engine that makes them, and the store that keeps them."""

    store: Path
    box: float = 250.0  # Mpc/h
    n: int = 128
    redshifts: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    cosmology: str | dict[str, float] = "quijote"
    latin_hypercube: Path | None = None  # text file: Omega_m Omega_b h n_s sigma_8; replaces cosmology
    power: str = "camb"
    fixed: bool = False
    engine: str = "p3m"
    options: dict[str, Any] = {}
    train: Part
    validation: Part = Part(runs=0, first_seed=0)
    test: Part = Part(runs=0, first_seed=0)
    workers: int = Field(default=1, ge=1)
    threads: int | None = Field(default=None, ge=1)  # of each worker; None: the cores shared evenly
    psi_step: float = Field(default=PSI_STEP, ge=0)  # Mpc/h, 0: float32
    vel_step: float = Field(default=VEL_STEP, ge=0)  # km/s, 0: float32
    velocity: bool = True

    def parsed_cosmology(self) -> Cosmology:
        if isinstance(self.cosmology, str):
            return Cosmology.preset(self.cosmology)
        return cosmology_from(self.cosmology)

    @field_validator("redshifts")
    @classmethod
    def _high_to_low(cls, redshifts: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= z < math.inf for z in redshifts):
            raise ValueError("redshifts must be numbers, 0 or more")
        found = tuple(sorted(set(redshifts), reverse=True))
        for above, z in pairwise(found):
            if above - z <= 2e-4 * (1 + z):
                raise ValueError(f"{above!r} and {z!r} are one redshift: leave out one")
        return found


class NetworkConfig(Section):
    name: Literal["vnet"] = "vnet"
    channels: int = Field(default=64, ge=1)
    levels: int = Field(default=3, ge=2, le=8)
    start_linear: bool = True  # the last convolutions begin at zero: the network begins as linear theory


class SnapshotPair(Section):
    """A target from a file, and its linear displacement from the seed it names or from a second file."""

    path: Path
    initial: Path | None = None  # a file of initial conditions
    linear: Path | None = None  # a snapshot whose displacement is linear (Zel'dovich), at any redshift
    part: Literal["train", "validation"] = "train"


class DataConfig(Section):
    store: Path | None = None
    dataset: Path | None = None  # configuration of a data set to make where runs are missing
    background: bool = False  # make them while training, from `start_with` runs on
    start_with: int = Field(default=4, ge=1)
    snapshots: tuple[SnapshotPair, ...] = ()
    redshift: float = Field(default=0.0, ge=0)
    crop: int = Field(default=0, ge=0)  # side; 0: whole periodic boxes
    samples_per_run: int = Field(default=1, ge=1)  # in one epoch
    samples_per_epoch: int = Field(default=0, ge=0)  # 0: all runs
    augment: bool = True
    runs: int = Field(default=0, ge=0)  # of the training part; 0: all
    validation_runs: int = Field(default=0, ge=0)  # 0: all
    cache_gb: float = Field(default=4.0, ge=0)

    @model_validator(mode="after")
    def _some_source(self) -> DataConfig:
        if self.store is None and self.dataset is None and not self.snapshots:
            raise ValueError("give one of store, dataset or snapshots")
        if self.snapshots and (self.store or self.dataset):
            raise ValueError("give snapshots, or a store or dataset, not both")
        if self.background and not (self.dataset and self.samples_per_epoch):
            raise ValueError("background needs dataset, and samples_per_epoch as the number of runs grows")
        return self


class OptimizerConfig(Section):
    name: Literal["adam", "muon"] = "adam"  # muon: for kernels; Adam for biases and norms
    rate: float = Field(default=1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["plateau", "cosine"] = "plateau"
    factor: float = Field(default=0.5, gt=0, lt=1)  # plateau: what the rate is multiplied by
    patience: int = Field(default=3, ge=0)  # plateau: epochs without improvement before that
    warmup: float = Field(
        default=0.05, ge=0, le=0.9
    )  # cosine: share of all steps; 0.3 is the one-cycle schedule
    final: float = Field(default=0.01, ge=0, le=1)  # cosine: last rate over the highest
    batch: int = Field(default=1, ge=1)  # on each device
    accumulate: int = Field(default=1, ge=1)  # batches before a step
    clip: float = Field(default=0.0, ge=0)  # largest norm of the gradient, 0: any
    ema: float = Field(default=0.0, ge=0, lt=1)  # decay of averaged weights, 0: none


class TrainConfig(Section):
    """A training: the network, the data, the loss, the optimizer, and where it runs."""

    output: Path
    name: str = "vnet"
    network: NetworkConfig = NetworkConfig()
    data: DataConfig
    loss_weight: float = Field(default=3.0, ge=0)  # lambda of ln(L_delta L_psi^lambda)
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: int = Field(default=100, ge=1)
    hours: float = Field(default=0.0, ge=0)  # of this call; it stops and can be resumed; 0: no limit
    seed: int = Field(default=1, ge=0)
    precision: Literal["32-true", "bf16-mixed", "auto"] = "32-true"  # auto: bf16 where the hardware has it
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int | Literal["auto"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    tensorboard: bool = True
    energy: bool = True  # measured by codecarbon where it is installed
    range_omega_m: tuple[float, float] | None = None  # of the card; None: that of the training runs
    range_sigma_8: tuple[float, float] | None = None  # the same
    notes: str = ""  # for the card

    @field_validator("range_omega_m", "range_sigma_8")
    @classmethod
    def _lowest_first(
        cls, given: tuple[float, float] | None, info: ValidationInfo
    ) -> tuple[float, float] | None:
        name = str(info.field_name).removeprefix("range_")
        top = RANGES[name][1]
        if given is not None and not 0 < given[0] <= given[1] <= top:
            raise ValueError(f"give the lowest and the highest {name}, above 0 and up to {top:g}")
        return given


Config = TypeVar("Config", bound=Section)
Given = str | os.PathLike[str] | Mapping[str, Any] | Section


def load(given: Given, kind: type[Config], override: Mapping[str, Any] | None = None) -> Config:
    """A configuration from a TOML file, a mapping, or one that is ready.

    override: values that replace the file's, by dotted keys: `{"data.store": "other.zarr"}`. Raises
    `InputError` in one line, with the nearest key for an unknown one.
    """
    if isinstance(given, kind) and not override:
        return given
    where = "the configuration"
    if isinstance(given, Section):
        tree = given.model_dump(exclude_unset=True)
    elif isinstance(given, Mapping):
        tree = _copied(given)
    else:
        where = str(given)
        tree = _parsed(Path(given))
    for dotted, value in (override or {}).items():
        *parents, last = dotted.split(".")
        here = tree
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise InputError(
                    f"{dotted} cannot be set: {parent} = {here!r} is no table, set {parent} itself"
                )
        here[last] = value
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {_explained(error, kind)}") from None


def cosmology_from(values: Mapping[str, float]) -> Cosmology:
    try:
        return Cosmology(**values)
    except TypeError:
        allowed = list(Cosmology.__dataclass_fields__)
        wrong = sorted(set(values) - set(allowed))
        missing = [name for name in allowed[:5] if name not in values]
        what = f"has no parameter {wrong[0]!r}{nearest(wrong[0], allowed)}" if wrong else f"lacks {missing}"
        raise InputError(
            f"the cosmology {what}: give {', '.join(allowed[:5])}, or one of {', '.join(PRESETS)}"
        ) from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise InputError(f"there is no configuration file {path}: give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _copied(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _explained(error: ValidationError, kind: type[Section]) -> str:
    """One thing that is wrong, in one line: an unknown key before one that is missing, as it explains it."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        allowed = _keys(kind, path[:-1])
        table = f" in [{'.'.join(path[:-1])}]" if path[:-1] else ""
        known = ", ".join(allowed)
        return f"unknown key {path[-1]!r}{table}{nearest(path[-1], allowed)}; known are {known}"
    if first["type"] == "missing":
        return f"{name} is missing: it must be given"
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return message
    if isinstance(first["input"], Mapping):
        return f"[{name}]: {message}"
    return f"{name} = {first['input']!r} is not allowed: {message[:1].lower() + message[1:]}"


def _keys(kind: type[Section], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue
        kind = next(_sections(kind.model_fields[part].annotation))
    return list(kind.model_fields)


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
