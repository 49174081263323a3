"""From particles to the lattice `Snapshot` and back."""

from __future__ import annotations

import numpy as np

from zeldo.errors import InputError
from zeldo.particles.displacements import displacement, velocity
from zeldo.particles.finding import find
from zeldo.particles.id_orders import NONE
from zeldo.particles.lattice_points import Lattice, NoLatticeError, Vector, check_finite, lattice_side
from zeldo.particles.particles import Header, Particles, Source, warn_of_species
from zeldo.particles.snapshot import DRAWN, MADE, PLANES, TOLD, Snapshot, positions_of

__all__ = [
    "Lattice",
    "NoLatticeError",
    "check_finite",
    "displacement",
    "find",
    "header_of",
    "particles_of",
    "recognise",
    "velocity",
]

# what headers and snapshots both say
SHARED = (
    *("box", "redshift", "cosmology", "engine", "settings", "version", "seed"),
    *(*DRAWN, *MADE, *TOLD),
)
SMALLEST = 4  # particles per side of a `Snapshot`
NEEDED = ("omega_m", "omega_b", "h", "sigma_8", "n_s")  # of a cosmology, in the order of messages


def particles_of(snapshot: Snapshot) -> Particles:
    """The particles of a snapshot in lattice order, made slice by slice when they are read; ids count from 1."""
    return Particles.backed(SnapshotRows(snapshot))


def header_of(snapshot: Snapshot) -> Header:
    """What a snapshot says of itself."""
    return Header(
        count=snapshot.n**3,
        particle_mass=snapshot.particle_mass,
        n=snapshot.n,
        offset=snapshot.offset,
        own=True,
        **{name: getattr(snapshot, name) for name in SHARED},
    )


class SnapshotRows(Source):
    """Holds the planes that it made rows of, since those of a snapshot on disk are read together."""

    def __init__(self, snapshot: Snapshot) -> None:
        fields: dict[str, np.dtype] = {"positions": np.dtype(np.float64)}
        if snapshot.has_velocities:
            fields["velocities"] = np.dtype(np.float32)
        fields["ids"] = np.dtype(np.uint64 if snapshot.n**3 >= 2**32 else np.uint32)
        super().__init__(f"the snapshot at z = {snapshot.redshift:g}", header_of(snapshot), fields)
        self._snapshot = snapshot
        self._held: tuple[str, int, np.ndarray] = "", 0, np.empty((3, 0))

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        if field == "ids":
            return np.arange(start + 1, stop + 1, dtype=self.fields[field])
        snapshot, plane = self._snapshot, self._snapshot.n**2
        first, end = start // plane, -(-stop // plane)
        if field == "positions":
            psi = self._planes("psi", first, end)
            rows = positions_of(psi, slice(first, end), snapshot.box, snapshot.offset)
        else:
            rows = np.ascontiguousarray(self._planes("vel", first, end).reshape(3, -1).T)
        return rows[start - first * plane : stop - first * plane]

    def _planes(self, field: str, first: int, end: int) -> np.ndarray:
        held, begin, values = self._held
        if held != field or not begin <= first <= end <= begin + values.shape[1]:
            begin = first // PLANES * PLANES
            if held != field:
                del values
                self._held = "", 0, np.empty((3, 0))
            values = self._snapshot.planes(field, begin, min(self._snapshot.n, max(end, begin + PLANES)))
            self._held = field, begin, values
        return values[:, first - begin : end - begin]


def recognise(particles: Particles, ids: str | None = None) -> Snapshot:
    """The lattice that particles started from, with their displacements.

    Rows may be in any order where ids count the lattice in an order of `id_orders`. The fields are read slice by slice.

    Parameters
    ----------
    particles : Particles
    ids : str, optional
        The order of the ids, which is found by trying where absent.

    Raises
    ------
    InputError
        For particles that are no whole lattice of equal masses, or whose cosmology is not known in full.
    DamagedFileError
        For particles that contradict their header, or themselves.
    """
    if ids != NONE:
        n = lattice_side(particles.header.count, particles.name)
        if n % 2 or n < SMALLEST:
            raise NoLatticeError(
                f"{particles.name} has {n}^3 particles: snapshots have an even number per side, {SMALLEST} at least; "
                "give another, or open it as particles"
            )
        check_cosmology(particles)
    lattice = find(particles, ids)
    if not particles.header.whole:
        warn_of_species(particles)
    psi, lattice = displacement(particles, lattice)
    return as_snapshot(particles.header, psi, velocity(particles, lattice), lattice.offset)


def as_snapshot(header: Header, psi: np.ndarray, vel: np.ndarray | None, offset: Vector) -> Snapshot:
    """A snapshot of these fields, (3, n, n, n), with the entries of the header."""
    assert header.cosmology is not None  # `check_cosmology` has seen to it
    return Snapshot(psi=psi, vel=vel, offset=offset, **{name: getattr(header, name) for name in SHARED})


def check_cosmology(particles: Particles) -> None:
    """`InputError` where not all parameters of the cosmology are known."""
    header = particles.header
    if header.cosmology is None:
        missing = [name for name in NEEDED if name not in header.parameters]
        single, options = (
            (f"{name}=..." for name in missing),
            (f"--{name.replace('_', '-')}" for name in missing),
        )
        raise InputError(
            f"{particles.name} does not say {', '.join(missing)}: pass the cosmology of the run, as in "
            f"cosmology='quijote' (--cosmology quijote), or only {', '.join(single)} ({', '.join(options)}); "
            "zeldo.read(..., ids='none') reads bare particles"
        )
