"""A network's prediction for a whole periodic box, in the units of its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.networks import inference
from zeldo.networks.tasks.base import Batch, Fields, Setting, Task
from zeldo.networks.vnet import LayeredNet


@dataclass(frozen=True, eq=False)
class Prediction:
    """psi: (3, n, n, n) displacement, Mpc/h; vel: (3, n, n, n) peculiar velocity, km/s; None if not given."""

    psi: np.ndarray | None
    vel: np.ndarray | None


def predict(
    net: LayeredNet,
    fields: Fields | np.ndarray,
    cosmology: Cosmology,
    redshift: float,
    *,
    spacing: float,
    extrapolate: bool = False,
    tiles: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """The prediction of a network from `weights.load` for a periodic box at one redshift.

    Parameters
    ----------
    fields:
        What the input is made of: psi_lin alone, (3, n, n, n) in Mpc/h, for a task without dynamics, else `Fields`.
    spacing:
        Of the lattice, Mpc/h.
    extrapolate:
        Allow what is outside the ranges of the network's card.
    tiles:
        Pieces per side; None as memory allows.

    Raises
    ------
    InputError
        Outside the card's ranges unless extrapolate, and for values that are not finite.
    """
    if net.card is None:
        raise InputError("this network has no model card: load it from a file, or set its `card`")
    task, setting = net.card.make_task(), Setting(cosmology, redshift, spacing)
    if not extrapolate:
        net.card.check_range(cosmology, redshift=redshift, spacing=spacing)
    task.check(setting)
    if not isinstance(fields, Fields):
        fields = Fields(np.asarray(fields, dtype=np.float32))
    if not np.isfinite(fields.psi_lin).all():
        raise InputError("psi_lin holds values that are not finite: check the initial conditions")
    return evolve(
        inference.optimise(net, device, dtype=task.dtype),
        task,
        task.encode(fields, setting),
        setting,
        tiles=tiles,
        progress=progress,
    )


def evolve(
    net: LayeredNet,
    task: Task,
    inputs: np.ndarray,
    setting: Setting,
    *,
    tiles: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """What a network makes of inputs that its task encoded, (channels, n, n, n), on the device where it is."""
    style = torch.tensor([task.style(setting)], dtype=torch.float32)

    def call(net: LayeredNet, x: Tensor, periodic: bool) -> tuple[Tensor, ...]:
        output = task.run(net, Batch(x, style.to(x.device), (setting,), periodic))
        return tuple(field for field in task.decode(output.float(), (setting,)) if field is not None)

    outputs = inference.apply(net, inputs, call=call, passes=task.passes, tiles=tiles, progress=progress)
    by_quantity = dict(zip(task.predicts, outputs, strict=True))
    return Prediction(by_quantity.get("psi"), by_quantity.get("vel"))
