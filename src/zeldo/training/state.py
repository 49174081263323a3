"""The progress of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class State:
    """The progress of a training. With weights and optimizers, it is all that the next step depends on."""

    epoch: int = 0  # from 0; epochs that are done
    step: int = 0  # optimizer steps done in this epoch
    steps: int = 0  # optimizer steps done in all
    samples: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = -1
    keys: list[tuple[str, float]] = field(default_factory=list)  # the samples of this epoch
    sums: dict[str, float] = field(default_factory=dict)  # of losses and their parts, over the epoch's steps
    history: list[dict] = field(default_factory=list)  # one entry an epoch
    energy_kwh: float | None = None  # None: not measured
    metered: float = 0.0  # seconds during which energy was measured
    metered_from: float = 0.0
    start_from: str | None = None  # sha256 of the weights that it began with

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> State:
        """That of a checkpoint, whose further entries are of an earlier version."""
        names = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in kept.items() if name in names})

    def add_energy(self, watt_hours: float | None) -> None:
        """Add the energy used since the last call, or since the meter was started."""
        if watt_hours is not None:
            self.energy_kwh = (self.energy_kwh or 0.0) + watt_hours / 1000
            self.metered += self.seconds - self.metered_from
        self.metered_from = self.seconds

    def energy(self, source: str) -> dict[str, Any]:
        """The energy entries of the model card; empty where nothing was measured."""
        if self.energy_kwh is None:
            return {}
        return {
            "energy_kwh": round(self.energy_kwh, 6),
            "energy_hours": round(self.metered / 3600, 3),
            "energy_by": source,
        }
