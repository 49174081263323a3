"""The mesh kernels written out plainly in NumPy and float64, to compare with."""

import numpy as np

CORNERS = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]


def corners(psi, m, box, offset=0.0):
    """For each of eight corners: mesh indices (3, N) and weight (N,) of all particles."""
    n = psi.shape[1]
    q = np.array(np.meshgrid(*3 * [np.arange(n) * m / n], indexing="ij"))
    x = (q + psi.astype(float) * m / box + offset).reshape(3, -1)
    cell = np.floor(x).astype(int)
    part = x - cell
    for corner in CORNERS:
        c = np.array(corner)[:, None]
        yield (cell + c) % m, np.prod(np.where(c == 1, part, 1 - part), axis=0)


def paint(psi, m, box, offset=0.0):
    mesh = np.zeros((m, m, m))
    for index, weight in corners(psi, m, box, offset):
        np.add.at(mesh, tuple(index), weight)
    return mesh * (m / psi.shape[1]) ** 3


def read(field, psi, box, offset=0.0):
    parts = (weight * field[tuple(index)] for index, weight in corners(psi, len(field), box, offset))
    return sum(parts).reshape(psi.shape[1:])


def read_gradient(phi, psi, box, offset=0.0):
    h = box / len(phi)
    parts = []
    for axis in range(3):
        up, up2, down, down2 = (np.roll(phi, -step, axis) for step in (1, 2, -1, -2))
        parts.append(read(-(8 * (up - down) - (up2 - down2)) / (12 * h), psi, box, offset))
    return np.array(parts)
