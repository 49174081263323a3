"""`train(config)`: prepare the data, train on the available devices, and write weights with a model card."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.configuration import ConfigSource, load
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.datasets.config import DatasetConfig
from zeldo.datasets.dataset import check_dataset, make_dataset
from zeldo.engines.base import Progress
from zeldo.engines.registry import dynamics_of
from zeldo.errors import InputError, ZeldoError
from zeldo.files.atomic import directory, resolved
from zeldo.interrupts import end_with_parent, interruptible, raise_if_asked
from zeldo.particles.tiles import aligned_side
from zeldo.spawning import check_guarded, leave_unguarded
from zeldo.store.queue import alone
from zeldo.store.runs import RunStore
from zeldo.training.config import TrainConfig
from zeldo.training.export import weights_path

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from zeldo.networks.tasks.base import Task

POLL = 1.0  # seconds between checks of a store that is being filled
PATIENCE = 60.0  # seconds that the process making data has to end


@dataclass
class TrainResult:
    """The outcome of `train`.

    Parameters
    ----------
    status : str
        "finished" or "stopped".
    where : str
        Where a training stopped, and why.
    epochs, steps : int
        Epochs and optimizer steps done, with those before a resume.
    best : float
        The lowest validation loss.
    best_epoch : int
        Its epoch, counted from 1.
    checkpoint : Path
        The file from which the training can be resumed.
    weights : Path or None
        The exported network with the lowest loss; None before the end of the first epoch.
    history : list of dict
        One entry for each epoch.
    """

    status: str
    where: str
    epochs: int
    steps: int
    best: float
    best_epoch: int
    checkpoint: Path
    weights: Path | None
    history: list[dict]


def train(
    config: ConfigSource,
    *,
    task: Task | None = None,
    override: Mapping[str, Any] | None = None,
    resume: bool = True,
    stop_after: int | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a network as a configuration says, and resume from the last checkpoint in its output directory.

    Ctrl-C and SIGTERM save a checkpoint and return. Where another process trains with this output, it waits for its end.

    Parameters
    ----------
    config : path, mapping or TrainConfig
        A TOML file or its content.
    task : Task, optional
        The network's task, in place of the configuration's, such as one from outside the package.
    override : mapping, optional
        Values that replace those of the configuration, by dotted keys.
    resume : bool
        False begins again and overwrites.
    stop_after : int, optional
        Stop after this many optimizer steps of this call.
    progress : callable, optional
        Called with the number of steps done, the total number, and a short text.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        For a bad configuration, and for data that do not fit it.
    ConvergenceError
        Where the loss is not finite.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise InputError("training needs lightning-fabric: pip install 'zeldo[train]'") from None
    from torch.multiprocessing import ProcessExitedException

    from zeldo.networks.inference import native_bfloat16
    from zeldo.networks.tasks import task_class

    leave_unguarded()  # or it would wait for the training that started this process
    config = load(config, TrainConfig, override)
    task = config.task.make() if task is None else task
    task_class(task.name)  # a card must name it, or the first epoch ends without weights
    _check(config, task, resume)
    count, kind = _devices(config)
    if config.precision == "auto":
        precision = "bf16-mixed" if native_bfloat16(kind) else "32-true"
        config = config.model_copy(update={"precision": precision})
    with (
        directory(config.output),
        # two would write over each other's checkpoints and weights
        alone(config.output / ".claims", progress),
        _with_data(config, progress) as config,
    ):
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=count,
            precision=config.precision,  # type: ignore[arg-type]
            strategy="ddp_spawn" if count > 1 else "auto",
        )
        if count > 1:
            # in a partial: Lightning looks into the arguments of `launch`, and refuses tasks, as frozen dataclasses
            run = partial(_train_on_device, config=config, task=task, resume=resume, stop_after=stop_after)
            try:
                return fabric.launch(run)  # type: ignore[arg-type]
            except ProcessExitedException as error:
                check_guarded([error.exit_code])
                raise
        return _train_on_device(fabric, config, task, resume, stop_after, progress)


def _train_on_device(
    fabric: Fabric,
    config: TrainConfig,
    task: Task,
    resume: bool,
    stop_after: int | None,
    progress: Progress | None = None,
) -> TrainResult:
    """The training on one device."""
    import torch

    from zeldo.measuring.heap import keep_freed_memory
    from zeldo.training.trainer import Trainer

    keep_freed_memory()
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.backends.cudnn.benchmark = True  # all boxes of a training have one shape
    trainer = Trainer(fabric, config, task, progress, resume=resume)
    if trainer.resumed:
        trainer.restore()
    elif fabric.is_global_zero:
        # or a restart that is killed before its first checkpoint would leave the older one
        trainer.last.unlink(missing_ok=True)
    done = trainer.run(stop_after)
    state = trainer.state
    where = f"epoch {state.epoch + 1} of {config.epochs}, step {state.step}"
    weights = weights_path(config)
    return TrainResult(
        status="finished" if done else "stopped",
        where=f"after epoch {state.epoch} of {config.epochs}" if done else f"{where}, {trainer.stopped}",
        epochs=state.epoch,
        steps=state.steps,
        best=state.best,
        best_epoch=state.best_epoch + 1,
        checkpoint=trainer.last,
        weights=weights if weights.exists() else None,
        history=state.history,
    )


def _check(config: TrainConfig, task: Task, resume: bool) -> None:
    """`InputError` for what cannot be trained, before any data are made for it."""
    from zeldo.training.beginning import begin_with
    from zeldo.training.checkpoint import best_checkpoint, last_checkpoint, load_fitting_checkpoint
    from zeldo.training.players import make_network
    from zeldo.training.trainer import JUDGED

    for path in (last_checkpoint(config), best_checkpoint(config), weights_path(config)):
        if path.is_dir():
            raise InputError(f"{path} is a directory, where the training writes a file: give another output")
    task.check_training(crop=bool(config.data.crop))
    dynamics = dynamics_of(task)
    if dynamics is not None:
        dynamics.check(config.data.redshifts)
    net = make_network(config.network, task)
    resumed = resume and last_checkpoint(config).exists()
    if config.start_from is not None and not resumed:
        if resolved(config.start_from) == resolved(weights_path(config)):
            raise InputError(
                f"start_from = {config.start_from} is the file that this training writes: give another output or name"
            )
        begin_with(net, config.start_from)
    if config.data.crop:
        judged: Any = task.modules(net)[JUDGED]
        least, stride = judged.layout.smallest - 2 * judged.halo, judged.layout.stride
        if aligned_side(config.data.crop, least, stride) != config.data.crop:
            raise InputError(
                f"data.crop = {config.data.crop} is not allowed: give {least} or a multiple of {stride} more"
            )
    if resumed:
        load_fitting_checkpoint(config, task)


def _devices(config: TrainConfig) -> tuple[int, str]:
    """The number of devices for the training, and their type. `InputError` where they do not exist."""
    import torch

    gpus = torch.cuda.device_count() if config.accelerator != "cpu" and torch.cuda.is_available() else 0
    if config.accelerator == "cuda" and not gpus:
        raise InputError("accelerator = 'cuda' but torch finds no CUDA device: set it to 'auto' or 'cpu'")
    kind = "cuda" if gpus else "cpu"
    if config.devices == "auto":
        return gpus or 1, kind
    available = gpus or os.cpu_count() or 1
    if not 1 <= config.devices <= available:
        noun = "CUDA devices" if gpus else "processor cores"
        raise InputError(
            f"devices = {config.devices} is not allowed: give 1 to {available}, the {noun} there are, or 'auto'"
        )
    return config.devices, kind


@contextmanager
def _with_data(config: TrainConfig, progress: Progress | None) -> Iterator[TrainConfig]:
    """The configuration with a store that holds runs. A data set that it names is made before the training, or beside it."""
    data = config.data
    if data.dataset is None:
        yield config
        return
    design = load(data.dataset, DatasetConfig, {} if data.store is None else {"store": data.store})
    if data.crop > design.n:
        raise InputError(
            f"data.crop = {data.crop} is larger than the box of {design.n} cells: give at most {design.n}"
        )
    for z in data.redshifts:
        if nearest_redshift(design.redshifts, z) is None:
            known = ", ".join(f"{at:g}" for at in design.redshifts)
            raise InputError(f"{data.dataset} makes no redshift {z:g}: set data.redshifts to some of {known}")
    config = config.model_copy(update={"data": data.model_copy(update={"store": design.store})})
    if not data.background:
        dataset = make_dataset(design, progress=progress)
        if dataset.failed:
            run_id, problem = next(iter(dataset.failed.items()))
            raise ZeldoError(f"{len(dataset.failed)} runs of the data set failed, {run_id} first: {problem}")
        yield config
        return
    check_dataset(design)  # here, where a mistake is reported in one line
    queue = multiprocessing.get_context("spawn").Process(target=_make_beside, args=(design,))
    queue.start()
    try:
        _wait_for_runs(design, data.start_with, queue, progress)
        yield config
    finally:
        queue.terminate()  # unfinished work is resumed by the next call
        queue.join(PATIENCE)
        queue.kill()
        queue.join()


def _make_beside(design: DatasetConfig) -> None:
    """Make data in a process beside the training. Ctrl-C is left to the training, which ends this process by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():  # SIGTERM goes through every `finally`, so that its own workers end too
            end_with_parent()
            make_dataset(design, progress=lambda *_: raise_if_asked())
    except KeyboardInterrupt:
        sys.exit()
    except ZeldoError as error:
        sys.exit(f"the data set: {error}")


def _wait_for_runs(design: DatasetConfig, start_with: int, queue: Any, progress: Progress | None) -> None:
    """Wait until the store holds all validation runs and `start_with` training runs."""
    wanted = {"validation": design.validation.runs, "train": min(start_with, design.train.runs)}
    while True:
        alive = queue.is_alive()
        parts = [row["part"] for row in RunStore(design.store).runs()]
        counts = {part: parts.count(part) for part in wanted}
        if all(counts[part] >= count for part, count in wanted.items()):
            return
        if not alive:
            check_guarded([queue.exitcode])
            raise ZeldoError(
                f"the data set ended with {counts} runs, {wanted} are needed: run `zeldo dataset` to see why"
            )
        if progress is not None:
            done = sum(min(counts[part], count) for part, count in wanted.items())
            progress(done, sum(wanted.values()), "waiting for the first runs of the data set")
        time.sleep(POLL)
