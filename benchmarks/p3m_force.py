"""The choice of P3M's mesh, reach and shape, by the force on particles near their lattice."""

from __future__ import annotations

import numpy as np

from benchmarks.inputs import realisation
from benchmarks.output import heading, table
from benchmarks.record import Record
from zeldo.cosmology.background import growth
from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.force_split import ForceSplit
from zeldo.engines.p3m.mesh_force import MeshForce
from zeldo.engines.p3m.pair_force import PairForce
from zeldo.initial.lpt import displacements

# mesh factor, reach in lattice spacings, order of the split; the first is the default
SPLITS = (
    (3, 1.915, 3), (3, 1.863, 3), (3, 2.0, 3), (3, 1.72, 2), (3, 1.5, 2),
    (2, 2.393, 3), (2, 2.5, 3), (2, 2.18, 2), (2, 2.0, 2),
    (4, 1.658, 2),
)  # fmt: skip


def force(psi: np.ndarray, box: float, factor: float, reach: float, order: int) -> np.ndarray:
    n = psi.shape[1]
    split = ForceSplit(reach * box / n, order, box / n / 40)
    listed = CellList(n, box, split.radius)
    listed.sort(psi)
    near, far = np.empty_like(psi), np.empty_like(psi)
    return PairForce(split, listed)(near) + MeshForce(split, int(factor * n), listed)(far)


def forces(record: Record, n: int) -> None:
    """Force splits on a 2LPT displacement field: transfer function and error relative to the finest force."""
    heading(f"The force on 2LPT particles near their lattice, {n}^3: error against mesh 4N, reach 3")
    ics = realisation(n)
    (first, second), g = displacements(ics), growth(ics.cosmology)
    shares = (0.25, 0.5, 0.75)
    k = np.fft.fftfreq(n, 1 / n)
    index = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k[: n // 2 + 1] ** 2).round().astype(int)

    def power(field: np.ndarray) -> np.ndarray:
        total = sum(np.abs(np.fft.rfftn(x)) ** 2 for x in field)
        return np.bincount(index.ravel(), total.ravel())

    for z in (49, 9, 3):
        a = 1 / (1 + z)
        psi = (g.d1(a) * first + g.d2(a) * second).astype(np.float32)
        truth = force(psi, ics.box, 4, 3.0, 4)
        rows = []
        for factor, reach, order in SPLITS:
            mesh_force = force(psi, ics.box, factor, reach, order)
            at = [round(share * n / 2) for share in shares]
            transfer = np.sqrt(power(mesh_force) / power(truth))[at]
            error = np.sqrt(power(mesh_force - truth) / power(truth))[at]
            rows.append(
                [
                    f"z = {z}, mesh {factor}N, reach {reach}, shape {order}",
                    *[f"{x:.5f}" for x in (*transfer, *error)],
                ]
            )
            name = f"p3m:mesh_factor={factor},reach={reach:g},shape={order}"
            about = {"engine": name, "ics": "seed=7", "n": n, "box": ics.box, "z": z, "field": "force"}
            against = "p3m:mesh_factor=4,reach=3,shape=4"
            for i, wave in enumerate(at):
                k = 2 * np.pi * wave / ics.box
                record.add("T", transfer[i], k=k, reference=against, **about)
                record.add("error_rms", error[i], k=k, reference=against, **about)
        header = [f"{quantity} at {share:g} Nyquist" for quantity in ("T", "error") for share in shares]
        table(["", *header], rows)
