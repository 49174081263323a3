"""What statistics take: a snapshot of a lattice, or bare particles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.errors import InputError, ZeldoWarning
from zeldo.particles.particles import Header, Particles, into_box, warn_of_species
from zeldo.particles.passes import for_kernels
from zeldo.particles.snapshot import Snapshot

TRACED = 64  # particles a side whose mesh a sparse species is measured on
EQUAL = 1e-5  # relative spread of masses that are rounded copies of one
UNEVEN = 0.01  # relative difference of a mass from an equal share of all matter, which is said
UNLIKELY = 3.0  # the ratio of both, which only another unit makes


@dataclass(frozen=True, eq=False)
class Matter:
    """Particles of equal mass in a periodic box, of a lattice or in any order.

    Parameters
    ----------
    source : Snapshot or Particles
        Where they come from.
    """

    source: Snapshot | Particles

    @property
    def header(self) -> Snapshot | Header:
        """What knows the box, the redshift and the cosmology."""
        return self.source if isinstance(self.source, Snapshot) else self.source.header

    @property
    def name(self) -> str:
        """What messages call them."""
        if isinstance(self.source, Particles):
            return self.source.name
        return f"this snapshot ({self.source.engine}, z = {self.source.redshift:g})"

    @property
    def box(self) -> float:
        """Mpc/h."""
        return self.header.box

    @property
    def redshift(self) -> float:
        return self.header.redshift

    @property
    def scale_factor(self) -> float:
        return self.header.scale_factor

    @property
    def count(self) -> int:
        """Number of particles."""
        return self.source.n**3 if isinstance(self.source, Snapshot) else len(self.source)

    @property
    def n(self) -> int:
        """Particles per side of the lattice, or of one with about as many; even. Of tracers, `TRACED` at least."""
        if isinstance(self.source, Snapshot):
            return self.source.n
        # few tracers have power on scales far below their distances
        least = 2 if self.source.header.whole else TRACED
        return max(least, 2 * round(np.cbrt(self.count) / 2))

    @property
    def spacing(self) -> float:
        """Mean particle spacing, (V / N)^(1/3), Mpc/h."""
        return self.box / (self.n if isinstance(self.source, Snapshot) else float(np.cbrt(self.count)))

    @property
    def cosmology(self) -> Cosmology:
        """The cosmology. Where only some parameters are known, its density and expansion alone hold true.

        Raises
        ------
        InputError
            Where omega_m is not known.
        """
        header = self.header
        if header.cosmology is not None:
            return header.cosmology
        known = self.parameters
        if "omega_m" not in known:
            raise InputError(
                f"{self.name} does not say omega_m: pass the cosmology of the run, as by --omega-m"
            )
        assumed = PRESETS["quijote"].to_dict() | known
        return Cosmology(**assumed | {"omega_b": min(assumed["omega_b"], 0.5 * assumed["omega_m"])})

    @property
    def parameters(self) -> dict[str, float]:
        """Those parameters of the cosmology that are known, by name."""
        if self.header.cosmology is not None:
            return self.header.cosmology.to_dict()
        return dict(self.source.header.parameters) if isinstance(self.source, Particles) else {}

    @cached_property
    def particle_mass(self) -> float:
        """10^10 Msun/h: what the particles say, or else an equal share of the box's matter.

        One species of several has such a share too, as on a lattice: it stands for all matter.

        Raises
        ------
        InputError
            Where their masses differ.
        """
        if isinstance(self.source, Snapshot):
            return self.source.particle_mass
        _check_masses(self.source)
        header = self.source.header
        said = header.cosmology is not None or "omega_m" in header.parameters
        if not header.whole and said:
            warn_of_species(self.source)
            return self._share
        mass = header.particle_mass
        if "masses" in self.source.fields:
            mass = float(self.source.read("masses", 0, 1)[0])
        if not mass:
            return self._share
        if header.whole and said:
            self._check_share(mass)
        return mass

    def _check_share(self, mass: float) -> None:
        """Warn of particles that do not add up to omega_m, and refuse those that are in another unit of mass."""
        omega_m, ratio = self.cosmology.omega_m, mass / self._share
        made = f"{self.name}: particles of {mass:.4g} x 10^10 Msun/h make omega_m = {ratio * omega_m:.4g}, not {omega_m:g}"
        if not 1 / UNLIKELY < ratio < UNLIKELY:
            raise InputError(f"{made}: give masses in 10^10 Msun/h")
        if abs(ratio - 1) > UNEVEN:
            warnings.warn(
                f"{made}: halos have the masses of particles, and thresholds of overdensity are of all matter",
                ZeldoWarning,
                stacklevel=3,
            )

    @property
    def _share(self) -> float:
        return CRITICAL_DENSITY * self.cosmology.omega_m * self.box**3 / self.count

    @property
    def points(self) -> np.ndarray:
        """Displacements (3, n, n, n) of a lattice, positions (N, 3) of bare particles, Mpc/h."""
        if isinstance(self.source, Snapshot):
            return self._finite(self.source.psi, "psi")
        _check_masses(self.source)
        return self._finite(for_kernels(self.source.positions), "positions")

    @property
    def velocities(self) -> np.ndarray:
        """Peculiar velocities in the shape of `points`, km/s. `InputError` where there are none."""
        vel = self.source.vel if isinstance(self.source, Snapshot) else None
        if vel is not None:
            return self._finite(vel, "vel")
        if not self.has_velocities:
            raise InputError(f"{self.name} holds no velocities: redshift space needs them")
        assert isinstance(self.source, Particles)
        return self._finite(for_kernels(self.source.velocities), "velocities")

    @property
    def has_velocities(self) -> bool:
        if isinstance(self.source, Snapshot):
            return self.source.has_velocities
        return "velocities" in self.source.fields

    def positions(self) -> np.ndarray:
        """(N, 3) float64 in [0, box), Mpc/h; of a lattice in Lagrangian order."""
        if isinstance(self.source, Snapshot):
            with np.errstate(invalid="ignore"):  # of infinities, which are refused here
                return self._finite(self.source.positions(), "psi")
        _check_masses(self.source)
        given = self._finite(self.source.positions, "positions")
        return into_box(given.astype(np.float64), self.box)

    def _finite(self, values: np.ndarray, field: str) -> np.ndarray:
        """The same values; `InputError` where some are not finite, which only those made in memory can be."""
        if not np.isfinite([values.min(), values.max()]).all():  # a NaN is both; no copy is made
            raise InputError(
                f"{field} of {self.name} holds values that are not finite: check the initial conditions and "
                "options it was made from"
            )
        return values


def matter_of(source: Snapshot | Particles, asked: str = "a statistic") -> Matter:
    """The matter of a snapshot or of particles.

    Parameters
    ----------
    source : Snapshot or Particles
        What the user gave.
    asked : str
        The name of the function that it was given to, for messages.

    Raises
    ------
    InputError
        For anything else, with what to give.
    """
    if isinstance(source, Snapshot):
        return Matter(source)
    if isinstance(source, Particles):
        if not len(source):
            raise InputError(f"{source.name} has no particles: {asked} needs some")
        return Matter(source)
    kind = type(source).__name__
    if isinstance(source, Sequence) and not isinstance(source, str):
        advice = "give one of them, as in snapshots[0]"
        raise InputError(f"{asked} takes one snapshot and was given a {kind} of {len(source)}: {advice}")
    advice = "give a Snapshot or Particles, such as zeldo.read(path) returns"
    raise InputError(f"{asked} was given a {kind}: {advice}")


def lattice_of(source: Snapshot, asked: str) -> Snapshot:
    """The snapshot; `InputError` for anything else, as of `matter_of`, and for bare particles."""
    if isinstance(matter_of(source, asked).source, Snapshot):
        return source
    raise InputError(
        f"{asked} takes lattices and was given bare particles: mode by mode they cannot be compared"
    )


def _check_masses(particles: Particles) -> None:
    """`InputError` where masses differ."""
    if "masses" not in particles.fields:
        return
    first = float(particles.read("masses", 0, 1)[0])
    for start, stop in particles.slices():
        if not np.allclose(particles.read("masses", start, stop), first, rtol=EQUAL, atol=0):
            raise InputError(
                f"{particles.name}: particles have different masses, and statistics count all alike: "
                "give one species of equal masses"
            )
