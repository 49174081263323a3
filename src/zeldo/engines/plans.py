"""Expected costs of the engines on the CPU: memory from the sizes of arrays, time from measured costs.

Costs are nanoseconds of wall time on two idle cores (AMD EPYC, Zen 5) for one particle or mesh point and one force. They
were measured in boxes of 64^3 and 128^3 particles at a spacing of 2 Mpc/h. Clustering and the processor change them. Those
of the disk, and how costs grow with the lattice, are from boxes of 512^3 particles.
"""

from __future__ import annotations

import math

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import BLOCK, Plan
from zeldo.engines.table import Row, Timetable

FIELD = 3 * 4  # bytes per particle of a vector field
GB = 1e9
PYTHON = 0.25  # GB of Python, NumPy, Numba and CAMB
STORE = 0.15  # GB: zarr, and the shard that is written

# ns per particle, ns per mesh point
DIFFERENCE = (10.0, 7.5)
SPECTRAL = (31.0, 9.5)
MESH = 4  # bytes per mesh point: density, modes and potential in turn
LPT = 50.0  # ns per particle, with the first access to memory
FIRST_ORDER, SECOND_ORDER = 14.0, 41.0
# bytes per particle and per mesh point on a device of torch, within a factor of 1.6 of what runs and traces of it took
TORCH_FIELDS, TORCH_MESH = 180.0, 20.0
LARGE = 0.5  # the share by which costs grow when a lattice doubles
CACHED = 128  # points a side beyond which they do
PAIRS = 170.0  # ns per particle and pair step
POSITION = 12  # bytes per particle of the cell list, besides places in it and keys
PAIR_MESH = 4 + 4 + 0.5  # bytes per mesh point: density, modes, an octant of the Green's function

USUAL = Cosmology.preset("quijote")
USUAL_SPACING = 2.0  # Mpc/h
USUAL_RMS = 10.0  # Mpc/h: how far the rms particle has moved today, in linear theory
FARTHEST = 4.5  # sigma along one axis, of the particles of a plane
SLABS = 32  # of particles on disk at least, so that a few of them are small beside the mesh
STREAMED, STREAMED_MOVING = 20.0, 6.0  # ns per particle and force: the disk, and 2LPT from there
PLANES = 32  # of the lattice at least, whose forces are read together


def growth_of_costs(n: int) -> float:
    """What costs per particle of an n^3 lattice are in units of those of a small one: its fields leave the caches."""
    return 1 + LARGE * max(0.0, math.log2(n / CACHED))


def lattice(n: int, orders: int, outputs: int) -> Plan:
    """The cost of LPT: its orders, the displacement and velocity of a snapshot, and work space for the second order.

    Parameters
    ----------
    n : int
        Particles per side.
    orders : int
        1 for Zel'dovich, 2 for 2LPT.
    outputs : int
        Number of snapshots.

    Returns
    -------
    Plan
    """
    cost = (FIRST_ORDER, SECOND_ORDER)[orders - 1]
    return Plan(
        memory_gb=(orders + 2 + (orders > 1)) * FIELD * n**3 / GB,
        seconds=1e-9 * cost * growth_of_costs(n) * n**3 * (1 + 0.3 * (outputs - 1)),
    )


def mesh(
    n: int, factor: int, timetable: Timetable[Row], *, moving: bool, spectral: bool, device: str = "cpu"
) -> Plan:
    """The cost of leapfrog steps on a mesh.

    Parameters
    ----------
    n : int
        Particles per side.
    factor : int
        Mesh points per particle and dimension.
    timetable : Timetable
        The steps and outputs.
    moving : bool
        Whether velocities are relative to 2LPT (COLA).
    spectral : bool
        Whether the gradient is the exact one, in Fourier space.
    device : str
        As in `zeldo.mesh.gravity.gravity`. A time is given for "cpu" alone.

    Returns
    -------
    Plan
    """
    particle, point = SPECTRAL if spectral else DIFFERENCE
    asides = len(timetable.asides)
    forces = len(timetable.rows) + asides - moving  # COLA takes none at its start
    if device != "cpu":
        arrays = (TORCH_FIELDS + TORCH_MESH * factor**3) * n**3 / GB
        if device.partition(":")[0] in ("torch", "cpu"):
            return Plan(arrays, None, forces)
        return Plan(lattice(n, 2, len(timetable.outputs)).memory_gb, None, forces, device_gb=arrays)
    # psi and v, 2LPT's orders, at first or always; a copy of psi and v for an output before the last, or aside
    fields = 4 + 2 * (len(timetable.outputs) > 1 and moving) + spectral
    # the linear field, which COLA lets go, and the potential that is kept while a state aside is made
    extra = 4 * (not moving) + (MESH * factor**3 if asides else 0)
    room = MESH * factor**3 if spectral else _ring(n, factor)
    memory = (fields * FIELD + extra + MESH * factor**3 + room) * n**3 / GB
    seconds = 1e-9 * n**3 * growth_of_costs(n) * (LPT + forces * (particle + point * factor**3))
    return Plan(memory, seconds, forces)


