"""The training loop: epochs of steps, validation, checkpoints; resumed as if it had never stopped."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from zeldo.errors import ConvergenceError, InputError
from zeldo.measuring.energy import Meter
from zeldo.measuring.machine import device_name
from zeldo.networks.vnet import VNet
from zeldo.training.batches import Batches
from zeldo.training.checkpoint import Average, load_checkpoint, save_checkpoint
from zeldo.training.config import OptimizerConfig, TrainConfig
from zeldo.training.devices import memory_format
from zeldo.training.export import export, scale
from zeldo.training.losses import paper_loss
from zeldo.training.muon import Muon
from zeldo.training.pairs import Pairs, prefetch
from zeldo.training.schedule import cosine
from zeldo.training.signals import stop_signals
from zeldo.training.state import State, contents, put_back
from zeldo.training.validation import Monitor, Score, mean, score

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Progress = Callable[[float, float, str], None]


class Trainer:
    """One training on this process's share of the devices."""

    def __init__(self, fabric: Fabric, config: TrainConfig, progress: Progress | None = None) -> None:
        self.fabric, self.config, self.progress = fabric, config, progress
        self.state = State()
        self.pairs = Pairs(config.data)
        self.scale = scale(config.data.redshift)
        self.validation_names = self.pairs.names("validation")
        torch.manual_seed(config.seed)
        module = VNet(config.network.channels, config.network.levels)
        if config.network.start_linear:
            start_linear(module)
        self.format = memory_format(config, fabric)
        module = module.to(memory_format=self.format)  # type: ignore[call-overload]
        self.halo = module.halo
        if config.data.crop:
            module.layout.sides(config.data.crop + 2 * self.halo)  # InputError where it is not legal
        option = config.optimizer
        optimizer = make_optimizer(module, option)
        self.judge = copy.deepcopy(module).to(fabric.device).eval()  # what validation sees: best for EMA too
        self.net, self.optimizer = fabric.setup(module, optimizer)
        self.average = Average(self.net.module, option.ema) if option.ema else None
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer,
            factor=option.factor,
            patience=option.patience,
            threshold=1e-4,
            threshold_mode="abs",
        )
        self.last, self.best = config.output / "last.pt", config.output / "best.pt"
        self.stopped = ""  # why, where it was
        self.meter: Meter | None = None

    def run(self, stop_after: int | None = None) -> bool:
        """Train to the end (True), or until a signal, the time limit, or `stop_after` steps of this call."""
        self.started = self.saved = time.monotonic()
        self.first_step = self.state.steps
        self.stop_at = None if stop_after is None else self.state.steps + stop_after
        self.monitor = Monitor(
            self.config.output / "tensorboard",
            self.config.tensorboard and self.fabric.is_global_zero,
            self.state.steps or None,
        )
        if self.config.energy and self.fabric.is_global_zero:
            self._start_meter()
        try:
            with stop_signals() as self.signal:
                while self.state.epoch < self.config.epochs:
                    self._begin_epoch()
                    if not self._train_epoch():
                        break
                    self._end_epoch()
        finally:
            self.monitor.close()
            if self.meter is not None:
                self.meter.stop()
        return self.state.epoch >= self.config.epochs

    def _start_meter(self) -> None:
        with suppress(Exception):  # a training does not end for want of a meter
            self.meter = Meter()
            self.meter.start()
        self.state.metered_from = self.state.seconds

    def _begin_epoch(self) -> None:
        state, config = self.state, self.config
        if not state.names:
            names = self.pairs.names("train")
            if not names:
                raise InputError("there are no runs to train on: make them by `zeldo dataset`")
            state.names = names
        self.batches = Batches(
            config, self.fabric, self.pairs, state.names, state.epoch, self.format, self.halo
        )
        state.per_epoch = state.per_epoch or self.batches.steps

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch; False where it was stopped before."""
        state, option = self.state, self.config.optimizer
        if state.step >= self.batches.steps:
            return True
        self.net.train()
        count = option.accumulate
        batches = prefetch(self.batches.make, state.step * count, self.batches.steps * count)
        times: list[float] = []
        clock = time.monotonic()
        for _ in range(state.step, self.batches.steps):
            self._set_rate()
            parts = np.zeros(3)
            for i in range(option.accumulate):
                x, y, spacing = next(batches)
                last = i + 1 == option.accumulate
                hold = nullcontext() if last else self.fabric.no_backward_sync(self.net)
                with hold:
                    parts += self._forward_backward(x, y, spacing) / option.accumulate
            if option.clip:
                self.fabric.clip_gradients(self.net, self.optimizer, max_norm=option.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            state.step, state.steps = state.step + 1, state.steps + 1
            state.samples += self.batches.per_step
            state.sums = [s + float(p) for s, p in zip(state.sums, parts, strict=True)]
            if self.average:
                self.average.update(self.net.module, state.steps)
            now = time.monotonic()
            times.append(now - clock)
            # a process that stood still for hours did not train for hours
            state.seconds, clock = state.seconds + min(times[-1], 10 * median(times)), now
            self._tell(parts)
            if self._should_stop():
                batches.close()
                self.save()
                return False
            if now - self.saved > 60 * self.config.checkpoint_minutes:
                self.save()
        return True

    def _forward_backward(self, x: torch.Tensor, y: torch.Tensor, spacing: float) -> np.ndarray:
        whole = not self.config.data.crop
        psi = self.net(x, periodic=whole).float() * self.scale
        loss = paper_loss(psi, y, spacing, weight=self.config.loss_weight, periodic=whole)
        self.fabric.backward(loss.total)
        parts = np.array([loss.total.item(), loss.delta.item(), loss.psi.item()])
        if not np.isfinite(parts[0]):
            raise ConvergenceError(
                f"the loss is {parts[0]} at step {self.state.steps + 1}: lower the rate or set clip, and "
                f"resume from {self.last}"
            )
        return parts

    def _set_rate(self) -> None:
        option = self.config.optimizer
        if option.schedule == "cosine":
            share = self.state.steps / (self.config.epochs * self.state.per_epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = option.rate * cosine(share, option.warmup, option.final)

    def _end_epoch(self) -> None:
        state = self.state
        started = time.monotonic()
        found = self._validate()
        loss = [s / max(state.step, 1) for s in state.sums]
        entry: dict[str, Any] = {"epoch": state.epoch, "steps": state.steps, "runs": len(state.names)}
        entry |= {"seconds": state.seconds, "rate": self.rate, "train": loss[0]}
        judged = loss[0] if found is None else found.loss
        if found is not None:
            entry["validation"] = found.to_dict()
            self.monitor.validation(state.steps, found)
        if self.config.optimizer.schedule == "plateau":
            self.plateau.step(judged)
        state.history.append(entry)
        better = judged < state.best
        if better:
            state.best, state.best_epoch = judged, state.epoch
        names = state.names
        state.epoch, state.step, state.names, state.sums = state.epoch + 1, 0, [], [0.0, 0.0, 0.0]
        state.seconds += time.monotonic() - started
        if better and self.fabric.is_global_zero:
            self._count_energy()
            save_checkpoint(self.best, {"model": self.judge.state_dict(), "epoch": state.best_epoch})
            export(self.judge, self.config, self._story(names, found))
        self.save()

    def _validate(self) -> Score | None:
        weights = self.average.state if self.average else self.net.module.state_dict()
        self.judge.load_state_dict(weights)
        if not self.validation_names:
            return None
        fabric, config = self.fabric, self.config
        mine = self.validation_names[fabric.global_rank :: fabric.world_size]
        found = score(
            self.judge,
            self.pairs,
            mine,
            scale=self.scale,
            weight=config.loss_weight,
            tile=config.data.crop,
            monitor=self.monitor,
            epoch=self.state.epoch,
        )
        if fabric.world_size > 1:
            gathered: list[Any] = [None] * fabric.world_size
            torch.distributed.all_gather_object(gathered, found)
            found = [one for part in gathered for one in part]
        return mean(found)

    def _story(self, names: list[str], found: Score | None) -> dict[str, Any]:
        """What the model card tells of the training."""
        state = self.state
        return {
            "epochs": state.epoch,
            "steps": state.steps,
            "samples": state.samples,
            "hours": round(state.seconds / 3600, 3),
            **state.energy(self.meter.source if self.meter else ""),
            "device": device_name(self.fabric.device),
            "devices": self.fabric.world_size,
            "batch": self.batches.per_step,
            "data": self.pairs.described(names),
            "validation_data": self.pairs.described(self.validation_names),
            "validation": None if found is None else found.to_dict(),
        }

    def _tell(self, parts: np.ndarray) -> None:
        """TensorBoard, and the caller's progress in steps: loss, validation, rate, speed."""
        state = self.state
        loss, delta, psi = parts
        self.monitor.train(state.steps, float(loss), float(delta), float(psi), self.rate)
        if self.progress is None or not self.fabric.is_global_zero:
            return
        speed = (state.steps - self.first_step) * self.batches.per_step / (time.monotonic() - self.started)
        text = f"epoch {state.epoch + 1} of {self.config.epochs}, loss {state.sums[0] / state.step:.3f}"
        if state.history:
            last = state.history[-1].get("validation")
            text += f", validation {last['loss']:.3f}" if last else ""
        text += f", rate {self.rate:.2g}, {speed:.3g} boxes/s"
        self.progress(state.steps, self.config.epochs * state.per_epoch, text)

    def _should_stop(self) -> bool:
        hours = (time.monotonic() - self.started) / 3600
        if self.signal:
            self.stopped = f"by {self.signal[0]}"
        elif self.config.hours and hours >= self.config.hours:
            self.stopped = f"after {self.config.hours:g} hours"
        elif self.stop_at is not None and self.state.steps >= self.stop_at:
            self.stopped = f"after {self.state.steps - self.first_step} steps"
        if self.fabric.world_size > 1:  # all stop at the same step, or the others would wait for ever
            flag = torch.tensor(float(bool(self.stopped)), device=self.fabric.device)
            if self.fabric.all_reduce(flag, reduce_op="sum") and not self.stopped:
                self.stopped = "with another process"
        return bool(self.stopped)

    @property
    def rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def save(self) -> None:
        """The checkpoint to go on from."""
        self._count_energy()
        if self.fabric.is_global_zero:
            save_checkpoint(self.last, contents(self))
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from the checkpoint. Raises `InputError` where it is of another network or other data."""
        put_back(self, load_checkpoint(self.last))

    def _count_energy(self) -> None:
        """Add to the state what was used since the last time."""
        if self.meter is not None:
            self.state.add_energy(self.meter.stop().energy)
            self.meter.start()


def make_optimizer(module: torch.nn.Module, option: OptimizerConfig) -> torch.optim.Optimizer:
    if option.name == "muon":
        return Muon(module, option.rate, option.betas, option.weight_decay)
    return torch.optim.Adam(
        module.parameters(), option.rate, option.betas, weight_decay=option.weight_decay, fused=True
    )


@torch.no_grad()
def start_linear(net: VNet) -> None:
    """Set the last block's last convolution and its residual one to zero: the output is the input."""
    block = net.get_submodule(net.layout.layers[-1].name)
    convolutions = [m for m in block.convs if isinstance(m, torch.nn.Conv3d)]  # type: ignore[union-attr]
    for layer in (convolutions[-1], block.skip):
        for parameter in layer.parameters():  # type: ignore[union-attr]
            parameter.zero_()
