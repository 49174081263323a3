"""zeldo train"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def train(
    config: Path,
    *,
    override: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    resume: Annotated[bool, Parameter(negative="--restart")] = True,
) -> None:
    """Train a network; after an interruption the same command goes on from the last checkpoint.

    Parameters
    ----------
    config:
        A TOML file, such as configs/vnet_fiducial.toml.
    override:
        A value of the configuration, as --set optimizer.rate=1e-4; may be given several times.
    resume:
        --restart begins again and overwrites.
    """
    from zeldo.commands.override import parsed
    from zeldo.report.progress import Progress
    from zeldo.training.loop import train as run

    with Progress(f"train {config.name}") as progress:
        result = run(config, override=parsed(override), resume=resume, progress=progress)
    print(f"{result.status} {result.where}: {result.epochs} epochs, {result.steps} steps")
    if result.weights:
        print(f"{result.weights}: lowest validation loss {result.best:.4f}, epoch {result.best_epoch}")
