"""The interface of tasks: a network's input, how its output becomes displacement and velocity, and its loss.

The engine, the training, the validation and the import of public weights all ask the task. None of them knows units,
styles or losses itself.
"""

from __future__ import annotations

import math
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
from zeldo.networks.losses import LAMBDA, Loss, log_square_error, paper_loss
from zeldo.particles.snapshot import Snapshot

QUANTITIES = {("psi",): "displacement", ("vel",): "velocity", ("psi", "vel"): "displacement and velocity"}


@dataclass(frozen=True)
class Setting:
    """The universe and the lattice of some fields.

    Parameters
    ----------
    cosmology : Cosmology
    redshift : float
    spacing : float
        Lattice spacing, Mpc/h.
    """

    cosmology: Cosmology
    redshift: float
    spacing: float

    @property
    def scale_factor(self) -> float:
        return 1 / (1 + self.redshift)


@dataclass(frozen=True, eq=False)
class Fields:
    """The fields that a network's input is made of, for a whole periodic box: arrays, or tensors that carry gradients.

    Parameters
    ----------
    psi_lin : ndarray, (3, n, n, n)
        Linear displacement today, Mpc/h, float32.
    psi : ndarray, (3, n, n, n), optional
        Displacement by the task's dynamics at the redshift, Mpc/h; None for tasks without dynamics.
    vel : ndarray, (3, n, n, n), optional
        Their peculiar velocity, km/s.
    force : ndarray, (3, n, n, n), optional
        Their force at the end, -grad lap^-1 delta at the particles, Mpc/h; None where they computed none there.
    density : ndarray, (1, n, n, n), optional
        ln of the density at the particles, where it was made before, as for the fields of a crop.
    """

    psi_lin: np.ndarray
    psi: np.ndarray | None = None
    vel: np.ndarray | None = None
    force: np.ndarray | None = None
    density: np.ndarray | None = None

    def at(self, snapshot: Snapshot, force: np.ndarray | None = None) -> Fields:
        """The fields of the same universe, with displacement, velocity and force of its dynamics."""
        return replace(self, psi=snapshot.psi, vel=snapshot.vel, force=force)


@dataclass(frozen=True, eq=False)
class Batch:
    """The input of a network, and the truth where it is known.

    Parameters
    ----------
    inputs : Tensor, (batch, channels, x, y, z)
        In the network's units.
    style : Tensor, (batch, styles)
    settings : tuple of Setting
        One for each item.
    periodic : bool
        Whether items are whole boxes, or else crops with their halo.
    psi : Tensor, (batch, 3, x', y', z'), optional
        True displacement on the lattice of the output, without halo, Mpc/h.
    vel : Tensor, (batch, 3, x', y', z'), optional
        True peculiar velocity, km/s; None where the task does not need it.
    """

    inputs: Tensor
    style: Tensor
    settings: tuple[Setting, ...]
    periodic: bool = True
    psi: Tensor | None = None
    vel: Tensor | None = None


class Evolved(NamedTuple):
    """What a network predicts, in physical units; None for what its task does not predict.

    Parameters
    ----------
    psi : Tensor, (batch, 3, x, y, z), or None
        Displacement, Mpc/h.
    vel : Tensor, (batch, 3, x, y, z), or None
        Peculiar velocity, km/s.
    """

    psi: Tensor | None
    vel: Tensor | None


