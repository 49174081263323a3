"""The table of docs/gradients.md."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from benchmarks.record import Row, Rows, label

RANGES = ("white_noise_variance", "effective_samples")  # shown though they have no limit


def gradients(rows: Rows) -> list[list[str]]:
    """Every figure with a limit, of the grid the worst of each engine; of several universes the range."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows.where(benchmark="gradients").rows:
        if row.quantity != "gradient_error" and (row.limit is not None or row.quantity in RANGES):
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


TABLES = {"gradients": gradients}
