"""The batches of one epoch: which boxes, how turned and cut, by seed and position alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.training.config import TrainConfig
from zeldo.training.export import scale
from zeldo.training.pairs import Pairs
from zeldo.training.schedule import epoch_order

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Batches:
    """`make(i)` is batch number i of an epoch on this device; a step takes `accumulate` of them.

    steps: optimizer steps of the epoch. per_step: samples of a step on all devices. Raises `InputError` for an
    epoch shorter than a step.
    """

    def __init__(
        self,
        config: TrainConfig,
        fabric: Fabric,
        pairs: Pairs,
        names: Sequence[str],
        epoch: int,
        memory_format: torch.memory_format,
        halo: int,
    ) -> None:
        self.config, self.fabric, self.pairs, self.names = config, fabric, pairs, names
        self.epoch, self.format, self.halo = epoch, memory_format, halo
        self.scale = scale(config.data.redshift)
        option, data = config.optimizer, config.data
        self.per_step = option.batch * option.accumulate * fabric.world_size
        samples = data.samples_per_epoch or len(names) * data.samples_per_run
        self.steps = samples // self.per_step
        if not self.steps:
            raise InputError(
                f"an epoch of {samples} samples is shorter than a step of {self.per_step} (batch, accumulate "
                "and devices): make it longer by samples_per_run or samples_per_epoch"
            )
        self.order = epoch_order(len(names), self.steps * self.per_step, config.seed, epoch)

    def make(self, index: int) -> tuple[torch.Tensor, torch.Tensor, float]:
        """(input in units of `scale`, target in Mpc/h, lattice spacing in Mpc/h), on the device."""
        fabric, batch = self.fabric, self.config.optimizer.batch
        first = (index * fabric.world_size + fabric.global_rank) * batch
        xs, ys, spacing = [], [], 0.0
        for position in range(first, first + batch):
            name = self.names[self.order[position]]
            rng = np.random.default_rng([self.config.seed, self.epoch, position])
            x, y = self.pairs.sample(name, rng, self.halo)
            spacing = self.pairs.get(name).spacing
            xs.append(torch.from_numpy(x))
            ys.append(torch.from_numpy(y))
        given = (torch.stack(xs) / self.scale).contiguous(memory_format=self.format)
        target = torch.stack(ys)
        device = fabric.device
        if device.type == "cuda":
            given, target = given.pin_memory(), target.pin_memory()
        return given.to(device, non_blocking=True), target.to(device, non_blocking=True), spacing
