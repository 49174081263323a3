"""The prediction of a network for a whole periodic box, in physical units."""

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
    """The output of a network for a whole periodic box.

    Parameters
    ----------
    psi : ndarray, (3, n, n, n), or None
        Displacement, Mpc/h; None where the network does not predict it.
    vel : ndarray, (3, n, n, n), or None
        Peculiar velocity, km/s; None where the network does not predict it.
    """

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
    precision: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Apply a network to a periodic box at one redshift.

    Parameters
    ----------
    net : LayeredNet
        A network from `load`.
    fields : ndarray, (3, n, n, n), or Fields
        psi_lin today, Mpc/h; for a task with dynamics, `Fields` with their displacement and velocity.
    cosmology : Cosmology
    redshift : float
    spacing : float
        Lattice spacing, Mpc/h.
    extrapolate : bool
        Allow values outside the ranges of the network's card.
    tiles : int, optional
        Pieces per side that the box is divided into; by default as few as fit in memory.
    device : torch.device or str
        Where the network runs.
    precision : {"auto", "float32"}
        "float32" for layers in float32, whatever is faster on the device.
    progress : callable, optional
        Called with the number of tiles done and of all tiles.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        Outside the card's ranges unless `extrapolate` is set, and for values that are not finite.
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
    inputs = task.encode(fields, setting)
    optimised = optimise(net, task, setting, device, precision)
    return evolve(optimised, task, inputs, setting, tiles=tiles, progress=progress)


def style_of(task: Task, setting: Setting) -> Tensor:
    """The style of a task as a batch of one on the CPU, (1, styles)."""
    return torch.tensor([task.style(setting)], dtype=torch.float32, device="cpu")


@inference.own_types()
def optimise(
    net: LayeredNet,
    task: Task,
    setting: Setting,
    device: torch.device | str = "cpu",
    precision: str = "auto",
) -> LayeredNet:
    """The fastest form of a network for one setting on a device.

    Parameters
    ----------
    net : LayeredNet
        A network from `load`.
    task : Task
    setting : Setting
    device : torch.device or str
    precision : {"auto", "float32"}
        As of `predict`.

    Returns
    -------
    LayeredNet
    """
    settled = net.settled(style_of(task, setting)[0])
    dtype = inference.layer_type(task.dtype, device, precision)
    own = settled is not net
    return inference.optimise(settled, device, dtype=dtype, derivatives=task.passes > 1, donate=own)


def evolve(
    net: LayeredNet,
    task: Task,
    inputs: np.ndarray,
    setting: Setting,
    *,
    tiles: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Apply a network to inputs that its task has encoded, on the device where it is.

    Parameters
    ----------
    net : LayeredNet
    task : Task
    inputs : ndarray, (channels, n, n, n)
        In the network's units.
    setting : Setting
    tiles : int, optional
        Pieces per side; by default as few as fit in memory.
    progress : callable, optional
        Called with the number of tiles done and of all tiles.

    Returns
    -------
    Prediction
    """
    style = style_of(task, setting)

    def call(net: LayeredNet, x: Tensor, periodic: bool) -> tuple[Tensor, ...]:
        output = task.run(net, Batch(x, style.to(x.device), (setting,), periodic))
        return tuple(field for field in task.decode(output.float(), (setting,)) if field is not None)

    outputs = inference.apply(net, inputs, call=call, passes=task.passes, tiles=tiles, progress=progress)
    by_quantity = dict(zip(task.predicts, outputs, strict=True))
    return Prediction(by_quantity.get("psi"), by_quantity.get("vel"))
