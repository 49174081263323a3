"""What `zeldo measure` and `zeldo halos` print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zeldo.report.measured import statistics_of
from zeldo.statistics.catalogue import COLUMNS as HALO_COLUMNS
from zeldo.statistics.catalogue import columns_of
from zeldo.statistics.measurement import Measurement, unit
from zeldo.statistics.overdensity import HaloCatalogue
from zeldo.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

LATTICE = ("power", "multipoles")  # whose wavenumbers go beyond those of the lattice
BEYOND = (
    "The Nyquist wavenumber of a lattice of as many points is {:.4g} h/Mpc. Beyond it, P(k) at early times is mostly "
    "that of the lattice.\n"
)
WIDE = 1000  # characters, more than any table has
ROWS = 12  # of a table on the terminal; files have all


def print_measurements(measurements: Sequence[Measurement]) -> None:
    """A table for each statistic of each snapshot, of at most `ROWS` rows."""
    console = _console()
    for statistic in statistics_of(measurements):
        for each in measurements:
            if statistic not in each.tables:
                continue
            table = each.tables[statistic]
            title = f"{statistic.replace('_', ' ')} of {each.name}, z = {each.redshift:.4g}"
            headings = {name: _heading(name, unit(name, table)) for name in table}
            rows = _chosen(len(next(iter(table.values()))), logarithmic="mass" not in table)
            _print(console, title, headings, [[values[i] for values in table.values()] for i in rows])
            if statistic in LATTICE and table["k"][-1] > each.nyquist:
                console.print(BEYOND.format(each.nyquist), highlight=False)


def print_halos(catalogue: HaloCatalogue) -> None:
    """How many halos there are, and the largest ones."""
    table = columns_of(catalogue)
    number = len(table["count"])
    names = ("count", "mass", "m200c", "m200m", "mvir", "r200m")
    headings = {name: _heading(name, HALO_COLUMNS[name][0]) for name in names}
    headings = {"centre": "centre\nMpc/h", **headings}
    rows = []
    for i in range(min(number, ROWS)):
        place = "  ".join(f"{x:.2f}" for x in table["centre"][i])
        rows.append([place, *(table[name][i] for name in names)])
    least = catalogue.friends.minimum
    halos, particles = "halo" if number == 1 else "halos", "particle" if least == 1 else "particles"
    title = f"{number} {halos} of {least} {particles} or more, z = {catalogue.friends.redshift:.4g}"
    _print(_console(), title, headings, rows)


def halos_json(catalogue: HaloCatalogue) -> str:
    """The whole catalogue for a script."""
    friends, table = catalogue.friends, columns_of(catalogue)
    content = {
        "zeldo": __version__,
        "redshift": friends.redshift,
        "box": friends.box,
        "particle_mass": friends.particle_mass,
        "minimum": friends.minimum,
        "halos": len(friends.count),
        "units": {name: HALO_COLUMNS[name][0] for name in table},
        **{name: values.tolist() for name, values in table.items()},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _chosen(length: int, logarithmic: bool) -> list[int]:
    """At most `ROWS` indices from first to last, evenly spaced or by equal factors."""
    if length <= ROWS:
        return list(range(length))
    spaced = np.geomspace(1, length, ROWS) - 1 if logarithmic else np.linspace(0, length - 1, ROWS)
    return sorted({round(float(i)) for i in spaced})


def _console() -> Console:
    """Of the terminal's width; a file or a pipe has room for every column."""
    from zeldo.report.table import PipedConsole

    return PipedConsole() if sys.stdout.isatty() else PipedConsole(width=200)


def _print(console: Console, title: str, headings: dict[str, str], rows: Sequence[Sequence[object]]) -> None:
    from rich import box
    from rich.table import Table

    names = list(headings)
    for shown in range(len(names), 0, -1):
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for name in names[:shown]:
            table.add_column(headings[name], justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*(_text(value) for value in row[:shown]))
        if table.__rich_measure__(console, console.options.update(max_width=WIDE)).maximum <= console.width:
            break
    console.print(table)
    if shown < len(names):
        console.print(
            f"The terminal is too narrow for {', '.join(names[shown:])}: a file by -o has all.\n",
            highlight=False,
        )


def _heading(name: str, unit: str) -> str:
    return name if unit == "1" else f"{name}\n{unit}"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    if number.is_integer() and abs(number) < 1e15:
        return f"{number:.0f}"
    return f"{number:.4g}"
