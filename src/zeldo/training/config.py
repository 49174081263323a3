"""The configuration of a training, as users write it in a TOML file.

Relative paths are relative to the directory in which the command runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from zeldo.configuration import Section
from zeldo.cosmology.parameters import RANGES
from zeldo.cosmology.redshifts import output_redshifts

if TYPE_CHECKING:
    from zeldo.networks.tasks.base import Task

SUFFIX = ".safetensors"  # of files of weights


class TaskConfig(Section):
    """The network's task, by its name. Every other key is an option of the task."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    name: str = "deoliveira2020"
    """The name of a task: deoliveira2020, jamieson2022, jamieson2024, correction, or one of your own."""

    @model_validator(mode="after")
    def _known(self) -> TaskConfig:
        self.make()
        return self

    def make(self) -> Task:
        """The task. Raises `InputError` for an unknown name or option."""
        from zeldo.networks.tasks import make_task

        return make_task(self.name, **(self.model_extra or {}))


class NetworkConfig(Section):
    name: str = "vnet"
    """The architecture: vnet, styled vnet, modulated vnet or modulated resnet."""
    channels: int = Field(default=64, ge=1, le=1024)
    """Channels of the hidden layers."""
    levels: int = Field(default=3, ge=2, le=8)
    """Resolutions, the finest included."""
    start_linear: bool = True
    """Start the last convolutions at zero, so that the network begins by returning its input."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        from zeldo.networks.architectures import architecture

        architecture(name)
        return name


class SnapshotPair(Section):
    """A target from a file, with its linear displacement from the seed in that file or from a second file."""

    path: Path
    """A snapshot: the target."""
    initial: Path | None = None
    """Initial conditions, which give the linear displacement: a linear field, or particles of any code."""
    linear: Path | None = None
    """A snapshot whose displacement is linear (Zel'dovich), at any redshift."""
    cosmology: str | dict[str, float] | None = None
    """The cosmology of files that do not say it: the name of a preset, or the parameters that they lack."""
    part: Literal["train", "validation"] = "train"
    """Whether to train or to validate on it."""


class DataConfig(Section):
    store: Path | None = None
    """A store of runs."""
    dataset: Path | None = None
    """The configuration of a data set. Runs that its store lacks are made, and all that it has are used."""
    background: bool = False
    """Make missing runs while training, once `start_with` of them exist."""
    start_with: int = Field(default=4, ge=1)
    """How many runs must exist before training begins, with `background`."""
    snapshots: tuple[SnapshotPair, ...] = ()
    """Targets from files, in place of a store."""
    redshifts: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    """Every run is a sample at each of these. `redshift` gives a single one."""
    crop: int = Field(default=0, ge=0)
    """Side of the crops in lattice points; 0 for whole periodic boxes."""
    samples_per_run: int = Field(default=1, ge=1)
    """Samples of a run at each redshift in an epoch."""
    samples_per_epoch: int = Field(default=0, ge=0)
    """Samples in an epoch; 0 for all runs at all redshifts."""
    augment: bool = True
    """Rotate, reflect and shift the samples at random."""
    runs: int = Field(default=0, ge=0)
    """Number of training runs to use; 0 for all."""
    validation_runs: int = Field(default=0, ge=0)
    """Number of validation runs to use; 0 for all."""
    cache_gb: float = Field(default=4.0, ge=0)
    """Memory for runs that were read, GB."""
    workers: int = Field(default=2, ge=1)
    """Threads that prepare samples."""

    @model_validator(mode="before")
    @classmethod
    def _one_redshift(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "redshift" not in values:
            return values
        if "redshifts" in values:
            raise ValueError("redshift and redshifts are one setting: leave out redshift")
        if isinstance(values["redshift"], bool) or not isinstance(values["redshift"], int | float):
            raise ValueError("redshift must be a number, 0 or more")
        values = dict(values)
        return values | {"redshifts": (values.pop("redshift"),)}

    _high_to_low = field_validator("redshifts")(output_redshifts)

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
    name: Literal["adam", "muon"] = "adam"
    """muon sets the singular values of each kernel's momentum to one, and uses Adam for biases and norms."""
    rate: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    """The highest learning rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's first and second moments."""
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Decoupled weight decay."""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """plateau lowers the rate when the validation loss stops falling; cosine follows a fixed curve."""
    factor: float = Field(default=0.5, gt=0, lt=1)
    """plateau: what the rate is multiplied by."""
    patience: int = Field(default=3, ge=0)
    """plateau: epochs without improvement that leave the rate as it is. It falls after one more."""
    warmup: float = Field(default=0.05, ge=0, le=0.9)
    """cosine: the share of all steps in which the rate rises; 0.3 is the one-cycle schedule."""
    final: float = Field(default=0.01, ge=0, le=1)
    """cosine: the last rate over the highest."""
    batch: int = Field(default=1, ge=1)
    """Samples in a batch, on each device."""
    accumulate: int = Field(default=1, ge=1)
    """Batches before a step."""
    clip: float = Field(default=0.0, ge=0)
    """The largest norm of the gradient; 0 for any."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the averaged weights, which are validated and written; 0 for none."""

    @field_validator("betas")
    @classmethod
    def _below_one(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError("give two numbers 0 or more, below 1")
        return betas


class TrainConfig(Section):
    """A training: task, network, data, optimizer, and the devices that it runs on."""

    output: Path
    """The directory for checkpoints, weights and TensorBoard."""
    name: str = "vnet"
    """The name of the file of weights."""
    task: TaskConfig = TaskConfig()
    """The network's task and its options."""
    network: NetworkConfig = NetworkConfig()
    """The architecture and its size."""
    start_from: Path | None = None
    """A file of weights to begin with. Blocks may be wider inside there. Layers of another name or size begin anew."""
    data: DataConfig
    """What to learn from."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How to learn."""
    epochs: int = Field(default=100, ge=1)
    """Number of epochs."""
    hours: float = Field(default=0.0, ge=0)
    """Time limit of one call, after which it stops and can be resumed; 0 for none."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of the weights, of the order of samples and of the augmentation."""
    precision: Literal["32-true", "bf16-mixed", "auto"] = "32-true"
    """auto takes bfloat16 where the hardware multiplies it."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """The kind of device."""
    devices: int | Literal["auto"] = "auto"
    """Number of devices; each has a process."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of each process; by default the cores are shared evenly."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Order of the arrays of convolutions; auto takes what is fast on the device."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Interval at which a checkpoint is written."""
    tensorboard: bool = True
    """Write logs for TensorBoard."""
    energy: bool = True
    """Measure energy where codecarbon is installed."""
    range_omega_m: tuple[float, float] | None = None
    """Range of Ω_m on the card; by default that of the training runs."""
    range_sigma_8: tuple[float, float] | None = None
    """Range of σ₈ on the card; by default that of the training runs."""
    range_omega_b: tuple[float, float] | None = None
    """Range of Ω_b on the card; by default that of the training runs if they vary it, or else any."""
    range_h: tuple[float, float] | None = None
    """Range of h on the card; by default that of the training runs if they vary it, or else any."""
    range_n_s: tuple[float, float] | None = None
    """Range of n_s on the card; by default that of the training runs if they vary it, or else any."""
    range_w0: tuple[float, float] | None = None
    """Range of w0 on the card; by default that of the training runs."""
    range_wa: tuple[float, float] | None = None
    """Range of wa on the card; by default that of the training runs."""
    notes: str = ""
    """A note for the card."""

    @model_validator(mode="before")
    @classmethod
    def _loss_of_the_task(cls, values: Any) -> Any:
        """Accept `loss_weight` at the top level, where it was before there were tasks."""
        if not isinstance(values, Mapping) or "loss_weight" not in values:
            return values
        values = dict(values)
        weight, task = values.pop("loss_weight"), values.get("task", {})
        if not isinstance(task, Mapping):
            return values  # which is refused for its task
        if "loss_weight" in task:
            raise ValueError("loss_weight and task.loss_weight are one setting: leave out the former")
        return values | {"task": {**task, "loss_weight": weight}}

    @field_validator("name")
    @classmethod
    def _of_a_file(cls, name: str) -> str:
        if not name or name.startswith(".") or "/" in name or "\\" in name or name.endswith(SUFFIX):
            raise ValueError(f"give a name without a directory and without {SUFFIX}, such as vnet")
        return name

    @field_validator(*(f"range_{name}" for name in RANGES))
    @classmethod
    def _lowest_first(
        cls, limits: tuple[float, float] | None, info: ValidationInfo
    ) -> tuple[float, float] | None:
        name = str(info.field_name).removeprefix("range_")
        bottom, top = RANGES[name]
        if limits is not None and not bottom <= limits[0] <= limits[1] <= top:
            raise ValueError(f"give the lowest and the highest {name}, from {bottom:g} to {top:g}")
        return limits
