"""zeldo train"""

from __future__ import annotations

from math import isfinite
from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.options import Named


def train(
    config: Named,
    *,
    override: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    resume: Annotated[bool, Parameter(negative="--restart")] = True,
) -> None:
    """Train a network. After an interruption, the same command resumes from the last checkpoint.

    Parameters
    ----------
    config:
        A TOML file, such as configs/vnet_fiducial.toml.
    override:
        A value to replace in the configuration, as in --set optimizer.rate=1e-4. May be given several times.
    resume:
        Resume from the last checkpoint. --restart begins again and overwrites what is there.
    """
    from zeldo.commands.override import parsed
    from zeldo.report.progress import Progress
    from zeldo.training.loop import train as run

    with Progress(f"train {config.name}") as progress:
        result = run(config, override=parsed(override), resume=resume, progress=progress)
    print(f"{result.status} {result.where}: {result.epochs} epochs, {result.steps} steps")
    if result.weights and not isfinite(result.best):
        print(f"{result.weights}: by the loss before, until an epoch ends with the present one")
    elif result.weights:
        print(f"{result.weights}: lowest validation loss {result.best:.4f}, epoch {result.best_epoch}")
