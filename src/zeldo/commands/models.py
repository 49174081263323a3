"""zeldo models"""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from zeldo.commands.options import Named, Output, print_json
from zeldo.errors import InputError

models = App(
    name="models",
    help="Import weights of networks, show their model cards, or measure their expected errors.",
)


@models.command(name="import")
def import_(
    file: Named,
    *,
    output: Output = None,
    quantity: Literal["displacement", "velocity", "displacement and velocity"] | None = None,
) -> None:
    """Convert a public checkpoint to zeldo's safetensors with a model card. No code in the file is run.

    Parameters
    ----------
    file:
        The map2map V-Net (.pt), or a styled network of Jamieson et al. 2023 (.pt; task jamieson2022) or 2024 (.npz).
    output:
        The .safetensors file to write, by default with the name of the checkpoint.
    quantity:
        What the network predicts, for files that do not record it (displacement).
    """
    import shlex

    from zeldo.networks.weights import import_model

    if not file.name:  # "." and "/", which have no suffix to replace
        raise InputError(f"{file} is a directory: give a file of weights")
    out = output or file.with_suffix(".safetensors")
    net = import_model(file, out, quantity=quantity)
    count = sum(parameter.numel() for parameter in net.parameters())
    card = net.card
    print(f"{out}: {card.architecture}, {count} parameters, {card.quantity}")
    if quantity is None and card.quantity == "displacement":
        print(
            "the file does not say what it predicts: if it is velocities, import it with --quantity velocity"
        )
    print(f"use it: zeldo run --engine {shlex.quote(str(out))}")


@models.command
def show(file: Named) -> None:
    """Print the model card of a file of weights.

    Parameters
    ----------
    file:
        A file of weights in any format that zeldo reads.
    """
    from zeldo.networks.weights import load

    print_json(load(file).card.to_dict())


@models.command
def expect(
    file: Named,
    *,
    store: Annotated[list[Named], Parameter(negative="")],
    part: Literal["test", "validation"] = "test",
) -> None:
    """Measure the expected error of an emulator, and write it to its model card. Give runs on which it was not trained.

    Snapshots outside the ranges of the card are left out.

    Parameters
    ----------
    file:
        The emulator's file of weights.
    store:
        A store of runs, as `zeldo dataset` makes it. May be given several times.
    part:
        The part of the data set.
    """
    from zeldo.files.archive import existing_file
    from zeldo.files.atomic import check_writable
    from zeldo.report.progress import Progress
    from zeldo.training.expected import measure, write

    existing_file(file)  # not the name of an engine that ships
    check_writable(file)
    with Progress(f"expect {file.name}") as progress:
        expected = measure(file, store, part=part, progress=progress)
    write(file, expected)
    print(f"{file}: expected errors from {expected.runs}")
