"""The modules that are trained, each with its optimizers, the schedule of their rates, and the average of its weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from zeldo.errors import InputError
from zeldo.networks.architectures import architecture
from zeldo.networks.tasks.base import Task
from zeldo.networks.vnet import LayeredNet
from zeldo.training.config import NetworkConfig, OptimizerConfig, TrainConfig
from zeldo.training.muon import Muon, split

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Player:
    """A module that is trained. A network and a discriminator are two of them, which take turns in every step."""

    def __init__(self, fabric: Fabric, module: torch.nn.Module, option: OptimizerConfig) -> None:
        self.option = option
        self.net, *optimizers = fabric.setup(module, *make_optimizers(module, option))
        self.optimizers: list[Any] = optimizers
        self.plateaus = [
            ReduceLROnPlateau(
                optimizer,
                factor=option.factor,
                patience=option.patience,
                threshold=1e-4,
                threshold_mode="abs",
            )
            for optimizer in self.optimizers
        ]
        self.schedules: list[LambdaLR] = []

    def schedule(self, steps: int, total: int) -> None:
        """Let the rate follow the configuration's schedule from step number `steps` on, of `total` steps."""
        if self.option.schedule != "cosine":
            return

        def factor(step: int) -> float:
            return cosine(step / total, self.option.warmup, self.option.final)

        for optimizer in self.optimizers:
            for group in optimizer.param_groups:  # the rate may have changed before a resume
                group["lr"] = group["initial_lr"] = self.option.rate
        self.schedules = [LambdaLR(optimizer, factor, last_epoch=steps - 1) for optimizer in self.optimizers]

    def step(self) -> None:
        """A step of every optimizer with the current gradients, then of the schedule."""
        if self.option.clip:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.option.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        for schedule in self.schedules:
            schedule.step()

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def judged(self, loss: float) -> None:
        """Give the schedule the validation loss after an epoch."""
        if self.option.schedule == "plateau":
            for plateau in self.plateaus:
                plateau.step(loss)

    def judge_anew(self) -> None:
        """Forget the lowest validation loss, since values of different losses do not compare."""
        for plateau in self.plateaus:
            plateau.best = math.inf

    @property
    def rate(self) -> float:
        return float(self.optimizers[0].param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.net.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "plateaus": [plateau.state_dict() for plateau in self.plateaus],
            "rate": self.option.rate,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, with the settings of this configuration, which may be others."""
        self.net.module.load_state_dict(state["model"])
        begun = state.get("rate", self.option.rate)  # earlier versions do not say it
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            settings = [{**group} for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, own in zip(optimizer.param_groups, settings, strict=True):
                rate = group["lr"]
                group.update({name: value for name, value in own.items() if name != "params"})
                # a plateau may have lowered it
                group["lr"] = rate if begun == self.option.rate else self.option.rate * (rate / begun)
        for plateau, saved in zip(self.plateaus, state["plateaus"], strict=True):
            plateau.load_state_dict(saved)
            plateau.factor, plateau.patience = self.option.factor, self.option.patience


def cosine(share: float, warmup: float, final: float) -> float:
    """The learning rate over its maximum at a share (0 to 1) of the training: it rises linearly and falls as a cosine."""
    if share < warmup:
        return max(share / warmup, 0.01)
    along = min((share - warmup) / (1 - warmup), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * along))


def make_optimizers(module: torch.nn.Module, option: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Adam for all parameters, or Muon for kernels between hidden channels and Adam for the rest."""
    decay = option.weight_decay
    if option.name == "adam":
        return [
            torch.optim.AdamW(module.parameters(), option.rate, option.betas, weight_decay=decay, fused=True)
        ]
    kernels, others = split(module)
    optimizers: list[torch.optim.Optimizer] = []
    if kernels:
        optimizers.append(Muon(kernels, option.rate, weight_decay=decay))
    if others:
        optimizers.append(
            torch.optim.AdamW(others, option.rate, option.betas, weight_decay=decay, fused=True)
        )
    return optimizers


def averaged(module: torch.nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of weights and running statistics, over fewer steps early in the training."""

    def average(mean: torch.Tensor, value: torch.Tensor, step: torch.Tensor | int) -> torch.Tensor:
        if not mean.is_floating_point():
            return value
        count = int(step)
        return torch.lerp(mean, value, 1 - min(decay, count / (count + 9)))

    average_model = AveragedModel(module, avg_fn=average, use_buffers=True)
    average_model.n_averaged += 1  # the initial weights are the average before the first step
    return average_model


def network_arguments(config: NetworkConfig, task: Task) -> dict[str, int]:
    """The arguments of the network's constructor: width and depth from the configuration, the others from the task."""
    arguments = {
        "channels": config.channels,
        "levels": config.levels,
        "in_channels": task.in_channels,
        "out_channels": task.out_channels,
    }
    return arguments | ({"styles": task.styles} if task.styles else {})


def make_network(config: NetworkConfig, task: Task) -> LayeredNet:
    """The network that a configuration describes. `InputError` where it does not fit the task."""
    try:
        net = architecture(config.name)(**network_arguments(config, task))
    except TypeError:
        raise InputError(
            f"a {config.name} takes no style, but the task {task.name} tells it {task.styles} numbers: set network.name "
            "to 'modulated vnet'"
        ) from None
    if config.start_linear:
        with torch.no_grad():
            for convolution in net.last_convolutions():
                for parameter in convolution.parameters():
                    parameter.zero_()
    return net


def memory_format(config: TrainConfig, fabric: Fabric) -> torch.memory_format:
    """channels_last where it is faster: on GPUs and in bfloat16.

    In float32 on a CPU, oneDNN's own blocked format is faster; its gradient of the kernel takes twice as long in
    channels_last.
    """
    choice = config.memory_format
    if choice == "auto":
        last = fabric.device.type == "cuda" or config.precision != "32-true"
        choice = "channels_last" if last else "contiguous"
    return torch.channels_last_3d if choice == "channels_last" else torch.contiguous_format
