"""Figures in the prose of README and of the validation pages are those of the record, or stand in a list with their source.

The tables between marks are written from the record; test_tables.py holds them to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.record import Row, Rows
from benchmarks.tables import BLOCK, ROOT

VALIDATION = ROOT / "docs" / "validation"
PAGES = [ROOT / "README.md", *sorted(path for path in VALIDATION.glob("*.md") if path.name != "bars.md")]
FIGURE = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)\s?(?P<unit>%|GB\b|kWh\b|s\b|seconds?\b|minutes?\b|hours?\b|times\b)"
)
# benchmarks whose rows a page speaks of
SOURCES = {
    "README.md": ("accuracy", "cost", "speed", "pysco", "p3m", "emulator", "vnet"),
    "engines.md": ("accuracy", "cost", "speed", "pysco"),
    "networks.md": ("vnet", "accuracy", "speed"),
    "p3m.md": ("p3m", "p3m-far-128"),
    "index.md": (),
}
# figures that no row of these holds, and where they come from
GADGET = "MP-Gadget, as published with the references"
VNET = "src/zeldo/weights/vnet.json, below"
TABLE = "`zeldo reproduce deoliveira2020`, its Table 1"
LISTED: dict[str, dict[str, str]] = {
    "networks.md": {"2.3 hours": VNET, "0.063 kWh": VNET, "2.7 s": TABLE, "2700 times": TABLE},
    "p3m.md": {"27 minutes": GADGET},
}


def figures(text: str) -> Iterator[tuple[str, str]]:
    """Number and unit of every figure outside the tables that are written from the record."""
    for match in FIGURE.finditer(BLOCK.sub("", text)):
        yield match["number"], match["unit"]


def forms(row: Row, unit: str) -> Iterator[float]:
    """The numbers that a page may make of a row, in a unit."""
    if unit == "%":
        yield from (100 * row.value, 100 * abs(row.value - 1))
    elif unit == "times":
        yield from (row.value, 1 / row.value if row.value else 0.0)
    elif unit in ("s", "second", "seconds", "GB", "kWh"):
        yield from (
            [row.value] if row.unit == unit.removesuffix("s").replace("econd", "") or row.unit == unit else []
        )
    elif unit.startswith("minute"):
        yield from ([row.value / 60] if row.unit == "s" else [])
    else:
        yield from ([row.value / 3600] if row.unit == "s" else [])


def recorded(number: str, unit: str, rows: list[Row]) -> bool:
    """Whether a row gives the figure, to the digits that are written."""
    digits = len(number.partition(".")[2])
    half = 0.501 * 10.0**-digits
    return any(abs(value - float(number)) <= half for row in rows for value in forms(row, unit))


def missing(path: Path, rows: Rows) -> list[str]:
    own = [row for row in rows.rows if row.benchmark in SOURCES[path.name]]
    listed = LISTED.get(path.name, {})
    return [
        f"{number} {unit}"
        for number, unit in figures(path.read_text(encoding="utf-8"))
        if f"{number} {unit}" not in listed and not recorded(number, unit, own)
    ]


@pytest.fixture(scope="module")
def committed() -> Rows:
    return Rows.committed()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_figure_is_in_the_record_or_in_the_list(path, committed):
    assert not missing(path, committed)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_is_listed_is_there(path):
    shown = {f"{number} {unit}" for number, unit in figures(path.read_text(encoding="utf-8"))}
    assert set(LISTED.get(path.name, {})) <= shown


def test_a_figure_by_hand_is_noticed(tmp_path, committed):
    page = tmp_path / "networks.md"
    page.write_text("It is 93.4217 % better, in 0.98765 s.\n<!-- table: a -->\n| 77.7777 % |\n<!-- end -->\n")
    assert missing(page, committed) == ["93.4217 %", "0.98765 s"]


def test_the_cost_of_the_shipped_network_is_that_of_its_training():
    facts = json.loads((ROOT / "src" / "zeldo" / "weights" / "vnet.json").read_text())
    text = (VALIDATION / "networks.md").read_text(encoding="utf-8")
    assert f"{facts['hours']:.1f} hours" in text and f"{facts['energy_kwh']:.3f} kWh" in text
    assert f"{facts['steps']} steps: 4800 on 68 runs of an earlier `p3m`" in text  # as the card's notes tell
    assert f"{facts['steps'] - 4800} on {facts['data']['runs']} runs" in text
