"""The table of a comparison in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zeldo.report.labels import (
    ACCURACY,
    NOT_KNOWN,
    at_k,
    best,
    by_redshift,
    cost_text,
    fields_of,
    labels,
    waves,
)
from zeldo.statistics.comparison import Comparison

WIDTH_OF_FILES = 100  # where there is no terminal to ask
VALUE = 7  # characters in a column of numbers; one more stands between columns
NAME = 22  # holds "displacement, 1 - r^2"
KEPT = (3, 5, 0, 6, 1, 2, 4)  # places of k in a table, from the last that gives way to the first
LEGEND = (
    "T = sqrt(P / P_reference) compares amplitudes, 1 is perfect; 1 - r^2 is the share of the "
    "variance that the reference does not explain, 0 is perfect."
)


def print_table(
    comparisons: Sequence[Comparison], console: Console | None = None, *, legend: bool = True
) -> None:
    """Print accuracy (T and 1 - r^2 of each field at the k of `waves`), wall time and peak memory of every engine.

    console: a rich console; else standard output, 100 columns wide where that is no terminal. Where the
    width does not hold all columns, some k are left out, then time and memory. legend: a line
    below that says what T and r are.
    """
    console = console or terminal()
    for redshift, members in by_redshift(comparisons).items():
        group = [comparisons[i] for i in members]
        first = group[0]
        console.print()
        console.print(
            Text(
                f"Against {first.reference} at z = {redshift:g}: "
                f"{first.n}^3 particles in a box of {first.box:g} Mpc/h",
                style="bold",
            )
        )
        console.print(_table(group, console.width))
    if comparisons and legend:
        console.print(Text(LEGEND + (" Bold: best." if console.is_terminal else ""), style="dim"))


class PipedConsole(Console):
    """A console that ends a command as other output does where its reader has gone."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def terminal() -> Console:
    """Standard output; 100 columns wide where it is no terminal."""
    return PipedConsole(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


def columns_that_fit(shown: Sequence[float], width: int, name_width: int) -> tuple[float, ...]:
    """Those of seven k for which `width` characters have room, both ends kept as long as possible."""
    room = max((width - name_width) // (VALUE + 1) - 2, 1)  # two columns are time and memory
    kept = sorted(KEPT[:room])
    return tuple(shown[place] for place in kept)


def _table(group: Sequence[Comparison], width: int) -> Table:
    names = labels(group)
    name_width = max(NAME, min(max(len(name) + 2 for name in names), width // 3))
    wanted = columns_that_fit(waves(group), width, name_width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0), collapse_padding=True)
    table.add_column(Text("k [h/Mpc]"), width=name_width, overflow="fold")
    for k in wanted:
        table.add_column(f"{k:g}", width=VALUE, justify="right", no_wrap=True)
    if name_width + (VALUE + 1) * (len(wanted) + 2) <= width:  # else rich would cut every number
        table.add_column("time s", width=VALUE, justify="right", no_wrap=True)
        table.add_column("GB", width=VALUE, justify="right", no_wrap=True)
        costs = _costs(group)
    else:
        costs = [()] * len(group)
    for field in fields_of(group):
        for heading, quantity in (("T", "transfer"), ("1 - r^2", "one_minus_r2")):
            table.add_row(Text(f"{field}, {heading}", style="bold cyan"))
            columns = [
                _marked([at_k(comparison, field, quantity, k) for comparison in group], *ACCURACY[quantity])
                for k in wanted
            ]
            for row, name in enumerate(names):
                table.add_row(Text(f"  {name}"), *(column[row] for column in columns), *costs[row])
            costs = [()] * len(group)  # time and memory stand once, beside the first block
        table.add_section()
    return table


def _costs(group: Sequence[Comparison]) -> list[tuple[Text, ...]]:
    times = _marked([comparison.wall_seconds for comparison in group], cost_text)
    memories = _marked([comparison.peak_memory for comparison in group], cost_text)
    return list(zip(times, memories, strict=True))


def _marked(values: Sequence[float | None], write: Callable[[Any], str], target: float = 0.0) -> list[Text]:
    texts = [write(value) for value in values]
    marks = best(values, texts, target)
    pairs = zip(marks, texts, strict=True)
    styles = ["bold green" if mark else "dim" if text == NOT_KNOWN else "" for mark, text in pairs]
    return [Text(text, style=style) for text, style in zip(texts, styles, strict=True)]
