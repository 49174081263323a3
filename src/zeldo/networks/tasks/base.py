"""What a task is: how a state becomes a network's input, its output displacement and velocity, and what is minimised.

The engine, the training, its validation and the import of public weights all ask the task; none of them knows of
units, styles or losses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import linear_displacement
from zeldo.networks.losses import Loss
from zeldo.particles.snapshot import Snapshot

QUANTITIES = {("psi",): "displacement", ("vel",): "velocity", ("psi", "vel"): "displacement and velocity"}


@dataclass(frozen=True)
class Setting:
    """The universe and the lattice that fields are of. spacing: of the lattice, Mpc/h."""

    cosmology: Cosmology
    redshift: float
    spacing: float

    @property
    def scale_factor(self) -> float:
        return 1 / (1 + self.redshift)


@dataclass(frozen=True, eq=False)
class Fields:
    """What inputs are made of: fields (3, n, n, n) float32 of a whole periodic box.

    psi_lin, second_order: psi_lin and grad phi2 today, Mpc/h; the latter None where no input needs it.
    psi, vel: what the task's dynamics made at the redshift, Mpc/h and km/s; None for a task without.
    """

    psi_lin: np.ndarray
    second_order: np.ndarray | None = None
    psi: np.ndarray | None = None
    vel: np.ndarray | None = None

    def at(self, snapshot: Snapshot) -> Fields:
        """The same universe with what the dynamics made of it."""
        return replace(self, psi=snapshot.psi, vel=snapshot.vel)


@dataclass(frozen=True, eq=False)
class Batch:
    """What a network is given, and where it is known the truth.

    inputs: (batch, channels, x, y, z) in the network's units. style: (batch, styles). settings: one an item.
    periodic: whole boxes, else crops with their halo. psi, vel: the truth, (batch, 3, x', y', z') in Mpc/h and km/s,
    on the lattice of the output, without halo; None where the task does not need them.
    """

    inputs: Tensor
    style: Tensor
    settings: tuple[Setting, ...]
    periodic: bool = True
    psi: Tensor | None = None
    vel: Tensor | None = None


class Evolved(NamedTuple):
    """psi (batch, 3, x, y, z), Mpc/h, and peculiar velocity, km/s; None for what a task does not predict."""

    psi: Tensor | None
    vel: Tensor | None


@dataclass(frozen=True)
class Task(ABC):
    """What a network is for. A frozen dataclass: its fields are the options that a card and a configuration give.

    Attributes
    ----------
    name:
        By which cards and configurations name it.
    engine_class:
        The class of engine that runs its networks, by its name.
    trained_at_one_spacing:
        Whether all runs that a network learns from must share a lattice spacing.
    loss_options:
        Options that shape the loss alone, and so may change when a training goes on.
    vectors:
        For each group of input channels in turn, whether it is a vector (three channels) or a scalar (one).
    styles:
        How many numbers the network is told.
    """

    name: ClassVar[str]
    engine_class: ClassVar[str] = "vnet"
    trained_at_one_spacing: ClassVar[bool] = True
    loss_options: ClassVar[tuple[str, ...]] = ()

    @property
    def vectors(self) -> tuple[bool, ...]:
        return (True,)

    @property
    def styles(self) -> int:
        return 0

    @property
    @abstractmethod
    def predicts(self) -> tuple[str, ...]:
        """("psi",), ("vel",) or ("psi", "vel")."""

    @property
    def in_channels(self) -> int:
        return sum(3 if vector else 1 for vector in self.vectors)

    @property
    def out_channels(self) -> int:
        return 3 * len(self.predicts)

    @property
    def quantity(self) -> str:
        """What is predicted, in words."""
        return QUANTITIES[self.predicts]

    @property
    def passes(self) -> int:
        """Fields that travel through the network together: 2 with a forward derivative."""
        return 1

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the layers at inference; None: what the device does best."""
        return None

    @property
    def dynamics(self) -> tuple[str, Mapping[str, Any]] | None:
        """The engine that makes the input, by name and options; None where linear theory does."""
        return None

    def fields(self, ics: InitialConditions) -> Fields:
        """What the inputs need of initial conditions, at any redshift."""
        return Fields(linear_displacement(ics))

    def check(self, setting: Setting) -> None:  # noqa: B027 - most tasks have nothing to refuse
        """Raise `InputError` for what no network of this task can do, whatever its card allows."""

    def check_training(self, *, crop: bool) -> None:  # noqa: B027
        """Raise `InputError` where a network cannot be trained so. crop: on crops, not on whole boxes."""

    @abstractmethod
    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        """The network's input for a whole box, (in_channels, n, n, n) float32, in its units."""

    def style(self, setting: Setting) -> tuple[float, ...]:
        """What the network is told of the setting."""
        return ()

    def run(self, net: nn.Module, batch: Batch) -> Tensor:
        """The network's output for a batch, (batch, out_channels, x, y, z), in its units."""
        if not self.styles:
            return net(batch.inputs, periodic=batch.periodic)
        style = batch.style[0] if len(batch.style) == 1 else batch.style
        return net(batch.inputs, style, periodic=batch.periodic)

    @abstractmethod
    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        """Displacement and velocity from the output; settings: one an item of the batch."""

    def target(self, truth: Snapshot) -> tuple[np.ndarray, np.ndarray | None]:
        """Displacement and velocity, on the output's lattice, that a network learns."""
        if "vel" not in self.predicts:
            return truth.psi, None
        if truth.vel is None:
            raise InputError(
                f"the task {self.name} learns velocities, {truth.engine} at z = {truth.redshift:g} has none: "
                "choose runs that were stored with them"
            )
        return truth.psi, truth.vel

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Loss:
        """What judges a network, and what it minimises unless `objective` says otherwise."""

    def modules(self, network: nn.Module) -> dict[str, nn.Module]:
        """All that is trained, by name, each with optimizers of its own. "net" is validated and written.

        Parameters
        ----------
        network:
            What the configuration describes. A discriminator, say, would stand beside it.
        """
        return {"net": network}

    def objective(self, turn: str, nets: Mapping[str, nn.Module], batch: Batch) -> Loss:
        """What the module named `turn` minimises in a step; modules take their turns in the order of `modules`."""
        return self.loss(self.run(nets[turn], batch), batch)

    def describe_loss(self) -> str:
        """The loss in a few words, for the card."""
        return "the loss of the task"

    def options(self) -> dict[str, Any]:
        """What a card keeps, to make the task again by `make_task`."""
        return asdict(self)


def scaled(output: Tensor, units: Sequence[float]) -> Tensor:
    """Each item of a batch times its unit."""
    if len(set(units)) == 1:
        return output * units[0]
    return output * torch.tensor(units, dtype=output.dtype, device=output.device).view(-1, 1, 1, 1, 1)


def check_quantity(quantity: object, allowed: Sequence[str]) -> None:
    """Raise `InputError` for a quantity that a task does not predict."""
    if quantity not in allowed:
        raise InputError(f"quantity {quantity!r} is not allowed: choose one of {', '.join(allowed)}")
