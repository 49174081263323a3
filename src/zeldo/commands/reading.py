"""The options that say of a file what it does not say itself, which several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from zeldo.commands.universe import Whole


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a file; see `zeldo.read`."""

    ids: str | None = None
    """Order of the ids on the lattice: i-major, k-major, ikj, tiles:8 and so on, or none for particles without a lattice.
    By default, the order that makes a universe."""
    length: str | None = None
    """Unit of lengths in place of the file's: Mpc/h, kpc/h, Mpc or kpc."""
    velocities: str | None = None
    """Convention of velocities in place of the file's: peculiar, gadget (v / sqrt(a)), momentum (a v), comoving (v / a)."""
    particle_type: Whole | None = None
    """Type of particles to read (1, dark matter)."""
    box: float | None = None
    """Side of the box, for files that do not give it, in their unit of length."""
    redshift: Annotated[float | None, Parameter(name=["--redshift", "-z"])] = None
    """Redshift, for files that do not give it."""
    cosmology: str | None = None
    """A preset, quijote or planck2018. The parameters below complete or replace it."""
    omega_m: float | None = None
    """Matter density today, for files that do not give it; so are the following."""
    omega_b: float | None = None
    """Baryon density today."""
    h: float | None = None
    """Hubble constant in 100 km/s/Mpc."""
    n_s: float | None = None
    """Primordial spectral index."""
    sigma_8: float | None = None
    """Linear rms density contrast today in spheres of 8 Mpc/h."""
    w0: float | None = None
    """Equation of state of dark energy today."""
    wa: float | None = None
    """Change of the equation of state: w = w0 + wa (1 - a)."""

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `zeldo.read`, without those that are not given."""
        from zeldo.cosmology.parameters import Cosmology

        given = {name: getattr(self, name) for name in Cosmology.names() if getattr(self, name) is not None}
        parameters = (
            Cosmology.preset(self.cosmology).to_dict() if self.cosmology is not None else {}
        ) | given
        names = ("ids", "length", "velocities", "particle_type", "box", "redshift")
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return options | ({"cosmology": parameters} if parameters else {})
