"""Expected costs of the engines on the CPU: memory from the sizes of arrays, time from measured costs.

Costs are nanoseconds of wall time on two idle cores (AMD EPYC, Zen 5) for one particle or mesh point and one force. They
were measured in boxes of 64^3 and 128^3 particles at a spacing of 2 Mpc/h. Clustering and the processor change them.
"""

from __future__ import annotations

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import Plan
from zeldo.engines.table import Row, Timetable

FIELD = 3 * 4  # bytes per particle of a vector field
GB = 1e9

# ns per particle, ns per mesh point, and bytes per mesh point: density, modes, and work space for the gradient
DIFFERENCE = (10.0, 7.5, 4 + 4 + 16)
SPECTRAL = (31.0, 9.5, 4 + 4 + 4)
LPT = 50.0  # ns per particle, with the first access to memory
FIRST_ORDER, SECOND_ORDER = 14.0, 41.0
PAIRS = 78.0  # ns per particle and pair step
CELLS = 4 + 12 + 4  # bytes per particle of the cell list: order, position, key
PAIR_MESH = 4 + 4 + 0.5  # bytes per mesh point: density, modes, an octant of the Green's function

USUAL = Cosmology.preset("quijote")
USUAL_SPACING = 2.0  # Mpc/h
USUAL_RMS = 10.0  # Mpc/h: how far the rms particle has moved today, in linear theory


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
        memory=(orders + 2 + (orders > 1)) * FIELD * n**3 / GB,
        seconds=1e-9 * cost * n**3 * (1 + 0.3 * (outputs - 1)),
    )


def mesh(n: int, factor: int, timetable: Timetable[Row], *, moving: bool, spectral: bool, cpu: bool) -> Plan:
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
    cpu : bool
        Whether the run is on the CPU; elsewhere no time was measured.

    Returns
    -------
    Plan
    """
    particle, point, room = SPECTRAL if spectral else DIFFERENCE
    asides = sum(output.aside is not None for output in timetable.outputs)
    forces = len(timetable.rows) + asides - moving  # COLA takes none at its start
    # psi, v and force, 2LPT's orders, psi and velocity of an output; a state aside has its own
    fields = 5 + 2 * moving + (2 if asides else 0)
    memory = (fields * FIELD + room * factor**3) * n**3 / GB
    seconds = 1e-9 * n**3 * (LPT + forces * (particle + point * factor**3))
    return Plan(memory, seconds if cpu else None, forces)


def pairs(n: int, factor: float, pair_steps: float, mesh_steps: int, work: float) -> Plan:
    """The cost of P3M: displacement, momentum, two forces, and a snapshot.

    Parameters
    ----------
    n : int
        Particles per side.
    factor : float
        Mesh points per particle and dimension.
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
    memory = (6 * FIELD + CELLS + PAIR_MESH * factor**3) * n**3 / GB
    seconds = 1e-9 * n**3 * PAIRS * (pair_steps + work * mesh_steps)
    return Plan(memory, seconds, round(pair_steps))
