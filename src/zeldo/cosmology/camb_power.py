"""Linear power by CAMB (Lewis, Challinor & Lasenby 2000, astro-ph/9911177)."""

from __future__ import annotations

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError

KMAX = 20.0  # 1/Mpc: half the time of 50, and the tail continues it to better than 0.5 % up to 70 h/Mpc


def camb_table(cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """`(k, p)`: k to 1000 h/Mpc, P at z = 0 in (Mpc/h)^3 with an arbitrary amplitude.

    Massless neutrinos, cold dark matter and baryons, dark energy by PPF where it is not a constant.
    Raises `InputError` where CAMB refuses the cosmology.
    """
    import camb
    from camb.baseconfig import CAMBError

    h, ombh2 = cosmology.h, cosmology.omega_b * cosmology.h**2
    try:
        pars = camb.CAMBparams()
        pars.set_cosmology(
            H0=100 * h,
            ombh2=ombh2,
            omch2=cosmology.omega_m * h**2 - ombh2,
            omk=0.0,
            mnu=0.0,
        )
        if (cosmology.w0, cosmology.wa) != (-1.0, 0.0):
            pars.set_dark_energy(w=cosmology.w0, wa=cosmology.wa, dark_energy_model="ppf")
        pars.InitPower.set_params(As=2.1e-9, ns=cosmology.n_s)
        pars.WantCls = False
        pars.WantTensors = False
        pars.NonLinear = camb.model.NonLinear_none
        pars.set_matter_power(redshifts=[0.0], kmax=KMAX)
        pars.Transfer.high_precision = True  # without it P(k) is good to 1 % only
        results = camb.get_results(pars)
        k, _, p = results.get_linear_matter_power_spectrum(hubble_units=True, k_hunit=True)
    except (CAMBError, ValueError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"CAMB refuses {cosmology}: {reason}; change the cosmology or take the model 'eisenstein-hu'"
        ) from error
    k, p = np.asarray(k, dtype=np.float64), np.asarray(p[0], dtype=np.float64)
    if not (np.isfinite(p).all() and (p > 0).all()):
        raise InputError(
            f"CAMB finds no power for {cosmology}: change the cosmology or take the model 'eisenstein-hu'"
        )
    return with_tail(k, p, cosmology.n_s)


def with_tail(k: np.ndarray, p: np.ndarray, n_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The table continued to k = 1000 h/Mpc by P ~ k^(n_s - 4) ln^2(k / k0), k0 from its last factor of four.

    Matter that entered the horizon before equality has grown with the logarithm of k (Meszaros 1974).
    """
    root = np.sqrt(p * k ** (4 - n_s))
    last = k > k[-1] / 4
    slope = np.polyfit(np.log(k[last]), root[last], 1)[0]
    tail = np.geomspace(1.05 * k[-1], 1e3, 64)
    more = np.maximum(root[-1] + slope * np.log(tail / k[-1]), 1e-3 * root[-1])
    return np.append(k, tail), np.append(p, more**2 * tail ** (n_s - 4))
