"""From the linear displacement to the network's prediction, with the normalisation of its model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.special import hyp2f1
from torch import Tensor

from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.networks import inference
from zeldo.networks.card import ModelCard
from zeldo.networks.styled import StyledVNet, displacement_and_rate
from zeldo.networks.vnet import LayeredNet

UNIT = 6.0  # Mpc/h; displacements of the public networks are in units of this
REFERENCE_OMEGA_M = 0.31  # of the normalisations, whatever the cosmology is


@dataclass(frozen=True, eq=False)
class Prediction:
    """psi: (3, n, n, n) displacement, Mpc/h; vel: (3, n, n, n) peculiar velocity, km/s; None if not given."""

    psi: np.ndarray | None
    vel: np.ndarray | None


def growth_lcdm(omega_m: float, redshift: float) -> float:
    """D of flat LCDM without radiation, 1 today."""
    a, x = 1 / (1 + redshift), (1 - omega_m) / omega_m
    return float(a * hyp2f1(1, 1 / 3, 11 / 6, -x * a**3) / hyp2f1(1, 1 / 3, 11 / 6, -x))


def growth_rate_lcdm(omega_m: float, redshift: float) -> float:
    """f = dlnD/dlna of flat LCDM without radiation."""
    x = (1 - omega_m) / omega_m / (1 + redshift) ** 3
    return float(1 - 6 / 11 * x * hyp2f1(2, 4 / 3, 17 / 6, -x) / hyp2f1(1, 1 / 3, 11 / 6, -x))


def hubble_lcdm(omega_m: float, redshift: float) -> float:
    """H of flat LCDM in km/s per Mpc/h."""
    return float(100 * np.sqrt(omega_m * (1 + redshift) ** 3 + 1 - omega_m))


def velocity_factor(omega_m: float, redshift: float) -> float:
    """D f H / (1 + z), km/s per Mpc/h: the linear velocity over psi_lin in flat LCDM."""
    rate = growth_lcdm(omega_m, redshift) * growth_rate_lcdm(omega_m, redshift)
    return rate * hubble_lcdm(omega_m, redshift) / (1 + redshift)


def evolve(
    net: LayeredNet,
    card: ModelCard,
    psi_lin: np.ndarray,
    cosmology: Cosmology,
    redshift: float,
    *,
    spacing: float,
    extrapolate: bool = False,
    tiles: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """The network's prediction for a periodic box, by the normalisation rule of its card.

    net: as `inference.optimise` makes it. psi_lin: (3, n, n, n) linear displacement today, Mpc/h. spacing: of the
    lattice, Mpc/h. Raises `InputError` outside the card's ranges unless extrapolate, and for values that are not
    finite.
    """
    if not extrapolate:
        card.check_range(cosmology, redshift=redshift, spacing=spacing)
    omega_m, d1 = cosmology.omega_m, float(growth(cosmology).d1(1 / (1 + redshift)))
    psi_lin = np.asarray(psi_lin, dtype=np.float32)
    if not np.isfinite(psi_lin).all():
        raise InputError("psi_lin holds values that are not finite: check the initial conditions")
    run = partial(inference.apply, tiles=tiles, progress=progress)
    if card.normalisation == "style and growth":
        return _with_redshift(run, net, card, psi_lin, redshift, omega_m)
    call = inference.plain
    if card.normalisation == "growth":
        unit = UNIT * growth_lcdm(REFERENCE_OMEGA_M, redshift)
        scale = d1 / unit
        if card.quantity == "velocity":
            unit = UNIT * velocity_factor(REFERENCE_OMEGA_M, redshift)
            linear = growth_rate_lcdm(omega_m, redshift) * hubble_lcdm(omega_m, redshift) / (1 + redshift)
            scale = d1 * linear / unit
    else:
        if redshift != 0:  # it would give the field of today, whatever `extrapolate` says
            raise InputError(f"redshift = {redshift:g} is not allowed: this network knows z = 0 alone")
        style = torch.tensor([5 * (omega_m - 0.3)])
        unit, scale = UNIT, 1 / UNIT

        def call(net: LayeredNet, x: Tensor, periodic: bool) -> Tensor:
            return net(x, style, periodic=periodic)

        if card.quantity == "velocity":
            # in units of the linear velocity of the reference cosmology
            reference = growth_rate_lcdm(REFERENCE_OMEGA_M, 0)
            unit, scale = UNIT * 100 * reference, growth_rate_lcdm(omega_m, 0) / reference / UNIT
    (field,) = run(net, psi_lin * np.float32(scale), call=call)
    field *= np.float32(unit)
    return Prediction(None, field) if card.quantity == "velocity" else Prediction(field, None)


def _with_redshift(
    run: Callable[..., tuple[np.ndarray, ...]],
    net: LayeredNet,
    card: ModelCard,
    psi_lin: np.ndarray,
    redshift: float,
    omega_m: float,
) -> Prediction:
    """The network of two styles: displacement, and velocity from its derivative in the growth factor."""
    assert isinstance(net, StyledVNet)
    d = growth_lcdm(omega_m, redshift)
    if card.quantity == "displacement":
        style = torch.tensor([5 * (omega_m - 0.3), d - 1])
        (psi,) = run(
            net, psi_lin * np.float32(d / UNIT), call=lambda net, x, periodic: net(x, style, periodic)
        )
        return Prediction(psi * np.float32(UNIT), None)
    psi, rate = run(
        net,
        psi_lin / np.float32(UNIT),
        call=lambda net, x, periodic: displacement_and_rate(net, x, omega_m, d, periodic=periodic),
        passes=2,
    )
    factor = UNIT * velocity_factor(omega_m, redshift)
    vel = rate * np.float32(factor)
    return Prediction(None if card.quantity == "velocity" else psi * np.float32(UNIT), vel)


def predict(
    net: LayeredNet,
    psi_lin: np.ndarray,
    cosmology: Cosmology,
    redshift: float,
    *,
    spacing: float,
    extrapolate: bool = False,
    tiles: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """The prediction of a network from `weights.load` for a periodic box at one redshift; see `evolve`."""
    if net.card is None:
        raise InputError("this network has no model card: load it from a file, or set its `card`")
    # the derivative of bfloat16 layers is off by several per cent: activations near zero change sides
    derived = net.card.normalisation == "style and growth" and net.card.quantity != "displacement"
    return evolve(
        inference.optimise(net, device, dtype=torch.float32 if derived else None),
        net.card,
        psi_lin,
        cosmology,
        redshift,
        spacing=spacing,
        extrapolate=extrapolate,
        tiles=tiles,
        progress=progress,
    )
