"""The choice of COLA's start and exponent on finer meshes, from P3M runs with seeds that no result is reported on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.output import heading, options, save, start, table
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.registry import engine
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.statistics import K_SHOWN, Reference

SEEDS = (150001, 150002, 150003)
# start redshift and exponent; the first is what Tassev et al. 2013 have for steps of the momentum, from z = 12
CANDIDATES = (
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
FIELDS = ("density", "displacement")


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "choice").parse_args(arguments)
    n, seeds = (32, SEEDS[:1]) if parsed.quick else (64, SEEDS)
    record = start("The choice of COLA's start and exponent, mesh 2N", "choice")
    boxes = []
    for seed in seeds:
        ics = initial_conditions(Cosmology.preset("quijote"), 250.0 * n / 128, n, seed)
        (truth,) = engine("p3m").run(ics, [0.0])
        boxes.append((ics, Reference(truth, name="p3m")))
    heading(f"1 - r^2 over that of the first row, mean of {len(seeds)} boxes of {n}^3 by p3m, z = 0")
    unexplained = {candidate: _unexplained(boxes, *candidate) for candidate in CANDIDATES}
    first = unexplained[CANDIDATES[0]]
    for field in FIELDS:
        rows = []
        for (redshift, exponent), values in unexplained.items():
            ratios = np.mean(values[field] / first[field], axis=0)
            label = f"z = {redshift:g}, exponent {exponent:g}"
            rows.append([label, *[f"{x:.3f}" for x in ratios]])
            name = f"cola:mesh_factor=2,start_redshift={redshift:g},exponent={exponent:g}"
            for k, ratio in zip(K_SHOWN, ratios, strict=True):
                about = {"engine": name, "ics": f"seed={seeds[0]} to {seeds[-1]}", "reference": "p3m"}
                record.add(
                    "one_minus_r2_ratio_mean", ratio, field=field, k=k, n=n, box=250.0 * n / 128, z=0, **about
                )
        table([field, *[f"k = {k:g}" for k in K_SHOWN]], rows)
    save(record, parsed)


def _unexplained(
    boxes: Sequence[tuple[InitialConditions, Reference]], redshift: float, exponent: float
) -> dict[str, np.ndarray]:
    """1 - r^2 at `K_SHOWN`, (boxes, k), by field."""
    rows: dict[str, list] = {field: [] for field in FIELDS}
    for ics, truth in boxes:
        (snapshot,) = engine("cola", mesh_factor=2, start_redshift=redshift, exponent=exponent).run(
            ics, [0.0]
        )
        comparison = truth.compare(snapshot)
        for field in FIELDS:
            values = comparison.fields[field]
            rows[field].append([values.one_minus_r2[values.nearest(k)] for k in K_SHOWN])
    return {field: np.array(several) for field, several in rows.items()}


if __name__ == "__main__":
    main()
