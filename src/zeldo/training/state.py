"""Where a training stands, and what of it a checkpoint holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zeldo.errors import InputError
from zeldo.training.checkpoint import random_state, restore_random_state
from zeldo.training.config import TrainConfig

if TYPE_CHECKING:
    from zeldo.training.trainer import Trainer


@dataclass
class State:
    """Where a training stands; with the weights and the optimizer all that the next step depends on."""

    epoch: int = 0  # from 0; epochs that are done
    step: int = 0  # optimizer steps done in this epoch
    steps: int = 0  # optimizer steps done in all
    per_epoch: int = 0  # steps of an epoch, fixed when training starts
    samples: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = -1
    names: list[str] = field(default_factory=list)  # the pairs of this epoch
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    history: list[dict] = field(default_factory=list)  # one entry an epoch
    energy_kwh: float | None = None  # None: nobody measured
    metered: float = 0.0  # of the seconds, those in which energy was measured
    metered_from: float = 0.0

    def add_energy(self, watt_hours: float | None) -> None:
        """What was used since this was called last, or since the meter was started."""
        if watt_hours is not None:
            self.energy_kwh = (self.energy_kwh or 0.0) + watt_hours / 1000
            self.metered += self.seconds - self.metered_from
        self.metered_from = self.seconds

    def energy(self, source: str) -> dict[str, Any]:
        """For the card; nothing where nobody measured."""
        if self.energy_kwh is None:
            return {}
        return {
            "energy_kwh": round(self.energy_kwh, 6),
            "energy_hours": round(self.metered / 3600, 3),
            "energy_by": source,
        }


def contents(trainer: Trainer) -> dict[str, Any]:
    """All that the next step depends on."""
    return {
        "state": vars(trainer.state),
        "model": trainer.net.module.state_dict(),
        "average": trainer.average.state if trainer.average else {},
        "optimizer": trainer.optimizer.state_dict(),
        "plateau": trainer.plateau.state_dict(),
        "random": random_state(),
        "fixed": _fixed(trainer.config),
        "loss_weight": trainer.config.loss_weight,
    }


def put_back(trainer: Trainer, kept: dict[str, Any]) -> None:
    """Into a new trainer, what `contents` told of an old one. `InputError` where they do not fit."""
    for name, value in _fixed(trainer.config).items():
        if kept["fixed"].get(name) != value:
            raise InputError(
                f"{trainer.last} was trained with {name} = {kept['fixed'].get(name)!r}, the configuration "
                f"says {value!r}: set it back, or choose another output"
            )
    trainer.state = State(**kept["state"])
    trainer.net.module.load_state_dict(kept["model"])
    trainer.optimizer.load_state_dict(kept["optimizer"])
    trainer.plateau.load_state_dict(kept["plateau"])
    if trainer.average is not None and kept["average"]:
        trainer.average.state = {k: v.to(trainer.fabric.device) for k, v in kept["average"].items()}
    if kept.get("loss_weight", trainer.config.loss_weight) != trainer.config.loss_weight:
        # losses of another weight do not compare
        trainer.state.best = trainer.plateau.best = math.inf
    restore_random_state(kept["random"])


def _fixed(config: TrainConfig) -> dict[str, Any]:
    """What must stay the same when a training is resumed."""
    return {
        **{f"network.{name}": value for name, value in config.network.model_dump().items()},
        "data.redshift": config.data.redshift,
        "optimizer.name": config.optimizer.name,
        "optimizer.ema": config.optimizer.ema,
        "seed": config.seed,
    }
