"""What the lattice spacing and the start cost: P(k) of P3M against a lattice twice as fine, and from other starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.output import heading, options, save, start, table
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.parsing import parse_engine
from zeldo.initial.linear import initial_conditions
from zeldo.statistics import power_spectrum

BOX, N, SEEDS = 96.0, 48, (160001, 160002)  # Mpc/h, particles a side of the usual spacing of 2 Mpc/h
REDSHIFTS = (3.0, 2.0, 1.0, 0.5, 0.0)
SHARES = (0.25, 0.375, 0.5, 0.75, 0.9)  # of the Nyquist wavenumber of the lattice
STARTS = (24, 99)


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "resolution").parse_args(arguments)
    record = start("Resolution", "resolution")
    n, seeds = (16, SEEDS[:1]) if parsed.quick else (N, SEEDS)
    box = BOX * n / N
    usual = _power(n, n, box, seeds, "p3m")
    finer = _power(2 * n, n, box, seeds, "p3m")
    about: dict[str, Any] = {
        "box": box,
        "n": n,
        "ics": f"seeds {', '.join(map(str, seeds))}",
        "field": "density",
    }
    compared = [("p3m", "a lattice twice as fine", usual / finer)]
    compared += [
        (f"p3m:start_redshift={z}", "p3m", _power(n, n, box, seeds, f"p3m:start_redshift={z}") / usual)
        for z in STARTS
    ]
    for engine, reference, ratios in compared:
        heading(f"P(k) of {engine}, {n}^3 particles in {box:g} Mpc/h, over that of {reference}")
        table(
            ["", *[f"{share:g} of Nyquist" for share in SHARES]],
            [[f"z = {z:g}", *[f"{x:.3f}" for x in row]] for z, row in zip(REDSHIFTS, ratios, strict=True)],
        )
        for z, row in zip(REDSHIFTS, ratios, strict=True):
            for share, ratio in zip(SHARES, row, strict=True):
                k = float(f"{share * np.pi * n / box:.6g}")
                record.add("P_ratio", ratio, engine=engine, reference=reference, k=k, z=z, **about)
    save(record, parsed)


def _power(n: int, coarse: int, box: float, seeds: Sequence[int], engine: str) -> np.ndarray:
    """P at the `SHARES` of a lattice of coarse^3 points, summed over seeds and near modes, (redshifts, shares)."""
    sums = np.zeros((len(REDSHIFTS), len(SHARES)))
    for seed in seeds:
        ics = initial_conditions(Cosmology.preset("quijote"), box, n, seed)
        for row, snapshot in zip(sums, parse_engine(engine).run(ics, REDSHIFTS), strict=True):
            measured = power_spectrum(snapshot, mesh=4 * coarse)
            share = measured.k / (np.pi * coarse / box)
            for place, wanted in enumerate(SHARES):
                near = np.abs(share / wanted - 1) < 0.1
                row[place] += np.sum((measured.power * measured.modes)[near])
    return sums


if __name__ == "__main__":
    main()
