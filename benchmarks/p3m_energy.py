"""The energies of a P3M run, for checks: the cosmic energy equation (Layzer 1963, Irvine 1961).

With the peculiar kinetic energy T and potential energy U per particle, d(a (T + U)) = - T da. Units: (100 km/s)^2 times
the particle's mass; lengths in Mpc/h.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from zeldo.engines.p3m.dynamics import PairDynamics
from zeldo.engines.p3m.mesh_kernels import paint_cells
from zeldo.engines.state import State
from zeldo.mesh.compile import kernel

TABLE = 20_000


def energies(dynamics: PairDynamics, state: State) -> tuple[float, float]:
    """T and U per particle. U contains a constant over a (the self-energy), which drops out of the equation."""
    p = state.v.astype(np.float64)
    kinetic = 0.5 * float(np.mean(p**2)) * 3 / state.a**2
    potential = mean_potential(dynamics, state)
    return kinetic, 0.5 * 1.5 * dynamics.ics.cosmology.omega_m / state.a * potential


def mean_potential(dynamics: PairDynamics, state: State) -> float:
    """The mean over particles of lap^-1 delta, (Mpc/h)^2, up to a constant."""
    mesh, cells, split = dynamics.mesh, dynamics.cells, dynamics.pairs.split
    phi = dynamics.potential(state)
    # reading is the adjoint of painting: the sum over particles is one over mesh points
    paint_cells(cells, mesh.field)
    smooth = float(np.mean(mesh.field * phi, dtype=np.float64))
    r = np.sqrt(np.linspace(0, 1, TABLE + 1)) * split.radius
    table = split.pair_potential(r) * (cells.box / cells.n) ** 3 / (4 * np.pi)
    close = _pair_potential(cells.position, cells.start, cells.count, cells.side, table)
    return smooth + close / cells.n**3


@kernel(parallel=True)
def _pair_potential(position, start, cells, side, table):  # type: ignore[no-untyped-def]
    """The sum over ordered pairs of a table in (r / R)^2."""
    total = 0.0
    last = table.size - 1
    for u in prange(cells * cells):
        i, j = np.int64(u) // cells, np.int64(u) % cells
        for k in range(cells):
            c = (i * cells + j) * cells + k
            for near in range(27):
                di, dj, dk = near // 9 - 1, near // 3 % 3 - 1, near % 3 - 1
                d = ((i + di) % cells * cells + (j + dj) % cells) * cells + (k + dk) % cells
                for p in range(start[c], start[c + 1]):
                    for q in range(start[d], start[d + 1]):
                        dx = position[0, q] + di * side - position[0, p]
                        dy = position[1, q] + dj * side - position[1, p]
                        dz = position[2, q] + dk * side - position[2, p]
                        y = (dx * dx + dy * dy + dz * dz) * last
                        if y < last and (c != d or p != q):
                            low = int(y)
                            total += table[low] + (y - low) * (table[low + 1] - table[low])
    return total
