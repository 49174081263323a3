"""The options that describe the universe, which several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import CoercionError, Parameter, Token

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology


def whole(kind: type, tokens: Sequence[Token]) -> int:
    """The whole number in a text, such as 128 or 1e3. `ValueError` for a fraction, which would otherwise be cut off."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text} is not a whole number")
    return int(number)


def some(kind: type, tokens: Sequence[Token]) -> str:
    """The text. `CoercionError` for an empty one, which as a path would be the directory of the command."""
    if not tokens[0].value:
        raise CoercionError(msg="an empty name is not allowed: give that of a file")
    return tokens[0].value


def named(kind: type, tokens: Sequence[Token]) -> Path:
    """The path in a text; errors as of `some`."""
    return Path(some(kind, tokens))


Named = Annotated[Path, Parameter(converter=named)]
Whole = Annotated[int, Parameter(converter=whole)]
Axis = Literal["x", "y", "z", "0", "1", "2"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CosmologyOptions:
    """A cosmology; see `zeldo.Cosmology`."""

    cosmology: str | None = None
    """A preset, quijote or planck2018. The parameters below replace those of the preset."""
    omega_m: float | None = None
    """Matter density today over the critical density, baryons included."""
    omega_b: float | None = None
    """Baryon density today over the critical density."""
    h: float | None = None
    """Hubble constant over 100 km/s/Mpc."""
    n_s: float | None = None
    """Primordial spectral index."""
    sigma_8: float | None = None
    """Linear rms density contrast today in spheres of radius 8 Mpc/h."""
    w0: float | None = None
    """Equation of state of dark energy today."""
    wa: float | None = None
    """Change of the equation of state: w = w0 + wa (1 - a)."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Known(CosmologyOptions):
    """The cosmology of a file that does not give all its parameters."""

    cosmology: str | None = None
    """A preset, quijote or planck2018, for files that lack some parameters. The parameters below replace its own."""

    def parameters(self) -> Cosmology | dict[str, float] | None:
        """The preset with the parameters that replace its own. Without a preset, the parameters that were given, if any."""
        from zeldo.cosmology.parameters import Cosmology, with_parameters

        values = {name: getattr(self, name) for name in Cosmology.names()}
        return with_parameters(self.cosmology, **values) or None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Universe(CosmologyOptions):
    """The universe of a run; see `zeldo.Universe`."""

    cosmology: str | None = None
    """A preset, quijote (default) or planck2018. The parameters below replace those of the preset."""
    box: float | None = None
    """Side of the box in Mpc/h (250)."""
    n: Annotated[Whole | None, Parameter(name=["--n", "-n"])] = None
    """Particles per side, even (128)."""
    seed: Whole | None = None
    """Seed of the random phases (7)."""
    fixed: Annotated[bool, Parameter(negative="")] = False
    """Set the amplitude of every mode to its expected value."""
    flip: Annotated[bool, Parameter(negative="")] = False
    """Change the sign of the linear field, for the paired simulation of the same seed."""
    phases: str | None = None
    """Source of the phases: native (default), ngenic, quijote:fiducial/17 (sets cosmology and box), or a file."""
    power: str | None = None
    """Linear power spectrum: camb (default), eisenstein-hu, or a file with columns k and P."""
    ics: Named | None = None
    """Initial conditions: a reference run, a linear field, or particles of any code. They replace all options above,
    except for parameters of the cosmology that the file lacks."""
