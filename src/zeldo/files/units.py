"""Units of lengths and conventions of velocities in files, and how they become comoving Mpc/h and peculiar km/s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.errors import AGAIN, DamagedFileError, InputError, nearest
from zeldo.files.entries import positive

MPC = 3.0856775814913673e24  # cm; Gadget and others write 3.085678e24
MASS = 1.98841e43  # g, 10^10 Msun
KM = 1e5  # cm
LENGTHS = {
    "Mpc/h": (1.0, 0),
    "kpc/h": (1e-3, 0),
    "Mpc": (1.0, 1),
    "kpc": (1e-3, 1),
}  # in Mpc, and the power of h
# the power of a that a stored velocity is multiplied by to become peculiar
VELOCITIES = {"peculiar": 0.0, "gadget": 0.5, "momentum": -1.0, "comoving": 1.0}
VELOCITY_WORDS = {
    0.0: "peculiar",
    0.5: "peculiar / sqrt(a), Gadget's convention",
    -1.0: "a times peculiar (momentum)",
    1.0: "comoving, peculiar / a",
}
# the attributes with the power of a or h of a data set, in any code's spelling
EXPONENTS = {
    "a": ("a_scaling", "aexp-scale-exponent", "a-scale exponent"),
    "h": ("h_scaling", "h-scale-exponent", "h-scale exponent"),
}
OMEGA_M = 0.01, 1.1  # what a box full of matter may have
CLOSE = 0.01  # of omega_m, between what particles make and what it is
ROUND = 1e-3  # units of codes differ by their constants: 1.989e43 g and 1.98841e43 g are one unit


def velocity_words(power: float) -> str:
    """A velocity convention in words, from its power of a."""
    return VELOCITY_WORDS.get(power, f"peculiar / a^{power:g}")


def velocity_power(name: str) -> float:
    """The power of a of a convention by its name. `InputError` for an unknown one."""
    if name not in VELOCITIES:
        raise InputError(
            f"velocities = {name!r} is not allowed: give one of {', '.join(VELOCITIES)}{nearest(name, VELOCITIES)}"
        )
    return VELOCITIES[name]


def length_factor(name: str, h: float | None, where: str | Path) -> float:
    """What lengths in a unit are multiplied by to become Mpc/h. `InputError` for an unknown unit, or one that needs h."""
    if name not in LENGTHS:
        raise InputError(
            f"length = {name!r} is not allowed: give one of {', '.join(LENGTHS)}{nearest(name, LENGTHS)}"
        )
    factor, power = LENGTHS[name]
    if power and h is None:
        raise InputError(f"{where}: lengths are in {name} and h is not known: pass the cosmology of the run")
    return factor * (h or 1.0) ** power


def length_from_mass(mass: float, count: int, box: float, where: str | Path) -> tuple[str, str]:
    """The unit of lengths that a particle mass in 10^10 Msun/h and a box allow, with the reason in words.

    Mpc/h and kpc/h differ by 10^9 in density: one of them at most makes a universe. `InputError` where none does.
    """
    implied = {}
    for unit in ("Mpc/h", "kpc/h"):
        side = box * LENGTHS[unit][0]
        implied[unit] = mass * count / (CRITICAL_DENSITY * side**3)
        if OMEGA_M[0] < implied[unit] < OMEGA_M[1]:
            reason = f"its particles then make omega_m = {implied[unit]:.4g}"
            return unit, f"lengths are taken as {unit}, which the file does not say: {reason}"
    if not mass:
        raise InputError(
            f"{where} says neither its unit of length nor a particle mass: give --length kpc/h or Mpc/h"
        )
    raise InputError(
        f"{where}: a box of {box:g} with {count} particles of mass {mass:g} has an omega_m of {implied['Mpc/h']:.3g} in "
        f"Mpc/h and {implied['kpc/h']:.3g} in kpc/h: neither is a universe; give --length"
    )


def mass_factor(
    length: str | None, mass: float, count: int, box: float, omega_m: float | None, h: float | None
) -> tuple[float, list[str]]:
    """What masses become 10^10 Msun/h by, where lengths have no h by option, with what was assumed.

    Parameters
    ----------
    length : str, optional
        The unit of lengths by option.
    mass : float
        Of a particle, as if in 10^10 Msun/h; 0 where it is not known.
    count : int
    box : float
        Mpc/h.
    omega_m, h : float, optional
    """
    if length is None or not LENGTHS[length][1] or h is None:
        return 1.0, []
    implied = mass * count / (CRITICAL_DENSITY * box**3)
    if omega_m and abs(implied * h / omega_m - 1) < CLOSE <= abs(implied / omega_m - 1):
        reason = f"its particles then make omega_m = {implied * h:.4g}"
        return h, [f"masses are taken as 10^10 Msun, which the file does not say: {reason}"]
    return 1.0, ["masses are taken as 10^10 Msun/h, which the file does not say"]


def mass_words(unit: float) -> str:
    """A unit of masses in words: what they are in 10^10 Msun/h."""
    return "10^10 Msun/h" if unit == 1 else f"{unit:g} x 10^10 Msun/h"


def power_of_h(power: float, h: float | None, where: str | Path) -> float:
    """What an exponent of h other than Gadget's, -1, makes of a number. `InputError` where it does, and h is not known."""
    if power == -1:
        return 1.0
    if h is None:
        raise InputError(f"{where}: its units lack h, and h is not known: pass the cosmology of the run")
    return h ** (power + 1)


