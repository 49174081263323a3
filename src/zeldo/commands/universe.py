"""The options that describe the universe, which several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclopts import Parameter

from zeldo.commands.options import Flag, Named, PerSide, Whole

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology


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
    n: PerSide = None
    """Particles per side, even (128)."""
    seed: Whole | None = None
    """Seed of the random phases (7)."""
    fixed: Flag = False
    """Set the amplitude of every mode to its expected value."""
    flip: Flag = False
    """Change the sign of the linear field, for the paired simulation of the same seed."""
    phases: str | None = None
    """Source of the phases: native (default), ngenic, quijote:fiducial/17 (sets cosmology and box), or a file."""
    power: str | None = None
    """Linear power spectrum: camb (default), eisenstein-hu, or a file with columns k and P."""
    ics: Named | None = None
    """Initial conditions: a reference run, a linear field, or particles of any code at an early time. They replace all
    options above, except for parameters of the cosmology that the file lacks."""
