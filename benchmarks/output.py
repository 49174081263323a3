"""Plain aligned text for people, JSON for machines."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import machine, machine_line

RESULTS = Path(__file__).parent / "results"


def options(doc: str, name: str) -> argparse.ArgumentParser:
    """What every benchmark takes."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc)
    parser.add_argument("--quick", action="store_true", help="small sizes and few runs: does it work at all")
    parser.add_argument(
        "--reference",
        metavar="DIR",
        help="directory of the MP-Gadget references (else $ZELDO_REFERENCE, else ../shared/reference, else the shipped one)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULTS / f"{name}.json")
    return parser


def heading(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def start(title: str) -> dict:
    """Print where this runs; the result to fill."""
    found = machine()
    heading(title)
    print(machine_line(found), flush=True)
    return {"machine": found, "bars": []}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """First column to the left, the others to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for number, line in enumerate(lines):
        rest = "  ".join(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print(f"{line[0].ljust(widths[0])}  {rest}".rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * (len(widths) - 1)))
    print(flush=True)


def bar(
    result: dict, what: str, value: float, limit: float, unit: str = "s", aim: float | None = None
) -> None:
    """Print and note whether a figure keeps to its limit (at most)."""
    met = value <= limit
    wish = f", aim {aim:g}" if aim is not None else ""
    print(
        f"  {'met   ' if met else 'MISSED'}  {what}: {value:.4g} {unit} (at most {limit:g}{wish})".replace(
            " )", ")"
        )
    )
    result["bars"].append(
        {"what": what, "value": value, "limit": limit, "unit": unit, "aim": aim, "met": bool(met)}
    )


def save(result: dict, path: Path) -> None:
    """Write the JSON beside and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(_finite(result), indent=1) + "\n")
    os.replace(temporary, path)
    print(f"written: {path}", flush=True)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
