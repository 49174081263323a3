"""The Snapshot: the particles of a lattice at one redshift, with a record of where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zeldo.brief import brief
from zeldo.cosmology.background import CRITICAL_DENSITY
from zeldo.cosmology.parameters import Cosmology, check_cosmology
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions, Origin, check_grid
from zeldo.keywords import number, plain_scalars, real_array
from zeldo.particles.particles import into_box
from zeldo.particles.provenance import Provenance
from zeldo.particles.tiles import slabs
from zeldo.version import __version__

MADE = ("revision", "weights")  # of what made the particles, beside its version
TOLD = ("expected_error", "correction")  # by an emulator, of its own work
DRAWN = ("fixed", "flip", "power", "phases")  # how a field was drawn, beside its seed
PLANES = 16  # of the lattice that are looked at together


def drawn(source: Any) -> dict[str, Any]:
    """The seed and how the field was drawn that initial conditions, a snapshot or particles come from."""
    return {name: getattr(source, name) for name in ("seed", *DRAWN)}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """n^3 particles of equal mass in a periodic box at one redshift, in Lagrangian order.

    Parameters
    ----------
    psi : ndarray, (3, n, n, n)
        Displacement from the lattice point q = ((i, j, k) + offset) box / n, Mpc/h; stored as float32.
    vel : ndarray, (3, n, n, n), or None
        Peculiar velocity, km/s, stored as float32; None where the source has none.
    box : float
        Side of the periodic box, Mpc/h.
    cosmology : Cosmology
    redshift : float
        Above -1.
    engine : str
        The name of the engine or code that made it.
    seed : int, optional
        Seed of the phases, as in `InitialConditions`; None where unknown.
    settings : mapping
        The options of the engine.
    version : str
        Version of zeldo or of another code; see `Provenance`.
    fixed, flip : bool, optional
        As in `InitialConditions`; None where unknown.
    power : str, optional
        The linear power spectrum, as in `InitialConditions`.
    revision : int, optional
        Revision of the engine; see `Provenance`.
    weights : str, optional
        sha256 of the weights of a network; see `Provenance`.
    phases : str, optional
        Where the phases come from, as in `InitialConditions`.
    expected_error : mapping of str to sequence of float, optional
        Of an emulator: "k" in h/Mpc, and the errors to expect there, by "density power" (of P / P_true - 1),
        "density one_minus_r2" and so on; see `zeldo.networks.expected`.
    correction : mapping of str to float, optional
        Of an emulator: the rms of what the network added to "displacement" and "velocity", over that of the field.
    offset : tuple of float
        Where the lattice begins, in cells; (0.5, 0.5, 0.5) in files of some codes.

    Raises
    ------
    InputError
        For arrays of another shape or not of real numbers, and for a box, cosmology or redshift that is not allowed.
    """

    psi: np.ndarray
    vel: np.ndarray | None
    box: float
    cosmology: Cosmology
    redshift: float
    engine: str
    seed: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    version: str = __version__
    fixed: bool | None = None
    flip: bool | None = None
    power: str | None = None
    revision: int | None = None
    weights: str | None = None
    phases: str | None = None
    expected_error: Mapping[str, Sequence[float]] | None = None
    correction: Mapping[str, float] | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    __repr__ = brief

    @classmethod
    def of(
        cls,
        ics: InitialConditions | Origin,
        psi: np.ndarray,
        vel: np.ndarray | None,
        redshift: float,
        engine: str,
        settings: Mapping[str, object] | None = None,
        *,
        revision: int = 1,
        weights: str | None = None,
    ) -> Snapshot:
        """A snapshot that an engine made from initial conditions.

        Parameters
        ----------
        ics : InitialConditions or Origin
            Give the box, the cosmology, and how the linear field was drawn.
        psi, vel, redshift, engine, settings, revision, weights
            As in `Snapshot`.

        Returns
        -------
        Snapshot
        """
        more = {"settings": settings or {}, "revision": revision, "weights": weights, **drawn(ics)}
        return cls(psi, vel, ics.box, ics.cosmology, redshift, engine, **more)

    @property
    def provenance(self) -> Provenance:
        """The versions that made it."""
        return Provenance(self.version, self.revision, self.weights)

    def __post_init__(self) -> None:
        psi = real_array(self.psi, "psi")
        shape = psi.shape
        if len(shape) != 4 or shape[0] != 3 or len(set(shape[1:])) != 1:
            raise InputError(f"psi has shape {shape}: it must be (3, n, n, n)")
        box, _ = check_grid(self.box, shape[1])
        object.__setattr__(self, "box", box)
        plain_scalars(self, "seed", *DRAWN)
        check_cosmology(self.cosmology)
        redshift = number(self.redshift, "redshift")
        if not -1 < redshift < np.inf:
            raise InputError(f"redshift = {self.redshift!r} is not allowed: give a number above -1")
        object.__setattr__(self, "redshift", redshift)
        object.__setattr__(self, "psi", np.ascontiguousarray(psi, dtype=np.float32))
        if self.vel is not None:
            vel = real_array(self.vel, "vel")
            if vel.shape != shape:
                raise InputError(f"vel has shape {vel.shape}: psi has {shape} and both must agree")
            object.__setattr__(self, "vel", np.ascontiguousarray(vel, dtype=np.float32))

    @property
    def n(self) -> int:
        """Particles per side."""
        return self.psi.shape[1]

    @property
    def scale_factor(self) -> float:
        """a = 1 / (1 + z), 1 today."""
        return 1.0 / (1.0 + self.redshift)

    @property
    def particle_mass(self) -> float:
        """Mass of one particle, 10^10 Msun/h."""
        return CRITICAL_DENSITY * self.cosmology.omega_m * (self.box / self.n) ** 3

    @property
    def has_velocities(self) -> bool:
        """Whether there are velocities; they need not be read for this."""
        return self.vel is not None

    def slabs(self, field: str = "psi") -> Iterator[tuple[int, np.ndarray]]:
        """Walk through a field some lattice planes at a time.

        Parameters
        ----------
        field : {"psi", "vel"}

        Yields
        ------
        int, ndarray
            The first plane, and the field on it and on those that follow, (3, planes, n, n).
        """
        values = getattr(self, field)
        for first, end in slabs(self.n, PLANES):
            yield first, values[:, first:end]

    def planes(self, field: str, first: int = 0, end: int | None = None) -> np.ndarray:
        """A field on the lattice planes first to end.

        Parameters
        ----------
        field : {"psi", "vel"}
        first, end : int
            Range of planes along the first axis; all by default.

        Returns
        -------
        ndarray, (3, planes, n, n)
        """
        values: np.ndarray = getattr(self, field)
        return values[:, first:end]

    def positions(self, first: int = 0, end: int | None = None) -> np.ndarray:
        """Comoving positions of the particles in the lattice planes first to end; of all by default.

        Parameters
        ----------
        first, end : int
            Range of planes along the first axis.

        Returns
        -------
        ndarray, (planes n^2, 3)
            float64, in [0, box), Mpc/h; row ((i - first) n + j) n + k.
        """
        return positions_of(self.planes("psi", first, end), slice(first, end), self.box, self.offset)

    def velocities(self, first: int = 0, end: int | None = None) -> np.ndarray:
        """Peculiar velocities of the particles in the lattice planes first to end, in the order of `positions`.

        Parameters
        ----------
        first, end : int
            Range of planes along the first axis.

        Returns
        -------
        ndarray, (planes n^2, 3)
            float32, km/s.

        Raises
        ------
        InputError
            Where the snapshot has no velocities.
        """
        if not self.has_velocities:
            raise InputError(f"this snapshot ({self.engine}, z = {self.redshift:g}) holds no velocities")
        return np.ascontiguousarray(self.planes("vel", first, end).reshape(3, -1).T)


def positions_of(psi: np.ndarray, planes: slice, box: float, offset: Sequence[float]) -> np.ndarray:
    """`Snapshot.positions` of the displacements (3, planes, n, n) on some planes of the lattice."""
    n = psi.shape[2]
    x_axis, y_axis, z_axis = ((np.arange(n) + shift) * (box / n) for shift in offset)
    x = np.empty((*psi.shape[1:], 3))
    x[..., 0] = x_axis[planes, None, None] + psi[0]
    x[..., 1] = y_axis[None, :, None] + psi[1]
    x[..., 2] = z_axis[None, None, :] + psi[2]
    return into_box(x, box).reshape(-1, 3)