@dataclass(frozen=True)
class Task(ABC):
    """What a network is for. A subclass is a frozen dataclass whose fields are the options in cards and configurations.

    Attributes
    ----------
    name : str
        Its name in cards and configurations.
    engine_class : str
        The name of the class of engine that runs its networks.
    trained_at_one_spacing : bool
        Whether all runs of a training must share a lattice spacing.
    loss_options : tuple of str
        Options that affect the loss alone, and so may change when a training is resumed.
    vectors : tuple of bool
        For each group of input channels, whether it is a vector (three channels) or a scalar (one).
    styles : int
        How many numbers the network is given besides fields.
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
        """The predicted quantity in words."""
        return QUANTITIES[self.predicts]

    @property
    def passes(self) -> int:
        """Fields that pass through the network together: 2 with a forward derivative."""
        return 1

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the layers at inference; None for the device's best."""
        return None

    @property
    def dynamics(self) -> tuple[str, Mapping[str, Any]] | None:
        """The engine that makes the input, by name and options; None where linear theory does."""
        return None

    def fields(self, ics: InitialConditions, amplitudes: np.ndarray | None = None) -> Fields:
        """The fields that inputs need, from initial conditions; they serve any redshift.

        `amplitudes` are those of `Engine.amplitudes`, by which the dynamics multiply the linear field.
        """
        return Fields(linear_displacement(ics, amplitudes))

    def check(self, setting: Setting) -> None:  # noqa: B027 - most tasks have nothing to refuse
        """Raise `InputError` for a setting that no network of this task can serve, whatever its card allows."""

    def check_training(self, *, crop: bool) -> None:  # noqa: B027
        """Raise `InputError` where a network cannot be trained on crops (`crop`), or on whole boxes."""

    @abstractmethod
    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        """The network's input for a whole box, (in_channels, n, n, n) float32, in its units.

        A function with derivatives (`zeldo.differentiable`) gives tensors as fields and needs one in return.
        """

    def style(self, setting: Setting) -> tuple[float, ...]:
        """The numbers that the network is given for a setting."""
        return ()

    def run(self, net: nn.Module, batch: Batch) -> Tensor:
        """The network's output for a batch, (batch, out_channels, x, y, z), in its units."""
        if not self.styles:
            return net(batch.inputs, periodic=batch.periodic)
        style = batch.style[0] if len(batch.style) == 1 else batch.style
        return net(batch.inputs, style, periodic=batch.periodic)

    @abstractmethod
    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        """Displacement and velocity from the output, with one setting for each item of the batch."""

    def target(self, truth: Snapshot) -> tuple[np.ndarray, np.ndarray | None]:
        """The displacement and velocity that a network learns, on the output's lattice."""
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
        """The loss that scores a network. It is also minimised, unless `objective` says otherwise."""

    def modules(self, network: nn.Module) -> dict[str, nn.Module]:
        """All modules that are trained, by name, each with its own optimizers. "net" is validated and saved.

        Parameters
        ----------
        network : Module
            The network that the configuration describes. A subclass may add others, such as a discriminator.

        Returns
        -------
        dict of str to Module
        """
        return {"net": network}

    def objective(self, turn: str, nets: Mapping[str, nn.Module], batch: Batch) -> Loss:
        """What the module named `turn` minimises in a step. Modules take turns in the order of `modules`."""
        return self.loss(self.run(nets[turn], batch), batch)

    def describe_loss(self) -> str:
        """The loss in a few words, for the model card."""
        return "the loss of the task"

    def options(self) -> dict[str, Any]:
        """The options, with which `make_task` makes the same task again."""
        return asdict(self)


def published_loss(evolved: Evolved, batch: Batch, weight: float = LAMBDA) -> Loss:
    """The loss of de Oliveira et al. 2020 for displacements, with its lambda; ln of the mean square error for velocities."""
    if evolved.psi is None:
        assert evolved.vel is not None and batch.vel is not None
        return log_square_error(evolved.vel, batch.vel, "l_vel")
    assert batch.psi is not None
    spacings = [setting.spacing for setting in batch.settings]
    return paper_loss(evolved.psi, batch.psi, spacings, weight=weight, periodic=batch.periodic)


def scaled(output: Tensor, units: Sequence[float]) -> Tensor:
    """Each item of a batch multiplied by its unit."""
    if len(units) == 1 or len(set(units)) == 1:
        return output * units[0]
    return output * torch.tensor(units, dtype=output.dtype, device=output.device).view(-1, 1, 1, 1, 1)


def check_quantity(quantity: object, allowed: Sequence[str]) -> None:
    """`InputError` for a quantity that the task does not predict."""
    if quantity not in allowed:
        raise InputError(f"quantity {quantity!r} is not allowed: choose one of {', '.join(allowed)}")


def check_weight(name: str, value: object) -> None:
    """`InputError` for what cannot be the weight of a term of a loss."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{name} = {value!r} is not allowed: give a number, 0 or more")
