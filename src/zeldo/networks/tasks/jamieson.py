"""The styled networks: Jamieson et al. 2023 (arXiv:2206.04594) today, 2024 (arXiv:2408.07699) at any redshift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from zeldo.cosmology.redshifts import same_redshift
from zeldo.cosmology.scalars import single
from zeldo.errors import InputError
from zeldo.networks.losses import Loss
from zeldo.networks.styled import StyledVNet, displacement_and_rate
from zeldo.networks.tasks import register
from zeldo.networks.tasks.base import (
    Batch,
    Evolved,
    Fields,
    Setting,
    Task,
    check_quantity,
    published_loss,
    scaled,
)
from zeldo.networks.tasks.units import (
    REFERENCE,
    UNIT,
    growth_factor,
    hubble_flow,
    lcdm,
    omega_style,
    velocity_factor,
)


@register
@dataclass(frozen=True)
class Jamieson2022(Task):
    """Today's displacement or velocity from the linear one; the style is 5 (omega_m - 0.3).

    Displacements are in units of 6 Mpc/h, and velocities in units of 600 f km/s with f of omega_m = 0.31.

    Parameters
    ----------
    quantity : str
        "displacement" or "velocity".
    """

    name: ClassVar[str] = "jamieson2022"
    quantity: str = "displacement"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_quantity(self.quantity, ("displacement", "velocity"))

    @property
    def predicts(self) -> tuple[str, ...]:
        return ("psi",) if self.quantity == "displacement" else ("vel",)

    @property
    def styles(self) -> int:
        return 1

    def check(self, setting: Setting) -> None:
        # at another redshift it would give today's field, even where extrapolation is allowed
        if not same_redshift(setting.redshift, 0):
            raise InputError(
                f"redshift = {setting.redshift:g} is not allowed: this network covers z = 0 only"
            )

    def style(self, setting: Setting) -> tuple[float, ...]:
        return (omega_style(setting.cosmology.omega_m),)

    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        scale = 1 / UNIT
        if self.quantity == "velocity":  # in units of the linear velocity of the reference cosmology
            scale *= hubble_flow(lcdm(setting.cosmology.omega_m), 0) / hubble_flow(REFERENCE, 0)
        return fields.psi_lin * single(scale)

    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        if self.quantity == "velocity":
            return Evolved(None, output * (UNIT * hubble_flow(REFERENCE, 0)))
        return Evolved(output * UNIT, None)

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        return published_loss(self.decode(output.float(), batch.settings), batch)


@register
@dataclass(frozen=True)
class Jamieson2024(Task):
    """Displacement and velocity at any redshift; the styles are 5 (omega_m - 0.3) and D - 1.

    The input is psi_lin D in units of 6 Mpc/h. The velocity is the derivative of the displacement in D, times D a H f.

    Parameters
    ----------
    quantity : str
        "displacement", "velocity" or "displacement and velocity".
    """

    name: ClassVar[str] = "jamieson2024"
    quantity: str = "displacement and velocity"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_quantity(self.quantity, ("displacement", "velocity", "displacement and velocity"))

    @property
    def _derived(self) -> bool:
        return self.quantity != "displacement"

    @property
    def predicts(self) -> tuple[str, ...]:
        return {"displacement": ("psi",), "velocity": ("vel",)}.get(self.quantity, ("psi", "vel"))

    @property
    def out_channels(self) -> int:
        return 3

    @property
    def styles(self) -> int:
        return 2

    @property
    def passes(self) -> int:
        return 2 if self._derived else 1

    @property
    def dtype(self) -> torch.dtype | None:
        # derivatives of bfloat16 layers are wrong by several per cent: activations near zero change sign
        return torch.float32 if self._derived else None

    def check_training(self, *, crop: bool) -> None:
        if self._derived:
            raise InputError(
                "the task jamieson2024 trains displacements only: set task.quantity to 'displacement'"
            )

    def style(self, setting: Setting) -> tuple[float, ...]:
        cosmology = lcdm(setting.cosmology.omega_m)
        return omega_style(cosmology.omega_m), growth_factor(cosmology, setting.redshift) - 1

    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        if self._derived:  # D multiplies it inside the derivative
            return fields.psi_lin / np.float32(UNIT)
        d = growth_factor(lcdm(setting.cosmology.omega_m), setting.redshift)
        return fields.psi_lin * single(d / UNIT)

    def run(self, net: nn.Module, batch: Batch) -> Tensor:
        if not self._derived:
            return super().run(net, batch)
        outputs, network = [], cast(StyledVNet, net)
        for x, style in zip(batch.inputs.split(1), batch.style, strict=True):
            # the style carries the gradient, and may be of another cosmology than the setting
            outputs.append(torch.cat(displacement_and_rate(network, x, style, periodic=batch.periodic), 1))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        psi = output[:, :3] * UNIT if "psi" in self.predicts else None
        if not self._derived:
            return Evolved(psi, None)
        units = [UNIT * velocity_factor(lcdm(s.cosmology.omega_m), s.redshift) for s in settings]
        return Evolved(psi, scaled(output[:, 3:], units))

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        return published_loss(self.decode(output.float(), batch.settings), batch)
