"""Where COLA and PM start and how their steps are spaced, from P3M runs with seeds that no result is reported on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.bench_accuracy import FIELDS
from benchmarks.output import heading, options, save, start, table
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.parsing import parse_engine
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.statistics import K_SHOWN, Reference

# seeds and particles a side; the last has heavier halos
UNIVERSES = {150001: 64, 150002: 64, 150003: 64, 150011: 128}
SPACING = 250 / 128  # Mpc/h
REDSHIFTS = (3.0, 1.0, 0.0)
# start redshift and exponent; the first is what Tassev et al. 2013 have for steps of the momentum, from z = 12
COLA = (
    (12, -2.5),
    (9, -2.5),
    (10, -2.5),
    (11, -2.5),
    (9, -3),
    (10, -2.75),
    (10, -3),
    (11, -3),
    (10, -3.5),
)
# the first is the default of `pm`, with sharper late forces as in the emulator
PM = (
    "start_redshift=9",
    "start_redshift=9,spacing=graded",
    "start_redshift=16,spacing=graded",
    "start_redshift=18,spacing=graded",
    "start_redshift=16",
    "steps=11,start_redshift=16,spacing=graded",
    "steps=11,start_redshift=16,spacing=graded,nbody_start=49",
    "steps=11,start_redshift=9,spacing=graded,nbody_start=49",
    "steps=14,start_redshift=16,spacing=graded,nbody_start=49",
    "steps=20,start_redshift=9",
)
# the first is the dynamics of `emulator:fast`
COARSE = (
    "start_redshift=9",
    "start_redshift=9,nbody_start=49",
    "start_redshift=9,spacing=graded",
    "steps=7,start_redshift=9",
    "steps=7,start_redshift=7",
    "steps=7,start_redshift=7,spacing=graded",
    "steps=8,start_redshift=7,spacing=graded",
    "steps=8,start_redshift=9,nbody_start=49",
)
CANDIDATES = {
    "COLA, mesh 2N": [f"cola:mesh_factor=2,start_redshift={z},exponent={power:g}" for z, power in COLA],
    "PM, mesh 2N, sharper late forces": [f"pm:sharpening=2,{options}" for options in PM],
    "COLA, mesh N, sharper late forces": [f"cola:sharpening=1.5,{options}" for options in COARSE],
}


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "choice").parse_args(arguments)
    universes = {150001: 32} if parsed.quick else UNIVERSES
    record = start("The choice of starts and steps", "choice")
    boxes = []
    for seed, n in universes.items():
        ics = initial_conditions(Cosmology.preset("quijote"), SPACING * n, n, seed)
        boxes.append(
            (ics, [Reference(truth, name="p3m") for truth in parse_engine("p3m").run(ics, REDSHIFTS)])
        )
    about: dict[str, Any] = {"ics": f"seeds {', '.join(map(str, universes))}", "reference": "p3m"}
    for title, engines in CANDIDATES.items():
        figures = {name: _figures(boxes, name) for name in engines}
        first = figures[engines[0]]
        for number, redshift in enumerate(REDSHIFTS):
            heading(
                f"{title}, z = {redshift:g}: 1 - r^2 over that of the first row, and T, means of {len(boxes)} universes"
            )
            for place, field in enumerate(FIELDS):
                rows = []
                for name, values in figures.items():
                    ratios = np.mean(values[:, number, place, 0] / first[:, number, place, 0], axis=0)
                    transfers = np.mean(values[:, number, place, 1], axis=0)
                    rows.append(
                        [name, *[f"{x:.3f}, {t:.3f}" for x, t in zip(ratios, transfers, strict=True)]]
                    )
                    for quantity, means in (("one_minus_r2_ratio_mean", ratios), ("T_mean", transfers)):
                        for k, value in zip(K_SHOWN, means, strict=True):
                            record.add(quantity, value, engine=name, field=field, k=k, z=redshift, **about)
                table([field, *[f"k = {k:g}" for k in K_SHOWN]], rows)
    save(record, parsed)


def _figures(boxes: Sequence[tuple[InitialConditions, list[Reference]]], name: str) -> np.ndarray:
    """1 - r^2 and T of runs that end at each redshift, (boxes, redshifts, fields, 2, `K_SHOWN`)."""
    rows = []
    for ics, truths in boxes:
        for truth in truths:
            (snapshot,) = parse_engine(name).run(ics, [truth.snapshot.redshift])
            compared = truth.compare(snapshot).fields
            for field in FIELDS:
                figures = compared[field]
                shown = [figures.nearest(k) for k in K_SHOWN]
                rows.append([np.array(x)[shown] for x in (figures.one_minus_r2, figures.transfer)])
    return np.array(rows).reshape(len(boxes), -1, len(FIELDS), 2, len(K_SHOWN))


if __name__ == "__main__":
    main()
