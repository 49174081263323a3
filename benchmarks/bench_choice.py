"""Where COLA and PM start and how their steps are spaced, from P3M runs with seeds that no result is reported on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.output import heading, options, save, start, table
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.parsing import parse_engine
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.statistics import K_SHOWN, Reference

SEEDS = (150001, 150002, 150003)
REDSHIFTS = (1.0, 0.0)
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
    "start_redshift=9,time_exponent=1",
    "start_redshift=9,time_exponent=1.5",
    "start_redshift=12,time_exponent=1.25",
    "start_redshift=14,time_exponent=1",
    "start_redshift=14,time_exponent=1.25",
    "start_redshift=14,time_exponent=1.5",
    "start_redshift=19,time_exponent=1.25",
    "steps=11,start_redshift=9,time_exponent=1.25",
    "steps=11,start_redshift=17,early_steps=1,time_exponent=1",
    "steps=11,start_redshift=17,early_steps=1,time_exponent=1.25",
    "steps=11,start_redshift=17,early_steps=1,time_exponent=1.5",
)
CANDIDATES = {
    "COLA, mesh 2N": [f"cola:mesh_factor=2,start_redshift={z},exponent={power:g}" for z, power in COLA],
    "PM, mesh 2N, sharper late forces": [f"pm:sharpening=2,{options}" for options in PM],
}
FIELDS = ("density", "displacement", "velocity")


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "choice").parse_args(arguments)
    n, seeds = (32, SEEDS[:1]) if parsed.quick else (64, SEEDS)
    record = start("The choice of starts and steps", "choice")
    boxes = []
    for seed in seeds:
        ics = initial_conditions(Cosmology.preset("quijote"), 250.0 * n / 128, n, seed)
        boxes.append(
            (ics, [Reference(truth, name="p3m") for truth in parse_engine("p3m").run(ics, REDSHIFTS)])
        )
    about: dict[str, Any] = {
        "ics": f"seed={seeds[0]} to {seeds[-1]}",
        "reference": "p3m",
        "n": n,
        "box": 250.0 * n / 128,
    }
    for title, engines in CANDIDATES.items():
        unexplained = {name: _unexplained(boxes, name) for name in engines}
        first = unexplained[engines[0]]
        for number, redshift in enumerate(REDSHIFTS):
            heading(
                f"{title}, z = {redshift:g}: 1 - r^2 over that of the first row, mean of {len(seeds)} boxes of {n}^3"
            )
            for place, field in enumerate(FIELDS):
                rows = []
                for name, values in unexplained.items():
                    ratios = np.mean(values[:, number, place] / first[:, number, place], axis=0)
                    rows.append([name, *[f"{ratio:.3f}" for ratio in ratios]])
                    for k, ratio in zip(K_SHOWN, ratios, strict=True):
                        record.add(
                            "one_minus_r2_ratio_mean",
                            ratio,
                            engine=name,
                            field=field,
                            k=k,
                            z=redshift,
                            **about,
                        )
                table([field, *[f"k = {k:g}" for k in K_SHOWN]], rows)
    save(record, parsed)


def _unexplained(boxes: Sequence[tuple[InitialConditions, list[Reference]]], name: str) -> np.ndarray:
    """1 - r^2 of runs that end at each redshift, (boxes, redshifts, fields, `K_SHOWN`)."""
    rows = []
    for ics, truths in boxes:
        for truth in truths:
            (snapshot,) = parse_engine(name).run(ics, [truth.snapshot.redshift])
            fields = truth.compare(snapshot).fields
            rows.append([[fields[f].one_minus_r2[fields[f].nearest(k)] for k in K_SHOWN] for f in FIELDS])
    return np.array(rows).reshape(len(boxes), -1, len(FIELDS), len(K_SHOWN))


if __name__ == "__main__":
    main()