def rounded(ratio: float) -> float:
    """The power of ten next to a ratio of units where it is one but for a code's constants, else the ratio."""
    for power in (1.0, 1e-3, 1e3, 1e-10, 1e10):
        if abs(ratio / power - 1) < ROUND:
            return power
    return ratio


def length_words(factor: float, power_of_h: float = -1.0) -> str:
    """A unit of lengths in words: what they are in Mpc, and their power of h (-1: Mpc/h)."""
    unit = {1.0: "Mpc", 1e-3: "kpc"}.get(factor, f"{factor:g} Mpc")
    return unit + {-1.0: "/h", 0.0: ""}.get(power_of_h, f" h^{power_of_h:g}")


@dataclass(frozen=True)
class FileUnits:
    """Factors from a file's numbers to zeldo's, with the words for them.

    Parameters
    ----------
    values : dict
        Gadget's entries UnitLength_in_cm, UnitMass_in_g and UnitVelocity_in_cm_per_s, as far as the file has them.
    described : dict of str to dict
        The attributes of the data of each field, which may have powers of a and h.
    h : float, optional
    a : float
    path : Path
        For errors.
    """

    values: Mapping[str, Any]
    described: Mapping[str, Mapping[str, Any]]
    h: float | None
    a: float
    path: Path

    def _unit(self, name: str, cgs: float) -> float | None:
        return rounded(positive(self.values, name, self.path) / cgs) if name in self.values else None

    def exponents(self, field: str, of: str) -> dict[str, float]:
        """The powers of a or h that stand beside the data of a field, by their attributes."""
        data = self.described.get(field, {})
        return {name: float(np.asarray(data[name]).reshape(-1)[0]) for name in EXPONENTS[of] if name in data}

    def exponent(self, field: str, of: str, default: float) -> float:
        """The power of a or h of a field. `DamagedFileError` where attributes contradict each other."""
        given = self.exponents(field, of)
        if len(set(given.values())) > 1:
            both = " and ".join(f"{name} = {value:g}" for name, value in given.items())
            raise DamagedFileError(
                f"{self.path}, {field}: {both} contradict each other; {AGAIN}, or say its units by option"
            )
        return next(iter(given.values()), default)

    def mass(self) -> float:
        """The factor of masses."""
        of_h = self.exponent("masses", "h", -1.0)
        return (self._unit("UnitMass_in_g", MASS) or 1.0) * power_of_h(of_h, self.h, self.path)

    def lengths(self, given: str | None) -> tuple[float, str] | None:
        """The factor of lengths and its words, by option or by the file; None where neither says it."""
        if given is not None:
            return length_factor(given, self.h, self.path), f"{given} (by option)"
        unit = self._unit("UnitLength_in_cm", MPC)
        return None if unit is None else self._scaled(unit)

    def _scaled(self, unit: float) -> tuple[float, str]:
        """The factor and the words of a unit in Mpc, with the powers of h and a beside the positions."""
        power, of_a = self.exponent("positions", "h", -1.0), self.exponent("positions", "a", 1.0)
        words = length_words(unit, power) + ("" if of_a == 1 else f" a^{of_a - 1:g}")
        return unit * power_of_h(power, self.h, self.path) * self.a ** (of_a - 1), words

    def inferred(
        self, mass: float, count: int, box: float, beside: float = 0.0
    ) -> tuple[tuple[float, str], list[str]]:
        """As `lengths`, by what makes a universe, or by a unit in cm beside the data where there is no mass."""
        if beside and not mass:
            return self._scaled(rounded(beside / MPC)), []
        unit_name, note = length_from_mass(mass, count, box * self._scaled(1.0)[0], self.path)
        unit = LENGTHS[unit_name][0]
        agreed = beside and rounded(beside / MPC) == unit
        return self._scaled(unit), [] if agreed else [note]

    def velocities(self, power: float, given: str | None) -> tuple[float, str]:
        """The factor of velocities for a power of a, and its words, which say whether it is by option."""
        unit = self._unit("UnitVelocity_in_cm_per_s", KM) or 1.0
        of_h = self.exponent("velocities", "h", 0.0)
        words = velocity_words(power) + (" (by option)" if given else "")
        return unit * self.a**power * power_of_h(of_h - 1, self.h, self.path), words
