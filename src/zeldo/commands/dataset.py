"""zeldo dataset"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.options import Named


def dataset(
    config: Named,
    *,
    override: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> None:
    """Make those runs of a data set that its store still lacks. After an interruption, the same command resumes.

    Parameters
    ----------
    config:
        A TOML file, such as configs/dataset_fiducial.toml.
    override:
        A value to replace in the configuration, as in --set train.runs=4. May be given several times.
    """
    from zeldo.commands.override import parsed
    from zeldo.datasets.dataset import make_dataset
    from zeldo.errors import ZeldoError
    from zeldo.report.progress import Progress

    with Progress(f"dataset {config.name}") as progress:
        result = make_dataset(config, override=parsed(override), progress=progress)
    print(f"{result.store.path}: {result.existing} runs were there, {len(result.made)} made")
    for name, problem in result.failed.items():
        print(f"  {name} failed: {problem}")
    if result.failed:
        raise ZeldoError(f"{len(result.failed)} runs failed: the same command tries them again")
