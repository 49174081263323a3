"""Aligned text for people, and the options and limits that the benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, machine_line
from benchmarks.record import COMMITTED, MEASURED, Record, Row, label, read


def options(doc: str, name: str, parts: Sequence[str] = ()) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark, and one to choose some of its parts."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.bench_{name}", description=doc)
    parser.add_argument("--quick", action="store_true", help="small sizes and few runs: does it work at all")
    parser.add_argument(
        "--reference",
        metavar="DIR",
        help="directory of the MP-Gadget references (else $ZELDO_REFERENCE, else ../shared/reference, else the shipped one)",
    )
    parser.add_argument("--rows", metavar="FILE", type=Path, help="where to write (benchmarks/measured)")
    parser.add_argument(
        "--save", action="store_true", help="write into benchmarks/results, the committed figures"
    )
    if parts:
        parser.add_argument(
            "--parts",
            nargs="+",
            choices=parts,
            default=parts,
            help="some of them; the rows of others are kept",
        )
    return parser


def heading(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def start(title: str, benchmark: str) -> Record:
    """Print where this runs, and return the record to fill."""
    heading(title)
    print(machine_line(machine()), flush=True)
    return Record(benchmark)


def keep_other_parts(record: Record, parsed: argparse.Namespace, parts: Sequence[str]) -> None:
    """Keep the rows of an earlier run where only some of the parts are measured."""
    earlier = place(record, parsed)
    if set(parsed.parts) != set(parts) and earlier.exists():
        record.keep(read(earlier))


def save(record: Record, parsed: argparse.Namespace) -> None:
    """Save the record where the options say."""
    record.save(place(record, parsed))


def place(record: Record, parsed: argparse.Namespace) -> Path:
    """The file of a record."""
    return parsed.rows or (COMMITTED if parsed.save else MEASURED) / f"{record.benchmark}.csv"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, with the first column aligned left and the others aligned right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for number, line in enumerate(lines):
        rest = "  ".join(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print(f"{line[0].ljust(widths[0])}  {rest}".rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * (len(widths) - 1)))
    print(flush=True)


def bar(record: Record, quantity: str, value: float, limit: float, unit: str = "", **about: Any) -> None:
    """Add a figure with an upper limit, and print whether it is kept."""
    print_bar(record.add(quantity, value, unit, limit=limit, **about))


def print_bar(row: Row) -> None:
    wish = f", aim {row.aim:g}" if row.aim is not None else ""
    value = f"{row.value:.4g} {row.unit}".rstrip()
    print(f"  {'met   ' if row.met else 'MISSED'}  {label(row)}: {value} (at most {row.limit:g}{wish})")
