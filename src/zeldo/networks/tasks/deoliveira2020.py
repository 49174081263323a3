"""From the linear displacement to the evolved one: de Oliveira et al. 2020 (arXiv:2012.00240)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from zeldo.cosmology.scalars import single
from zeldo.networks.losses import LAMBDA, Loss
from zeldo.networks.tasks import register
from zeldo.networks.tasks.base import (
    Batch,
    Evolved,
    Fields,
    Setting,
    Task,
    check_quantity,
    check_weight,
    published_loss,
    scaled,
)
from zeldo.networks.tasks.units import REFERENCE, UNIT, growth_factor, velocity_factor


@register
@dataclass(frozen=True)
class DeOliveira2020(Task):
    """The linear field at a redshift goes in, the evolved one comes out, and the network is given nothing else.

    Displacements are in units of 6 D(z) Mpc/h and velocities in units of 6 D a H f, both of flat LCDM with omega_m = 0.31.

    Parameters
    ----------
    quantity : str
        "displacement", or "velocity", whose input is the linear velocity.
    loss_weight : float
        lambda of ln(L_delta L_psi^lambda).
    """

    name: ClassVar[str] = "deoliveira2020"
    loss_options: ClassVar[tuple[str, ...]] = ("loss_weight",)
    quantity: str = "displacement"  # type: ignore[assignment]
    loss_weight: float = LAMBDA

    def __post_init__(self) -> None:
        check_quantity(self.quantity, ("displacement", "velocity"))
        check_weight("loss_weight", self.loss_weight)

    @property
    def predicts(self) -> tuple[str, ...]:
        return ("psi",) if self.quantity == "displacement" else ("vel",)

    def _unit(self, setting: Setting) -> float:
        factor = growth_factor if self.quantity == "displacement" else velocity_factor
        return UNIT * factor(REFERENCE, setting.redshift)

    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        factor = growth_factor if self.quantity == "displacement" else velocity_factor
        linear = factor(setting.cosmology, setting.redshift)
        return fields.psi_lin * single(linear / self._unit(setting))

    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        field = scaled(output, [self._unit(setting) for setting in settings])
        return Evolved(field, None) if self.quantity == "displacement" else Evolved(None, field)

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        return published_loss(self.decode(output.float(), batch.settings), batch, self.loss_weight)

    def describe_loss(self) -> str:
        return "ln(L_vel)" if self.quantity == "velocity" else f"ln(L_delta L_psi^{self.loss_weight:g})"
