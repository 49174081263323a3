"""The batches of an epoch: which boxes, with which rotation and crop, as a function of seed and position alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.networks.tasks.base import Batch
from zeldo.training.config import TrainConfig
from zeldo.training.sample import collate
from zeldo.training.samples import Key, Samples

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Batches:
    """The batches of one epoch on one device; an optimizer step takes `accumulate` of them.

    Attributes
    ----------
    steps : int
        Optimizer steps of the epoch.
    per_step : int
        Samples of a step on all devices.

    Raises
    ------
    InputError
        For an epoch shorter than a step.
    """

    def __init__(
        self,
        config: TrainConfig,
        fabric: Fabric,
        samples: Samples,
        keys: Sequence[Key],
        epoch: int,
        memory_format: torch.memory_format,
        halo: int,
    ) -> None:
        self.config, self.fabric, self.samples, self.keys = config, fabric, samples, keys
        self.epoch, self.format, self.halo = epoch, memory_format, halo
        option, data = config.optimizer, config.data
        self.per_step = option.batch * option.accumulate * fabric.world_size
        count = data.samples_per_epoch or len(keys) * data.samples_per_run
        self.steps = count // self.per_step
        if not self.steps:
            raise InputError(
                f"an epoch of {count} samples is shorter than a step of {self.per_step} (batch, accumulate "
                "and devices): make it longer by samples_per_run or samples_per_epoch"
            )
        self.order = epoch_order(len(keys), self.steps * self.per_step, config.seed, epoch)

    def make(self, index: int) -> Batch:
        """Batch number `index` of the epoch, on the device."""
        fabric, batch = self.fabric, self.config.optimizer.batch
        first = (index * fabric.world_size + fabric.global_rank) * batch
        drawn = []
        for position in range(first, first + batch):
            rng = np.random.default_rng([self.config.seed, self.epoch, position])
            drawn.append(self.samples.draw(self.keys[self.order[position]], rng, self.halo, fabric.device))
        return collate(drawn, fabric.device, periodic=not self.config.data.crop, memory_format=self.format)


def epoch_order(pairs: int, samples: int, seed: int, epoch: int) -> np.ndarray:
    """The pair of each sample of an epoch: shuffled, and each pair as often as any other.

    Where an epoch is shorter than the number of pairs, the next one continues where it ended.

    Parameters
    ----------
    pairs : int
        Number of pairs of input and target.
    samples : int
        Number of samples in the epoch.
    seed, epoch : int

    Returns
    -------
    ndarray of int, (samples,)
    """
    first = epoch * samples
    rounds = range(first // pairs, (first + samples - 1) // pairs + 1)
    shuffled = np.concatenate([np.random.default_rng([seed, 0x0DE5, r]).permutation(pairs) for r in rounds])
    start = first - rounds[0] * pairs
    return shuffled[start : start + samples]
