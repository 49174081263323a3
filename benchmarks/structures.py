"""What mocks are used for, predicted over true: redshift space, bispectra, halos and their velocities."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import (
    equilateral_bispectrum,
    redshift_space_multipoles,
    squeezed_bispectrum,
)
from zeldo.statistics.halos import Halos
from zeldo.statistics.overdensity import halos

LARGE = 0.3  # h/Mpc: multipoles to here
HALF = 0.5  # h/Mpc: bispectra to here
LEAST = 20  # particles that friends-of-friends link around a halo's centre
PARTICLES = 50  # of the smallest halo that counts
MASS_EDGES = np.array([50, 100, 200, 400, 800, 1600, 1e9])  # particles
PAIRS = ((1.0, 5.0), (5.0, 15.0), (15.0, 40.0))  # separations, Mpc/h


def structures(snapshot: Snapshot, truth: Snapshot) -> dict[str, dict[str, float]]:
    """Errors of a snapshot, by statistic and place: 0 is perfect.

    Multipoles are off by shares of the true monopole, averaged over three lines of sight. Of bispectra, mass functions and
    dispersions, it is the ratio to the true ones minus 1.
    """
    out = {"monopole": {}, "quadrupole": {}}  # type: dict[str, dict[str, float]]
    made, true = ([redshift_space_multipoles(s, axis) for axis in range(3)] for s in (snapshot, truth))
    k = true[0].k
    monopole = np.mean([m.monopole for m in true], axis=0)
    for name, off in out.items():
        error = np.mean(
            [getattr(a, name) - getattr(b, name) for a, b in zip(made, true, strict=True)], axis=0
        )
        share = (error / monopole)[k <= LARGE]
        off[f"k <= {LARGE}, largest"] = float(np.abs(share).max())
        off[f"k <= {LARGE}, rms"] = float(np.sqrt(np.mean(share**2)))
    for name, bispectrum in (("equilateral", equilateral_bispectrum), ("squeezed", squeezed_bispectrum)):
        made_b, true_b = (bispectrum(s, k_max=HALF) for s in (snapshot, truth))
        off = made_b.bispectrum / true_b.bispectrum - 1
        loud = np.abs(true_b.bispectrum) > 2 * true_b.error
        out[f"{name} bispectrum"] = {
            f"k <= {HALF}, largest": float(np.abs(off[loud]).max()),
            f"k <= {HALF}, rms": float(np.sqrt(np.mean(off[loud] ** 2))),
        }
    found = [halos(s, minimum=LEAST) for s in (snapshot, truth)]
    edges = (MASS_EDGES - 0.5) * truth.particle_mass  # between whole numbers of particles
    for name, masses in (
        ("halo mass function, friends of friends", [h.friends.mass for h in found]),
        ("halo mass function, M200m", [h.spherical.m200m for h in found]),
    ):
        counts = [np.histogram(mass, edges)[0] for mass in masses]
        out[name] = {
            _bin(low, high): float(a / b - 1)
            for (low, high), a, b in zip(pairwise(MASS_EDGES), *counts, strict=True)
            if b
        }
        out[name][f"{PARTICLES} particles or more"] = float(counts[0].sum() / counts[1].sum() - 1)
    dispersions = [[pairwise_dispersion(h.friends, *r) for r in PAIRS] for h in found]
    out["pairwise dispersion of halos"] = {
        f"{low:g} to {high:g} Mpc/h": float(a / b - 1)
        for (low, high), a, b in zip(PAIRS, *dispersions, strict=True)
    }
    return out


def _bin(low: float, high: float) -> str:
    """The name of an interval of particles of a halo."""
    return f"{low:g} particles or more" if high == MASS_EDGES[-1] else f"{low:g} to {high - 1:g} particles"


def pairwise_dispersion(found: Halos, low: float, high: float) -> float:
    """The standard deviation of relative velocities along the line between halos so far apart, km/s."""
    assert found.velocity is not None
    large = found.count >= PARTICLES
    centre, velocity = found.centre_of_mass[large], found.velocity[large]
    tree = cKDTree(np.mod(centre, found.box) % found.box, boxsize=found.box)
    first, second = tree.query_pairs(high, output_type="ndarray").T
    apart = centre[first] - centre[second]
    apart -= found.box * np.round(apart / found.box)
    distance = np.linalg.norm(apart, axis=1)
    kept = distance > low
    along = ((velocity[first] - velocity[second]) * apart).sum(1)[kept] / distance[kept]
    return float(along.std())
