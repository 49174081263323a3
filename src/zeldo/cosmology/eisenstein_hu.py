"""The transfer function of Eisenstein & Hu 1998 (astro-ph/9709112), differentiable in torch.

Cold dark matter and baryons with acoustic oscillations; good to a few per cent against CAMB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology

T_CMB = 2.7255  # K, Fixsen 2009
Value = float | torch.Tensor


def eisenstein_hu_transfer(k: torch.Tensor, omega_m: Value, omega_b: Value, h: Value) -> torch.Tensor:
    """T(k) of matter, 1 at k -> 0; k > 0 in h/Mpc of any shape; differentiable in every argument.

    Equation numbers are those of the paper; the computation has the dtype and device of k.
    """
    omega_m, omega_b, h = (torch.as_tensor(x, dtype=k.dtype, device=k.device) for x in (omega_m, omega_b, h))
    theta2 = (T_CMB / 2.7) ** 2
    m, b = omega_m * h**2, omega_b * h**2
    f_b = omega_b / omega_m
    f_c = 1 - f_b
    k = k * h  # 1/Mpc from here on

    z_eq = 2.50e4 * m / theta2**2  # (2)
    k_eq = 7.46e-2 * m / theta2  # (3)
    b1 = 0.313 * m**-0.419 * (1 + 0.607 * m**0.674)
    b2 = 0.238 * m**0.223
    z_d = 1291 * m**0.251 / (1 + 0.659 * m**0.828) * (1 + b1 * b**b2)  # (4)
    r_d = 31.5 * b / theta2**2 * (1e3 / z_d)  # (5)
    r_eq = 31.5 * b / theta2**2 * (1e3 / z_eq)
    root = torch.sqrt(r_eq)
    sound = (
        2
        / (3 * k_eq)
        * torch.sqrt(6 / r_eq)
        * torch.log((torch.sqrt(1 + r_d) + torch.sqrt(r_d + r_eq)) / (1 + root))
    )  # (6), Mpc
    k_silk = 1.6 * b**0.52 * m**0.73 * (1 + (10.4 * m) ** -0.95)  # (7)
    q = k / (13.41 * k_eq)  # (10)

    a1 = (46.9 * m) ** 0.670 * (1 + (32.1 * m) ** -0.532)
    a2 = (12.0 * m) ** 0.424 * (1 + (45.0 * m) ** -0.582)
    alpha_c = a1**-f_b * a2 ** -(f_b**3)  # (11)
    bb1 = 0.944 / (1 + (458 * m) ** -0.708)
    bb2 = (0.395 * m) ** -0.0266
    beta_c = 1 / (1 + bb1 * (f_c**bb2 - 1))  # (12)

    def t0(alpha: Value, beta: Value) -> torch.Tensor:  # (19), (20)
        c = 14.2 / alpha + 386 / (1 + 69.9 * q**1.08)
        log = torch.log(math.e + 1.8 * beta * q)
        return log / (log + c * q**2)

    ks = k * sound
    f = 1 / (1 + (ks / 5.4) ** 4)  # (18)
    cold = f * t0(1.0, beta_c) + (1 - f) * t0(alpha_c, beta_c)  # (17)

    y = (1 + z_eq) / (1 + z_d)
    one_y = torch.sqrt(1 + y)
    g = y * (-6 * one_y + (2 + 3 * y) * torch.log((one_y + 1) / (one_y - 1)))  # (15)
    alpha_b = 2.07 * k_eq * sound * (1 + r_d) ** -0.75 * g  # (14)
    beta_b = 0.5 + f_b + (3 - 2 * f_b) * torch.sqrt((17.2 * m) ** 2 + 1)  # (24)
    beta_node = 8.41 * m**0.435  # (23)
    shifted = ks / (1 + (beta_node / ks) ** 3) ** (1 / 3)  # k s~, (22)
    baryons = (
        t0(1.0, 1.0) / (1 + (ks / 5.2) ** 2)
        + alpha_b / (1 + (beta_b / ks) ** 3) * torch.exp(-((k / k_silk) ** 1.4))
    ) * torch.sinc(shifted / math.pi)  # (21)
    return f_b * baryons + f_c * cold  # (16)


SIGMA_LNK = math.log(1e-6), math.log(1e2), 8001  # ln k of the integral for sigma_8: from, to, points


def eisenstein_hu_power(
    k: torch.Tensor,
    omega_m: Value,
    omega_b: Value,
    h: Value,
    n_s: Value,
    sigma_8: Value,
    ratio: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Linear P(k) today in (Mpc/h)^3, normalised to sigma_8; k > 0 in h/Mpc; all differentiable.

    Dark energy changes the growth but, on the scales of simulations, not the shape. A `ratio`, such as that of another
    model's power to this one, multiplies the shape: its values at k, and at the wavenumbers `sigma_grid`.
    """
    n_s, sigma_8 = (torch.as_tensor(x, dtype=k.dtype, device=k.device) for x in (n_s, sigma_8))

    def shape(k: torch.Tensor) -> torch.Tensor:
        return k**n_s * eisenstein_hu_transfer(k, omega_m, omega_b, h) ** 2

    lnk = torch.linspace(*SIGMA_LNK, dtype=k.dtype, device=k.device)
    grid = torch.exp(lnk)
    x = 8.0 * grid
    # below 0.01 the closed form cancels
    safe = torch.where(x < 1e-2, torch.ones_like(x), x)
    window = torch.where(x < 1e-2, 1 - x**2 / 10, 3 * (torch.sin(safe) - safe * torch.cos(safe)) / safe**3)
    integrand = grid**3 * shape(grid) * window**2
    power = shape(k)
    if ratio is not None:
        power, integrand = power * ratio[0], integrand * ratio[1]
    variance = torch.trapezoid(integrand, lnk) / (2 * math.pi**2)
    return power * sigma_8**2 / variance


def sigma_grid() -> np.ndarray:
    """The wavenumbers, h/Mpc, of the integral for sigma_8."""
    return np.exp(np.linspace(*SIGMA_LNK))


def eisenstein_hu_table(cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """`(k, p)`: k from 1e-6 to 1e3 h/Mpc, P in (Mpc/h)^3."""
    c = cosmology
    k = np.geomspace(1e-6, 1e3, 4001)
    p = eisenstein_hu_power(torch.from_numpy(k), c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8)
    return k, p.numpy()
