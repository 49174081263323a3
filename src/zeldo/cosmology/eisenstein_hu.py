"""The transfer function of Eisenstein & Hu 1998 (astro-ph/9709112), of NumPy's arrays, or of tensors and differentiable.

Cold dark matter and baryons with acoustic oscillations; good to a few per cent against CAMB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar, Union

import numpy as np

from zeldo.cosmology.top_hat import arithmetic, top_hat

if TYPE_CHECKING:
    import torch

    from zeldo.cosmology.parameters import Cosmology

T_CMB = 2.7255  # K, Fixsen 2009
Value = Union[float, "torch.Tensor"]
Array = TypeVar("Array", np.ndarray, "torch.Tensor")


def eisenstein_hu_transfer(k: Array, omega_m: Value, omega_b: Value, h: Value) -> Array:
    """T(k) of matter, 1 at k -> 0; k > 0 in h/Mpc of any shape; differentiable in every argument.

    Equation numbers are those of the paper; the computation has the dtype and device of k.
    """
    xp = arithmetic(k)
    omega_m, omega_b, h = (_like(k, x) for x in (omega_m, omega_b, h))
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
    root = xp.sqrt(r_eq)
    sound = (
        2 / (3 * k_eq) * xp.sqrt(6 / r_eq) * xp.log((xp.sqrt(1 + r_d) + xp.sqrt(r_d + r_eq)) / (1 + root))
    )  # (6), Mpc
    k_silk = 1.6 * b**0.52 * m**0.73 * (1 + (10.4 * m) ** -0.95)  # (7)
    q = k / (13.41 * k_eq)  # (10)

    a1 = (46.9 * m) ** 0.670 * (1 + (32.1 * m) ** -0.532)
    a2 = (12.0 * m) ** 0.424 * (1 + (45.0 * m) ** -0.582)
    alpha_c = a1**-f_b * a2 ** -(f_b**3)  # (11)
    bb1 = 0.944 / (1 + (458 * m) ** -0.708)
    bb2 = (0.395 * m) ** -0.0266
    beta_c = 1 / (1 + bb1 * (f_c**bb2 - 1))  # (12)

    def t0(alpha: Any, beta: Any) -> Any:  # (19), (20)
        c = 14.2 / alpha + 386 / (1 + 69.9 * q**1.08)
        log = xp.log(math.e + 1.8 * beta * q)
        return log / (log + c * q**2)

    ks = k * sound
    f = 1 / (1 + (ks / 5.4) ** 4)  # (18)
    cold = f * t0(1.0, beta_c) + (1 - f) * t0(alpha_c, beta_c)  # (17)

    y = (1 + z_eq) / (1 + z_d)
    one_y = xp.sqrt(1 + y)
    g = y * (-6 * one_y + (2 + 3 * y) * xp.log((one_y + 1) / (one_y - 1)))  # (15)
    alpha_b = 2.07 * k_eq * sound * (1 + r_d) ** -0.75 * g  # (14)
    beta_b = 0.5 + f_b + (3 - 2 * f_b) * xp.sqrt((17.2 * m) ** 2 + 1)  # (24)
    beta_node = 8.41 * m**0.435  # (23)
    shifted = ks / (1 + (beta_node / ks) ** 3) ** (1 / 3)  # k s~, (22)
    baryons = (
        t0(1.0, 1.0) / (1 + (ks / 5.2) ** 2)
        + alpha_b / (1 + (beta_b / ks) ** 3) * xp.exp(-((k / k_silk) ** 1.4))
    ) * xp.sinc(shifted / math.pi)  # (21)
    return f_b * baryons + f_c * cold  # (16)


SIGMA_LNK = math.log(1e-6), math.log(1e2), 8001  # ln k of the integral for sigma_8: from, to, points


def eisenstein_hu_power(
    k: Array,
    omega_m: Value,
    omega_b: Value,
    h: Value,
    n_s: Value,
    sigma_8: Value,
    ratio: tuple[Array, Array] | None = None,
) -> Array:
    """Linear P(k) today in (Mpc/h)^3, normalised to sigma_8; k > 0 in h/Mpc; all differentiable.

    Dark energy changes the growth but, on the scales of simulations, not the shape. A `ratio`, such as that of another
    model's power to this one, multiplies the shape: its values at k, and at the wavenumbers `sigma_grid`.
    """
    xp = arithmetic(k)
    n_s, sigma_8 = (_like(k, x) for x in (n_s, sigma_8))

    def shape(k: Array) -> Any:
        return k**n_s * eisenstein_hu_transfer(k, omega_m, omega_b, h) ** 2

    where = {} if xp is np else {"device": k.device}
    lnk = xp.linspace(*SIGMA_LNK, dtype=k.dtype, **where)
    grid = xp.exp(lnk)
    integrand = grid**3 * shape(grid) * top_hat(8.0 * grid) ** 2
    power = shape(k)
    if ratio is not None:
        power, integrand = power * ratio[0], integrand * ratio[1]
    variance = xp.trapezoid(integrand, lnk) / (2 * math.pi**2)
    return power * sigma_8**2 / variance


def _like(k: Any, value: Any) -> Any:
    """A number as an array or tensor of the kind of k."""
    if isinstance(k, np.ndarray):
        return np.asarray(value, k.dtype)
    import torch

    return torch.as_tensor(value, dtype=k.dtype, device=k.device)


def sigma_grid() -> np.ndarray:
    """The wavenumbers, h/Mpc, of the integral for sigma_8."""
    return np.exp(np.linspace(*SIGMA_LNK))


def eisenstein_hu_table(cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """`(k, p)`: k from 1e-6 to 1e3 h/Mpc, P in (Mpc/h)^3."""
    import torch

    c = cosmology
    k = np.geomspace(1e-6, 1e3, 4001)
    # by torch, as gradients have it: its last digits are others than NumPy's
    p = eisenstein_hu_power(torch.from_numpy(k), c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8)
    return k, p.numpy()
