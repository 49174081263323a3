"""Cosmologies and seeds of the Quijote simulations (Villaescusa-Navarro et al. 2020, arXiv:1909.05273).

All were started with the phases of N-GenIC, in boxes of 1 Gpc/h, mostly with 512^3 particles. The parameters are those
of the paper's Table 1; those of the Latin hypercube are the suite's file latin_hypercube_params.txt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.errors import InputError, nearest
from zeldo.initial.ngenic import NGenIC

BOX = 1000.0  # Mpc/h
FIDUCIAL = PRESETS["quijote"]
DERIVATIVES = {
    "Om_p": {"omega_m": 0.3275},
    "Om_m": {"omega_m": 0.3075},
    "Ob_p": {"omega_b": 0.050},
    "Ob_m": {"omega_b": 0.048},
    "Ob2_p": {"omega_b": 0.051},
    "Ob2_m": {"omega_b": 0.047},
    "h_p": {"h": 0.6911},
    "h_m": {"h": 0.6511},
    "ns_p": {"n_s": 0.9824},
    "ns_m": {"n_s": 0.9424},
    "s8_p": {"sigma_8": 0.849},
    "s8_m": {"sigma_8": 0.819},
}
REALISATIONS = {"fiducial": 15000, "fiducial_LR": 1000, "fiducial_HR": 100, "fiducial_ZA": 500}
REALISATIONS |= dict.fromkeys(DERIVATIVES, 500)
PAIRS = 250  # NCV_0_i and NCV_1_i
HYPERCUBES = ("latin_hypercube", "latin_hypercube_HR")
HYPERCUBE_SEED = 467  # of all 2000 runs with fixed amplitudes
SETS = (*REALISATIONS, *HYPERCUBES)
NOT_HERE = {
    r"Mnu_|latin_hypercube_nwLH|nwLH": "massive neutrinos",
    r"w_[pm]": "initial conditions of N-GenIC with dark energy",
    r"DC_": "separate universes",
    r"LC_|EQ_|OR_|PNG": "primordial non-Gaussianity",
    r"ODD|BSQ|fR|MG": "other physics or another design",
}


@dataclass(frozen=True)
class Quijote(NGenIC):
    """Phases of one simulation, which bring its cosmology and box."""

    name: str = ""
    cosmology: Cosmology | None = None
    box: float | None = BOX

    @property
    def label(self) -> str:
        return f"quijote:{self.name}"


def simulation(name: str) -> Quijote:
    """A simulation of the suite by the name of its folder.

    Parameters
    ----------
    name : str
        "fiducial/17", "h_p/3", "fiducial/NCV_1_40" (fixed amplitudes; 1 is flipped), "latin_hypercube/100",
        "latin_hypercube/NCV_100" (fixed amplitudes).

    Raises
    ------
    InputError
        For a set or a number that does not exist, and for sets whose physics zeldo does not have.
    """
    kind, _, number = name.partition("/")
    if kind not in SETS:
        for pattern, reason in NOT_HERE.items():
            if re.match(pattern, kind):
                raise InputError(
                    f"Quijote's set {kind!r} is not supported ({reason}): choose one of {', '.join(SETS)}"
                )
        raise InputError(f"Quijote has no set {kind!r}: choose one of {', '.join(SETS)}{nearest(kind, SETS)}")
    if kind in HYPERCUBES:
        return _of_hypercube(kind, number)
    count = REALISATIONS[kind]
    cosmology = replace(FIDUCIAL, **DERIVATIVES.get(kind, {}))
    paired = kind == "fiducial" or kind in DERIVATIVES
    match = re.fullmatch(r"NCV_([01])_(\d+)", number) if paired else None
    if match and int(match[2]) < PAIRS:
        flip = match[1] == "1"
        return Quijote(10 * int(match[2]) + 1, True, flip, name=name, cosmology=cosmology)
    if re.fullmatch(r"\d+", number) and int(number) < count:
        return Quijote(10 * int(number) + 5, name=name, cosmology=cosmology)
    pairs = f", or NCV_0_0 to NCV_1_{PAIRS - 1}" if paired else ""
    raise InputError(f"Quijote has no {name!r}: give {kind}/0 to {kind}/{count - 1}{pairs}")


def _of_hypercube(kind: str, number: str) -> Quijote:
    cosmologies = latin_hypercube()
    match = re.fullmatch(r"(NCV_)?(\d+)", number)
    fixed = bool(match and match[1])
    if match is None or int(match[2]) >= len(cosmologies) or (fixed and kind != HYPERCUBES[0]):
        also = f", or NCV_0 to NCV_{len(cosmologies) - 1}" if kind == HYPERCUBES[0] else ""
        raise InputError(
            f"Quijote has no '{kind}/{number}': give {kind}/0 to {kind}/{len(cosmologies) - 1}{also}"
        )
    row = int(match[2])
    return Quijote(
        HYPERCUBE_SEED if fixed else row, fixed, name=f"{kind}/{number}", cosmology=cosmologies[row]
    )


@cache
def latin_hypercube() -> tuple[Cosmology, ...]:
    """The 2000 cosmologies of the Latin hypercube, in order."""
    table = np.loadtxt(str(files("zeldo.initial") / "data" / "latin_hypercube.txt"))
    names = ("omega_m", "omega_b", "h", "n_s", "sigma_8")
    return tuple(Cosmology(**dict(zip(names, map(float, row), strict=True))) for row in table)
