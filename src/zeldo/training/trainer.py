"""The training loop: epochs of steps, validation and checkpoints. A resumed training continues as if never stopped.

It does not depend on what is trained: the task makes samples, modules and losses.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from zeldo.engines.base import Progress
from zeldo.errors import ConvergenceError, InputError
from zeldo.measuring.energy import Meter
from zeldo.measuring.machine import device_name
from zeldo.networks.tasks.base import Batch, Task
from zeldo.particles.provenance import weights_hash
from zeldo.training.batches import Batches
from zeldo.training.beginning import begin_with
from zeldo.training.checkpoint import (
    best_checkpoint,
    conditions_of_resuming,
    last_checkpoint,
    load_fitting_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from zeldo.training.config import TrainConfig
from zeldo.training.export import export
from zeldo.training.monitor import Monitor
from zeldo.training.players import Player, averaged, make_network, memory_format
from zeldo.training.samples import Samples, prefetch
from zeldo.training.signals import stop_signals
from zeldo.training.state import State
from zeldo.training.validation import Score, by_redshift, score, summary

if TYPE_CHECKING:
    from lightning_fabric import Fabric

JUDGED = "net"  # the module that is validated and written


class Trainer:
    """One training on this process's share of the devices."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        task: Task,
        progress: Progress | None = None,
        *,
        resume: bool = False,
    ) -> None:
        self.fabric, self.config, self.task, self.progress = fabric, config, task, progress
        self.last, self.best = last_checkpoint(config), best_checkpoint(config)
        self.resumed = resume and self.last.exists()
        self.state = State()
        self.samples = Samples(config.data, task, config.output / "dynamics")
        self.validation_keys = self.samples.keys("validation")
        torch.manual_seed(config.seed)
        self.format = memory_format(config, fabric)
        net = make_network(config.network, task)
        if config.start_from is not None and not self.resumed:
            begin_with(net, config.start_from)
            self.state.start_from = weights_hash(config.start_from)
        modules = {
            name: module.to(memory_format=self.format)  # type: ignore[call-overload]
            for name, module in task.modules(net).items()
        }
        self.halo = 0
        if config.data.crop:
            self.halo = modules[JUDGED].halo
        self.judge = copy.deepcopy(modules[JUDGED]).to(fabric.device).eval()  # the network to validate
        self.players = {name: Player(fabric, module, config.optimizer) for name, module in modules.items()}
        self.nets = {name: player.net for name, player in self.players.items()}
        self.net = self.players[JUDGED]
        self.average = averaged(self.net.net.module, config.optimizer.ema) if config.optimizer.ema else None
        self.stopped = ""  # why, where it was
        self.meter: Meter | None = None

    def run(self, stop_after: int | None = None) -> bool:
        """Train to the end (True), or until a signal, the time limit, or `stop_after` steps of this call (False)."""
        self.started = self.saved = time.monotonic()
        self.first_step = self.state.steps
        self.stop_at = None if stop_after is None else self.state.steps + stop_after
        self.monitor = Monitor(
            self.config.output / "tensorboard",
            self.config.tensorboard and self.fabric.is_global_zero,
            self.state.steps + 1 if self.state.steps else 0,
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
        with suppress(Exception):  # a training goes on without a meter
            self.meter = Meter()
            self.meter.start()
        self.state.metered_from = self.state.seconds

    def _begin_epoch(self) -> None:
        state, config = self.state, self.config
        if not state.keys:
            # of one process, as the store may grow meanwhile
            state.keys = self.fabric.broadcast(self.samples.keys("train"))
            if not state.keys:
                raise InputError("there are no runs to train on: make them by `zeldo dataset`")
        self.batches = Batches(
            config, self.fabric, self.samples, state.keys, state.epoch, self.format, self.halo
        )
        # anew in each epoch: the store may have grown, and a resumed training may have batches of another size
        left = (
            max(0, self.batches.steps - state.step) + (config.epochs - state.epoch - 1) * self.batches.steps
        )
        self.total = state.steps + left
        for player in self.players.values():
            player.schedule(state.steps, self.total)

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch; False where it was stopped before."""
        state, count = self.state, self.config.optimizer.accumulate
        if state.step >= self.batches.steps:
            return True
        for net in self.nets.values():
            net.train()
        workers = self.config.data.workers
        feed = prefetch(self.batches.make, state.step * count, self.batches.steps * count, workers, workers)
        times: list[float] = []
        clock = time.monotonic()
        for _ in range(state.step, self.batches.steps):
            parts = self._step(next(feed) for _ in range(count))
            state.step, state.steps = state.step + 1, state.steps + 1
            state.samples += self.batches.per_step
            for name, value in parts.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
            if self.average is not None:
                self.average.update_parameters(self.net.net.module)
            now = time.monotonic()
            times.append(now - clock)
            # hours during which the process was suspended do not count
            state.seconds, clock = state.seconds + min(times[-1], 10 * median(times)), now
            self._report_progress(parts)
            if self._should_stop():
                feed.close()
                self.save()
                return False
            if now - self.saved > 60 * self.config.checkpoint_minutes:
                self.save()
        return True

    def _step(self, batches: Iterable[Batch]) -> dict[str, float]:
        """A step of every module in turn on the same batches; losses and their parts, by name."""
        if len(self.players) > 1:
            batches = list(batches)
        parts: dict[str, float] = {}
        count = self.config.optimizer.accumulate
        for turn, player in self.players.items():
            for i, batch in enumerate(batches, 1):
                hold = nullcontext() if i == count else self.fabric.no_backward_sync(player.net)
                with hold:
                    loss = self.task.objective(turn, self.nets, batch)
                    self.fabric.backward(loss.total / count)
                prefix = "" if turn == JUDGED else f"{turn} "
                for name, value in {"loss": loss.total.detach(), **loss.parts}.items():
                    parts[prefix + name] = parts.get(prefix + name, 0.0) + float(value) / count
                if not math.isfinite(parts[f"{prefix}loss"]):
                    raise self._diverged(
                        f"the {prefix}loss is {parts[f'{prefix}loss']}", self.state.steps + 1
                    )
            player.step()
            # a turn leaves gradients in modules that it uses but does not train
            for other in self.players.values():
                other.zero_grad()
        return parts

    def _diverged(self, what: str, step: int) -> ConvergenceError:
        again = f"resume from {self.last}" if self.last.exists() else "start again"
        return ConvergenceError(f"{what} at step {step}: lower the rate or set clip, and {again}")

    def _check_weights(self) -> None:
        """`ConvergenceError` where a step has left weights that are not finite: the loss tells it one step later."""
        for player in self.players.values():
            if not all(bool(torch.isfinite(weights).all()) for weights in player.net.parameters()):
                raise self._diverged("weights are not finite", self.state.steps)

    def _end_epoch(self) -> None:
        self._check_weights()
        state = self.state
        started = time.monotonic()
        scores = self._validate()
        entry: dict[str, Any] = {"epoch": state.epoch, "steps": state.steps, "samples": len(state.keys)}
        entry["runs"] = len({name for name, _ in state.keys})
        trained = state.sums.get("loss", 0.0) / max(state.step, 1)
        entry |= {"seconds": state.seconds, "rate": self.net.rate, "train": trained}
        judged = trained
        if scores:
            entry["validation"] = summary(scores)
            judged = entry["validation"]["loss"]
            self.monitor.validation(state.steps, by_redshift(scores))
        for player in self.players.values():
            player.judged(judged)
        state.history.append(entry)
        better = judged < state.best
        if better:
            state.best, state.best_epoch = judged, state.epoch
        keys = state.keys
        state.epoch, state.step, state.keys, state.sums = state.epoch + 1, 0, [], {}
        state.seconds += time.monotonic() - started
        if better and self.fabric.is_global_zero:
            self._count_energy()
            save_checkpoint(self.best, {"model": self.judge.state_dict(), "epoch": state.best_epoch})
            export(self.judge, self.config, self.task, self._facts(keys, entry.get("validation")))
        self.save()

    def _validate(self) -> list[Score]:
        """Scores of all validation samples, with those of the other processes."""
        net = self.net.net.module if self.average is None else self.average.module
        self.judge.load_state_dict(net.state_dict())
        if not self.validation_keys:
            return []
        fabric = self.fabric
        mine = self.validation_keys[fabric.global_rank :: fabric.world_size]
        scores = score(
            self.judge, self.task, self.samples, mine, tile=self.config.data.crop, look=self._draw_pictures
        )
        if fabric.world_size > 1:
            gathered: list[Any] = [None] * fabric.world_size
            torch.distributed.all_gather_object(gathered, scores)
            scores = [entry for scores_of_device in gathered for entry in scores_of_device]
        return scores

    def _draw_pictures(self, output: torch.Tensor, batch: Batch) -> None:
        """Pictures of the first validation box."""
        psi, _ = self.task.decode(output, batch.settings)
        unchanged, start = batch.inputs[:, : output.shape[1]], None
        if unchanged.shape == output.shape:  # what the network would return if it added nothing
            start, _ = self.task.decode(unchanged, batch.settings)
        if psi is not None and batch.psi is not None and psi.shape == batch.psi.shape:
            box = batch.settings[0].spacing * psi.shape[-1]
            initial_psi = None if start is None else start[0].cpu()
            self.monitor.pictures(initial_psi, psi[0].cpu(), batch.psi[0].cpu(), box, self.state.epoch)

    def _facts(self, keys: list[tuple[str, float]], validation: dict[str, Any] | None) -> dict[str, Any]:
        """The facts of the training for the model card."""
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
            "data": self.samples.described(keys),
            "validation_data": self.samples.described(self.validation_keys),
            "validation": validation,
            "start_from": state.start_from,
        }

    def _report_progress(self, parts: dict[str, float]) -> None:
        """Write to TensorBoard, and report loss, validation, rate and speed to the caller."""
        state, rate = self.state, self.net.rate
        self.monitor.train(state.steps, parts, rate)
        if self.progress is None or not self.fabric.is_global_zero:
            return
        speed = (state.steps - self.first_step) * self.batches.per_step / (time.monotonic() - self.started)
        text = f"epoch {state.epoch + 1} of {self.config.epochs}, loss {state.sums['loss'] / state.step:.3f}"
        if state.history:
            last = state.history[-1].get("validation")
            text += f", validation {last['loss']:.3f}" if last else ""
        text += f", rate {rate:.2g}, {speed:.3g} boxes/s"
        self.progress(state.steps, self.total, text)

    def _should_stop(self) -> bool:
        hours = (time.monotonic() - self.started) / 3600
        if self.signal:
            self.stopped = f"by {self.signal[0]}"
        elif self.config.hours and hours >= self.config.hours:
            self.stopped = f"after {self.config.hours:g} hours"
        elif self.stop_at is not None and self.state.steps >= self.stop_at:
            self.stopped = f"after {self.state.steps - self.first_step} steps"
        if self.fabric.world_size > 1:  # all stop at the same step, otherwise some would wait forever
            flag = torch.tensor(float(bool(self.stopped)), device=self.fabric.device)
            if self.fabric.all_reduce(flag, reduce_op="sum") and not self.stopped:
                self.stopped = "with another process"
        return bool(self.stopped)

    def save(self) -> None:
        """Write the checkpoint: everything that the next step depends on."""
        self._check_weights()  # or no call could go on from it
        self._count_energy()
        if self.fabric.is_global_zero:
            state = {
                "state": vars(self.state),
                "players": {name: player.state_dict() for name, player in self.players.items()},
                "average": {} if self.average is None else self.average.state_dict(),
                "random": random_state(),
                "fixed": conditions_of_resuming(self.config, self.task),
                "data": self.samples.kinds(),
                "loss": self.task.describe_loss(),
                "judged_on": self.validation_keys,
            }
            save_checkpoint(self.last, state)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Resume from the checkpoint. `InputError` where it is of another network, or of data of another kind.

        The store may have moved or grown, but must have runs of all engines, boxes and lattices that it had.
        """
        kept = load_fitting_checkpoint(self.config, self.task)
        kinds = self.samples.kinds()
        for name, had in kept.get("data", {}).items():  # those of earlier versions say nothing
            if not set(had) <= set(kinds.get(name, had)):
                raise InputError(
                    f"{self.last} was trained on runs with {name} = {_listed(had)}, the data have "
                    f"{_listed(kinds[name])}: give the data it began with, or choose another output"
                )
        self.state = State.restored(kept["state"])
        for name, player in self.players.items():
            player.load_state_dict(kept["players"][name])
        if self.average is not None:
            self.average.load_state_dict(kept["average"])
        same_runs = kept.get("judged_on", self.validation_keys) == self.validation_keys
        if kept["loss"] != self.task.describe_loss() or not same_runs:
            self.state.best = math.inf
            for player in self.players.values():
                player.judge_anew()
        restore_random_state(kept["random"])

    def _count_energy(self) -> None:
        """Add the energy used since the last call to the state."""
        if self.meter is not None:
            self.state.add_energy(self.meter.stop().energy)
            self.meter.start()


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values) or "none"
