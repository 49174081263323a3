"""The options that say which universe: the same for every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token


def whole(kind: type, tokens: Sequence[Token]) -> int:
    """The whole number of a text; `ValueError` for a fraction, which would be cut off."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text} is no whole number")
    return int(number)


Whole = Annotated[int, Parameter(converter=whole)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Universe:
    """Which universe."""

    cosmology: str | None = None
    """A preset, quijote (default) or planck2018; the parameters below replace its own."""
    omega_m: float | None = None
    """Matter density today, baryons included."""
    omega_b: float | None = None
    """Baryon density today."""
    h: float | None = None
    """Hubble constant in 100 km/s/Mpc."""
    n_s: float | None = None
    """Primordial spectral index."""
    sigma_8: float | None = None
    """Linear rms density contrast today in spheres of 8 Mpc/h."""
    w0: float | None = None
    """Dark energy's equation of state today."""
    wa: float | None = None
    """Its change: w = w0 + wa (1 - a)."""
    box: float | None = None
    """Side of the box in Mpc/h (250)."""
    n: Annotated[Whole | None, Parameter(name=["--n", "-n"])] = None
    """Particles per side, even (128)."""
    seed: Whole | None = None
    """Of the phases (7)."""
    fixed: Annotated[bool, Parameter(negative="")] = False
    """Amplitudes of the modes fixed to their mean."""
    flip: Annotated[bool, Parameter(negative="")] = False
    """Phases inverted: the pair of the same seed."""
    phases: str | None = None
    """Where the phases are from: native (default), ngenic, quijote:fiducial/17 (with cosmology and box), or a file."""
    power: str | None = None
    """Linear power: camb (default), eisenstein-hu, or a file with columns k and P."""
    ics: Path | None = None
    """A file with a linear field: a reference run, or initial conditions. It fixes all of the above."""
