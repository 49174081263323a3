"""The tables of docs/gradients.md."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from benchmarks.gradient_nuts import POSTERIORS
from benchmarks.record import Row, Rows, label

NAMES = {"gaussian": "Gaussian, known", "2lpt": "2LPT, against NUTS"}
RANGES = ("white_noise_variance", "effective_samples")  # shown though they have no limit


def gradients(rows: Rows) -> list[list[str]]:
    """Every figure with a limit, of the grid the worst of each engine; of several universes the range."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows.where(benchmark="gradients").rows:
        if row.reference in POSTERIORS.values() or row.quantity == "gradient_error":
            continue
        if row.limit is not None or row.quantity in RANGES:
            groups[label(replace(row, ics=row.ics.split("=")[0]))].append(row)
    return [["", "measured", "at most", ""], *(_line(name, group) for name, group in groups.items())]


def _line(name: str, group: list[Row]) -> list[str]:
    values = sorted(row.value for row in group)
    ends = [f"{value:.3g}" for value in (values[0], values[-1])]
    measured = ends[0] if len(group) == 1 else f"{ends[0]} to {ends[1]}"
    words = name if len(group) == 1 else f"{name.replace(', seed,', f', {len(group)} seeds,')}"
    if group[0].limit is None:
        return [words, measured, "", ""]
    met = all(row.met for row in group)
    return [words, measured, f"{group[0].limit:g}", "met" if met else "missed"]


def samplers(rows: Rows) -> list[list[str]]:
    """Both samplers on both posteriors: the work of each, and what its means and variances are compared with."""
    table = [
        [
            "posterior",
            "sampler",
            "gradients",
            "independent samples",
            "k, h/Mpc",
            "squared differences of means",
            "ratio of variances",
        ]
    ]
    for posterior, reference in POSTERIORS.items():
        about = {"engine": posterior, "reference": reference, "n": 16}
        for sampler in ("langevin", "nuts"):
            of_sampler = rows.where(benchmark="gradients", **about)
            work = [
                f"{of_sampler.value(quantity, field=sampler):.0f}"
                for quantity in ("gradients", "effective_samples")
            ]
            compared = [
                row
                for row in of_sampler.where(quantity="mean_difference").rows
                if row.field.startswith(f"{sampler}, ")
            ]
            first = [NAMES[posterior], "NUTS" if sampler == "nuts" else "zeldo", *work]
            for row in compared:
                ratio, error = (
                    of_sampler.value(f"variance_ratio{more}", field=row.field) for more in ("", "_sigma")
                )
                scales = row.field.removeprefix(f"{sampler}, ").removeprefix("k = ").removeprefix("k ")
                table.append([*first, scales, f"{row.value:.2f}", f"{ratio:.3f} ± {error:.3f}"])
                first = 4 * [""]
            if not compared:
                table.append([*first, "", "", ""])
    return table


TABLES = {"gradients": gradients, "samplers": samplers}