def streamed(
    n: int, factor: int, timetable: Timetable[Row], *, moving: bool, block: int = BLOCK, fields: int = 2
) -> Plan:
    """The cost of leapfrog steps on a mesh with the particles on disk.

    Parameters
    ----------
    n, factor, timetable, moving
        As in `mesh`.
    block : int
        Planes of the lattice that outputs come in.
    fields : int
        Vector fields of an output.

    Returns
    -------
    Plan
    """
    asides = len(timetable.asides)
    forces = len(timetable.rows) + asides - moving
    slab = max(1, n // SLABS)
    # a slab in work, the next one, and the last one on its way to the disk; psi, v, force, and two slabs of 2LPT's orders
    steps = (3 * 2 + 1 + moving * 2 * 2) * slab
    step = MESH * factor**3 + _planes(n, factor, slab) + (fields * min(n, block) + steps) * FIELD / n
    lpt = 3 * MESH * (n + 2) / n + 2 * slab * FIELD / n
    # with a finer mesh the old slabs stay beside the new ones, in place of the potential
    beside = factor > 1
    # the last two are 2LPT's orders, at least at the start
    kept = (4 if beside else 2 * (1 + 1 / SLABS)) + 2 * (asides > 0) + 2
    particle, point = DIFFERENCE
    seconds = growth_of_costs(n) * (LPT + forces * (particle + point * factor**3))
    seconds += forces * (STREAMED + moving * STREAMED_MOVING)
    return Plan(
        max(step, lpt) * n**3 / GB,
        1e-9 * n**3 * seconds,
        forces,
        scratch_gb=(kept * FIELD + MESH * (not beside)) * n**3 / GB,
    )


def _ring(n: int, factor: int) -> float:
    """Bytes per particle of the planes of the gradient, and of the force, that are in memory together."""
    together = min(n, max(PLANES, n // 16))
    return _planes(n, factor, together) + FIELD * together / n


def _planes(n: int, factor: int, together: int) -> float:
    """Bytes per particle of the planes of the gradient that so many planes of the lattice need together."""
    reach = 2 * FARTHEST * USUAL_RMS / 3**0.5 / USUAL_SPACING
    return 4 * 4 * min(n, together + reach) * factor * (factor * n) ** 2 / n**3


def pairs(
    n: int, factor: float, cells: int, threads: int, pair_steps: float, mesh_steps: int, work: float
) -> Plan:
    """The cost of P3M: displacement, momentum, two forces, and a snapshot.

    Parameters
    ----------
    n : int
        Particles per side.
    factor : float
        Mesh points per particle and dimension.
    cells : int
        Of the cell list, per side.
    threads : int
        That sort particles into cells, each with counts of its own.
    pair_steps : float
        Number of pair steps.
    mesh_steps : int
        Number of mesh steps.
    work : float
        Time of a mesh force in units of a pair step.

    Returns
    -------
    Plan
    """
    place = 4 if n < 1290 else 8  # bytes of a particle's number
    listed = (place + POSITION + 4) * n**3 + (8 + threads * place) * cells**3
    memory = ((6 * FIELD + PAIR_MESH * factor**3) * n**3 + listed) / GB
    seconds = 1e-9 * n**3 * PAIRS * (pair_steps + work * mesh_steps)
    return Plan(memory, seconds, round(pair_steps))
