"""P3M runs as the benchmarks of P3M make, name and print them."""

from __future__ import annotations

from benchmarks.output import table
from zeldo.engines.p3m.engine import P3M
from zeldo.engines.p3m.steps import MeshStep
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import K_SHOWN, Comparison

GADGET = "p3m, MP-Gadget's steps"
FINE = {"mesh_step": 0.01, "pair_accuracy": 0.004}
AS_FINE = {"mesh_step": 0.0095, "pair_accuracy": 0.004}  # no worse: what differs is chaos inside halos


def last(engine: P3M, ics: InitialConditions) -> Snapshot:
    return list(engine.run(ics, [0.0]))[-1]


def plan(engine: P3M, ics: InitialConditions) -> list[MeshStep]:
    """The start of a run to z = 0, and its mesh steps."""
    return list(engine.timetable(ics, [0.0]).rows)


def spelled(**options: float) -> str:
    """The engine as written on the command line, without options for the default."""
    text = ",".join(f"{key}={value:g}" for key, value in options.items() if value != getattr(P3M, key))
    return f"p3m:{text}" if text else "p3m"


def figures(comparison: Comparison, field: str) -> list[float]:
    spectrum = comparison.fields[field]
    at = [spectrum.nearest(k) for k in K_SHOWN]
    return [float(spectrum.transfer[i]) for i in at] + [float(spectrum.one_minus_r2[i]) for i in at]


def print_comparisons(title: str, comparisons: dict[str, Comparison]) -> None:
    for field in ("density", "displacement", "velocity"):
        for quantity, part in (("T", slice(0, len(K_SHOWN))), ("1 - r^2", slice(len(K_SHOWN), None))):
            rows = [
                [
                    label,
                    *[
                        f"{x:.4f}" if quantity == "T" else f"{x:.5f}"
                        for x in figures(comparison, field)[part]
                    ],
                ]
                for label, comparison in comparisons.items()
                if field in comparison.fields
            ]
            if rows:
                table([f"{title}, {field}, {quantity}", *[f"k = {k:g}" for k in K_SHOWN]], rows)
