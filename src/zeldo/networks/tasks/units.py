"""Units of the fields in networks: growth factors and linear velocities, all by the same growth code."""

from __future__ import annotations

from typing import Any

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.cosmology.scalars import is_tensor, scalar

UNIT = 6.0  # Mpc/h; displacements of the public networks are in units of this
REFERENCE_OMEGA_M = 0.31  # the public normalisations use it for all cosmologies


def lcdm(omega_m: Any) -> Any:
    """Flat LCDM with this omega_m, a number or a tensor. Its other parameters do not affect growth."""
    quijote = PRESETS["quijote"]
    if not is_tensor(omega_m):
        return Cosmology(omega_m, 0.1 * omega_m, quijote.h, quijote.n_s, quijote.sigma_8)
    from zeldo.cosmology.varied import VariedCosmology

    changes = {"omega_m": omega_m, "omega_b": 0.1 * omega_m}
    return VariedCosmology.of(quijote, changes, omega_m.device)


REFERENCE = lcdm(REFERENCE_OMEGA_M)


def omega_style(omega_m: float) -> float:
    """The number that stands for omega_m in the style."""
    return 5 * (omega_m - 0.3)


def growth_factor(cosmology: Cosmology, redshift: float) -> float:
    """D1, normalised to 1 today."""
    return scalar(growth(cosmology).d1(1 / (1 + redshift)))


def hubble_flow(cosmology: Cosmology, redshift: float) -> float:
    """a H f, km/s per Mpc/h: the ratio of linear velocity and displacement at that redshift."""
    a = 1 / (1 + redshift)
    return 100 * a * scalar(expansion(cosmology, a) * growth(cosmology).f1(a))


def velocity_factor(cosmology: Cosmology, redshift: float) -> float:
    """D1 a H f, km/s per Mpc/h: the ratio of the linear velocity and psi_lin."""
    return growth_factor(cosmology, redshift) * hubble_flow(cosmology, redshift)
