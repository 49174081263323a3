"""The options that say of a file what it does not say itself, which several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from zeldo.commands.options import Whole
from zeldo.commands.universe import Known


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading(Known):
    """How to read a file; see `zeldo.read`."""

    ids: str | None = None
    """Order of the ids on the lattice: i-major, k-major, ikj, tiles:8 and so on, or none for particles without a
    lattice. By default, the order that gives plausible displacements."""
    length: str | None = None
    """Unit of lengths, in place of the file's own: Mpc/h, kpc/h, Mpc or kpc."""
    velocities: str | None = None
    """Convention of velocities, in place of the file's own: peculiar, gadget (v / sqrt(a)), momentum (a v), or comoving
    (v / a)."""
    particle_type: Whole | None = None
    """Type of particles to read (1, dark matter)."""
    box: float | None = None
    """Side of the box in the file's unit of length, for files that do not give it."""
    redshift: Annotated[float | None, Parameter(name=["--redshift", "-z"])] = None
    """Redshift, for files that do not give it. For a universe in .zarr, the redshift to read; by default the lowest."""

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `zeldo.read`, without those that are not given."""
        cosmology = self.parameters()
        names = ("ids", "length", "velocities", "particle_type", "box", "redshift")
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return options | ({} if cosmology is None else {"cosmology": cosmology})
