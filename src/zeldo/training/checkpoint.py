"""Checkpoints of a training: everything that the next step depends on, in files that hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zeldo.errors import DamagedFileError, InputError
from zeldo.files.atomic import writing
from zeldo.particles.provenance import minor_version
from zeldo.version import __version__

if TYPE_CHECKING:
    from zeldo.networks.tasks.base import Task
    from zeldo.training.config import TrainConfig

FORMAT = "zeldo training 2"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, text, and lists or dicts of them. The file is complete or not there at all."""
    with writing(path) as partial, open(partial, "wb") as file:
        try:
            torch.save({"format": FORMAT, "version": __version__, **state}, file)
        except RuntimeError as error:
            # after a failed write torch closes its archive, and raises what that says in place of the system's error
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, on the CPU. No code is run, and anything else raises `DamagedFileError`."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedFileError(
            f"{path} is not a checkpoint of a training ({first}): remove it to start again"
        ) from None
    if isinstance(state, dict) and state.get("format") == "zeldo training 1":
        raise InputError(
            f"{path} was written by an earlier version of zeldo: finish with that one, or remove it to start again"
        )
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise DamagedFileError(f"{path} is not a checkpoint of a training: remove it to start again")
    version = str(state.get("version", ""))
    if minor_version(version) != minor_version(__version__):
        raise InputError(
            f"{path} was written by zeldo {version or 'of an unknown version'}, this is {__version__}: "
            "finish with that one, or remove it to start again"
        )
    return state


def last_checkpoint(config: TrainConfig) -> Path:
    """The file that a training of this configuration resumes from."""
    return config.output / "last.pt"


def best_checkpoint(config: TrainConfig) -> Path:
    """The file of the weights with the lowest validation loss."""
    return config.output / "best.pt"


def conditions_of_resuming(config: TrainConfig, task: Task) -> dict[str, Any]:
    """The settings that must not change when a training is resumed."""
    return {
        "task.name": task.name,
        **{f"task.{key}": value for key, value in task.options().items() if key not in task.loss_options},
        **{f"network.{name}": value for name, value in config.network.model_dump().items()},
        "data.redshifts": config.data.redshifts,
        "name": config.name,
        "optimizer.name": config.optimizer.name,
        "optimizer.ema": config.optimizer.ema,
        "seed": config.seed,
    }


def load_fitting_checkpoint(config: TrainConfig, task: Task) -> dict[str, Any]:
    """The state of the last checkpoint. `InputError` where it is of another network, or of data of another kind."""
    path = last_checkpoint(config)
    kept = load_checkpoint(path)
    if "fixed" not in kept:
        raise InputError(
            f"{path} holds weights alone, as best.pt does: remove it, and begin with the file of weights by start_from"
        )
    for name, value in conditions_of_resuming(config, task).items():
        if kept["fixed"].get(name, value) != value:
            raise InputError(
                f"{path} was trained with {name} = {kept['fixed'][name]!r}, the configuration "
                f"says {value!r}: set it back, or choose another output"
            )
    return kept


def random_state() -> dict[str, Any]:
    """The state of torch's generators. The order and augmentation of data depend on seed and position alone."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
