"""The model card: what a set of weights is, how its fields are normalised, and where it may be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError, nearest

# How fields are normalised, and what the network is told (`networks.field` carries each of them out), by the
# number of styles that it is told.
NORMALISATIONS = (
    "growth",  # fields over 6 D(z) Mpc/h (velocity: times H f / (1 + z)) of flat LCDM with omega_m = 0.31
    "style",  # today; fields over 6 Mpc/h (velocity: times 100 f(0.31)); style 5 (omega_m - 0.3)
    "style and growth",  # input D psi_lin / 6, output times 6, velocity by the derivative; styles also D - 1
)
QUANTITIES = ("displacement", "velocity", "displacement and velocity")
ARCHITECTURES = ("vnet", "styled vnet")
_REMEDY = "choose a value inside, or allow it with extrapolate=True"


@dataclass(frozen=True)
class ModelCard:
    """What a network is and where it may be used.

    architecture, arguments: of the module's constructor. normalisation: one of `NORMALISATIONS`; quantity:
    one of `QUANTITIES`. redshift, spacing (of the lattice, Mpc/h), omega_m, sigma_8 (None: any): the ranges it may
    be used in. training: a note on data, seeds, steps, hours, device. accuracy: measured numbers, by name.
    Raises `InputError` for an unknown name or a range that is none.
    """

    architecture: str
    arguments: Mapping[str, int]
    normalisation: str
    quantity: str
    redshift: tuple[float, float]
    spacing: tuple[float, float]
    omega_m: tuple[float, float]
    training: str = ""
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    sigma_8: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("architecture", ARCHITECTURES),
            ("normalisation", NORMALISATIONS),
            ("quantity", QUANTITIES),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(
                    f"{name} {value!r} is not known: choose one of {', '.join(allowed)}"
                    f"{nearest(str(value), allowed)}"
                )
        for name in ("redshift", "spacing", "omega_m", *(["sigma_8"] if self.sigma_8 is not None else [])):
            try:
                low, high = (float(value) for value in getattr(self, name))
            except (TypeError, ValueError):
                low, high = math.nan, math.nan
            if not low <= high or not math.isfinite(high - low):
                raise InputError(f"{name} = {getattr(self, name)!r} is no range: give (lowest, highest)")
            object.__setattr__(self, name, (low, high))
        object.__setattr__(self, "arguments", {str(k): int(v) for k, v in self.arguments.items()})
        styles = self.arguments.get("styles", 1) if self.architecture == "styled vnet" else 0
        if styles < len(NORMALISATIONS) and self.normalisation != NORMALISATIONS[styles]:
            raise InputError(
                f"a {self.architecture} of {styles} styles cannot have the normalisation {self.normalisation!r}: "
                f"give {NORMALISATIONS[styles]!r}"
            )
        object.__setattr__(self, "accuracy", dict(self.accuracy))

    def check_range(self, cosmology: Cosmology, *, redshift: float, spacing: float) -> None:
        """Raise `InputError` for what is outside the card's ranges, or another dark energy than the network knows."""
        values = {"redshift": redshift, "spacing": spacing, "omega_m": cosmology.omega_m}
        if self.sigma_8 is not None:
            values["sigma_8"] = cosmology.sigma_8
        for name, value in values.items():
            low, high = getattr(self, name)
            if not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
                raise InputError(
                    f"{name} = {value:g}{' Mpc/h' if name == 'spacing' else ''} is outside the range that the "
                    f"network's card allows, {low:g} to {high:g}: {_REMEDY}"
                )
        # no network here has seen another dark energy than a cosmological constant
        if (cosmology.w0, cosmology.wa) != (-1, 0):
            raise InputError(
                f"w0 = {cosmology.w0:g}, wa = {cosmology.wa:g} is outside what the network's card allows, w0 = -1 "
                f"and wa = 0: {_REMEDY}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelCard:
        """The card of `to_dict`. Raises `InputError` for missing or unknown entries."""
        known = [each.name for each in fields(cls)]
        for name in content:
            if name not in known:
                raise InputError(
                    f"the model card has an unknown entry {name!r}: it was written by another version"
                )
        missing = [name for name in known[:7] if name not in content]
        if missing:
            raise InputError(f"the model card misses {', '.join(missing)}: write the file again with zeldo")
        return cls(**content)


# Quijote boxes: 512^3 particles in (1 Gpc/h)^3. The paper tests its network on 2000 cosmologies of their
# Latin hypercube; the styled networks are trained on it.
_SPACING = (1000 / 512, 1000 / 512)
_OMEGA_M = (0.1, 0.5)
_SIGMA_8 = (0.6, 1.0)


def public_card(architecture: str, arguments: Mapping[str, int], quantity: str | None) -> ModelCard:
    """The card of a published checkpoint, which carries none. quantity: "displacement" where not given."""
    if architecture == "vnet":
        return ModelCard(
            architecture,
            arguments,
            "growth",
            quantity or "displacement",
            (0, 0),
            _SPACING,
            _OMEGA_M,
            "imported; as de Oliveira et al. 2020: 180 Quijote simulations of the fiducial cosmology",
            sigma_8=_SIGMA_8,
        )
    if arguments["styles"] == 2:
        return ModelCard(
            architecture,
            arguments,
            "style and growth",
            quantity or "displacement and velocity",
            (0, 3),
            _SPACING,
            _OMEGA_M,
            "imported; as Jamieson et al. 2024: Quijote simulations of the Latin hypercube, z = 0 to 3",
            sigma_8=_SIGMA_8,
        )
    return ModelCard(
        architecture,
        arguments,
        "style",
        quantity or "displacement",
        (0, 0),
        _SPACING,
        _OMEGA_M,
        "imported; as Jamieson et al. 2022: Quijote simulations of the Latin hypercube, z = 0",
        sigma_8=_SIGMA_8,
    )
