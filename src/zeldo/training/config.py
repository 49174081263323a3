"""The configuration of a training, as users write it in a TOML file.

Relative paths are relative to the directory in which the command runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from zeldo.configuration import Section
from zeldo.cosmology.parameters import RANGES

if TYPE_CHECKING:
    from zeldo.networks.tasks.base import Task


class TaskConfig(Section):
    """The network's task, by its name. Every other key is an option of the task."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "deoliveira2020"

    @model_validator(mode="after")
    def _known(self) -> TaskConfig:
        self.make()
        return self

    def make(self) -> Task:
        """The task. Raises `InputError` for an unknown name or option."""
        from zeldo.networks.tasks import make_task

        return make_task(self.name, **(self.model_extra or {}))


class NetworkConfig(Section):
    name: str = "vnet"  # an architecture
    channels: int = Field(default=64, ge=1)
    levels: int = Field(default=3, ge=2, le=8)
    start_linear: bool = (
        True  # the last convolutions begin at zero: the network begins by returning its input
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        from zeldo.networks.architectures import architecture

        architecture(name)
        return name


class SnapshotPair(Section):
    """A target from a file, with its linear displacement from the seed in that file or from a second file."""

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
    redshifts: tuple[float, ...] = Field(
        default=(0.0,), min_length=1
    )  # every run is a sample at each of them
    crop: int = Field(default=0, ge=0)  # side; 0: whole periodic boxes
    samples_per_run: int = Field(default=1, ge=1)  # in one epoch, at each redshift
    samples_per_epoch: int = Field(default=0, ge=0)  # 0: all runs at all redshifts
    augment: bool = True
    runs: int = Field(default=0, ge=0)  # of the training part; 0: all
    validation_runs: int = Field(default=0, ge=0)  # 0: all
    cache_gb: float = Field(default=4.0, ge=0)
    workers: int = Field(default=2, ge=1)  # threads that prepare samples

    @model_validator(mode="before")
    @classmethod
    def _one_redshift(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "redshift" not in values:
            return values
        if "redshifts" in values:
            raise ValueError("redshift and redshifts are one setting: leave out redshift")
        values = dict(values)
        return values | {"redshifts": (values.pop("redshift"),)}

    @field_validator("redshifts")
    @classmethod
    def _high_to_low(cls, redshifts: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= z < math.inf for z in redshifts):
            raise ValueError("redshifts must be numbers, 0 or more")
        return tuple(sorted(set(redshifts), reverse=True))

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
    """A training: task, network, data, optimizer, and the devices that it runs on."""

    output: Path
    name: str = "vnet"
    task: TaskConfig = TaskConfig()
    network: NetworkConfig = NetworkConfig()
    data: DataConfig
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

    @model_validator(mode="before")
    @classmethod
    def _loss_of_the_task(cls, values: Any) -> Any:
        """Accept `loss_weight` at the top level, where it was before there were tasks."""
        if not isinstance(values, Mapping) or "loss_weight" not in values:
            return values
        values = dict(values)
        task = dict(values.get("task", {}))
        if "loss_weight" in task:
            raise ValueError("loss_weight and task.loss_weight are one setting: leave out the former")
        return values | {"task": task | {"loss_weight": values.pop("loss_weight")}}

    @field_validator("range_omega_m", "range_sigma_8")
    @classmethod
    def _lowest_first(
        cls, limits: tuple[float, float] | None, info: ValidationInfo
    ) -> tuple[float, float] | None:
        name = str(info.field_name).removeprefix("range_")
        top = RANGES[name][1]
        if limits is not None and not 0 < limits[0] <= limits[1] <= top:
            raise ValueError(f"give the lowest and the highest {name}, above 0 and up to {top:g}")
        return limits
