"""Redshift space: where galaxies appear when distance is read off a redshift, along one axis of the box.

Plane-parallel: s = x + v_los (1 + z) / H in comoving Mpc/h (Kaiser 1987; Hamilton 1998, astro-ph/9708102).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from zeldo.brief import brief
from zeldo.cosmology.background import expansion
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.scalars import Scalar, scalar
from zeldo.keywords import axis_index
from zeldo.mesh.checks import MAX_MESH, check_mesh
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.matter import matter_of
from zeldo.statistics.modes import as_tensor, density_modes, mode_numbers
from zeldo.statistics.spectra import bins


@dataclass(frozen=True, eq=False)
class Multipoles:
    """P_l(k) = (2l + 1) <P(k) L_l(mu)> over the modes of a bin; arrays of one length, float64.

    In the lowest bins the few directions of a box leak some of the monopole into the hexadecapole.

    Parameters
    ----------
    k : ndarray
        Mean wavenumber of each bin, h/Mpc.
    monopole, quadrupole, hexadecapole : ndarray
        (Mpc/h)^3.
    modes : ndarray
        Number of modes in each bin.
    """

    k: np.ndarray
    monopole: np.ndarray
    quadrupole: np.ndarray
    hexadecapole: np.ndarray
    modes: np.ndarray

    __repr__ = brief


def shift_per_velocity(cosmology: Cosmology, redshift: float) -> Scalar:
    """(1 + z) / H, Mpc/h per km/s: how far along the line of sight velocities move particles. A tensor where E(a) is one."""
    return scalar((1 + redshift) / (100.0 * expansion(cosmology, 1 / (1 + redshift))))


def redshift_space_points(snapshot: Snapshot | Particles, axis: int | str = "z") -> np.ndarray:
    """Where a distant observer sees the particles in redshift space.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        With velocities.
    axis : {"x", "y", "z", 0, 1, 2}
        The line of sight.

    Returns
    -------
    ndarray
        Displacements (3, n, n, n) from the lattice, float32, or positions (N, 3) of bare particles; Mpc/h.

    Raises
    ------
    InputError
        For a snapshot without velocities, and another axis.
    """
    matter = matter_of(snapshot, "redshift_space_multipoles")
    velocities = matter.velocities
    points = matter.points.copy()
    index = axis_index(axis)
    along = index if points.ndim == 4 else np.s_[:, index]
    points[along] += velocities[along] * np.float32(shift_per_velocity(matter.cosmology, matter.redshift))
    return points


def redshift_space_multipoles(
    snapshot: Snapshot | Particles,
    axis: int | str = "z",
    *,
    mesh: int | None = None,
    subtract_shot_noise: bool = False,
    device: str | torch.device = "cpu",
) -> Multipoles:
    """Monopole, quadrupole and hexadecapole of the matter in redshift space.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        With velocities.
    axis : {"x", "y", "z", 0, 1, 2}
        The line of sight.
    mesh : int, optional
        Points per side, as in `power_spectrum`.
    subtract_shot_noise : bool
        As in `power_spectrum`; shot noise enters the monopole alone.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Multipoles

    Raises
    ------
    InputError
        For a snapshot without velocities, and another axis.
    """
    index = axis_index(axis)
    matter = matter_of(snapshot, "redshift_space_multipoles")
    mesh = check_mesh(2 * matter.n if mesh is None else mesh, MAX_MESH)
    points = as_tensor(redshift_space_points(snapshot, index), device)
    modes = density_modes(points, mesh, matter.box, device=device)
    return multipoles(modes, matter.box, index, shot_noise=matter.count if subtract_shot_noise else None)


def multipoles(
    modes: torch.Tensor, box: float, axis: int = 2, *, shot_noise: int | None = None
) -> Multipoles:
    """`Multipoles` of the modes (m, m, m//2 + 1) of one field about an axis; box in Mpc/h.

    shot_noise: the number of particles whose noise is taken off the monopole.
    """
    m = modes.shape[0]
    group = bins(m, str(modes.device))
    full, last = mode_numbers(m, modes.device)
    squares = [x.to(modes.real.dtype) ** 2 for x in (full[:, None, None], full[:, None], last)]
    size = squares[0] + squares[1] + squares[2]
    size[0, 0, 0] = 1
    mu2 = squares[axis] / size
    power = (modes.real**2 + modes.imag**2) * box**3
    second = group.means(power * (1.5 * mu2 - 0.5))
    fourth = group.means(power * ((35 * mu2 - 30) * mu2 + 3) / 8)
    monopole = group.means(power)
    if shot_noise:
        monopole = monopole - box**3 / shot_noise
    k = group.k * (2 * np.pi / box)
    return Multipoles(k, monopole, 5 * second, 9 * fourth, group.modes.copy())
