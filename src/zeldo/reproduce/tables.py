"""Table 1 and the paper's claims beside our results, as text for the terminal and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.report.labels import ACCURACY, cost_text, labels
from zeldo.reproduce.timing import TimingTable
from zeldo.statistics.comparison import Comparison

if TYPE_CHECKING:
    from zeldo.reproduce.result import Reproduction

HEADINGS = ("wall time s", "times the network's", "energy Wh", "CO2 g", "peak GB")
SMALLEST = 1.0  # h/Mpc: the smallest scales that the paper speaks of


def title_of(cosmology: Cosmology, *, split: bool = False) -> str:
    """A cosmology as text, "Ω_m = 0.3, ..."; with `split` in two lines for a narrow column, with mathematical letters."""
    c = cosmology
    if split:
        return (
            rf"$\Omega_m={c.omega_m:g}$, $\Omega_b={c.omega_b:g}$, $h={c.h:g}$"
            "\n"
            rf"$n_s={c.n_s:g}$, $\sigma_8={c.sigma_8:g}$"
        )
    return f"Ω_m = {c.omega_m:g}, Ω_b = {c.omega_b:g}, h = {c.h:g}, n_s = {c.n_s:g}, σ₈ = {c.sigma_8:g}"


def timing_rows(table: TimingTable) -> list[tuple[str, list[str]]]:
    """For each row of Table 1, its name and the texts under `HEADINGS`."""
    last = table.timings[2].what  # the network: others may follow
    return [
        (
            f"{timing.what} ({timing.engine})" if timing.engine not in timing.what else timing.what,
            [
                cost_text(timing.seconds),
                f"{table.ratio(timing.what, last):.3g}",
                cost_text(timing.energy),
                cost_text(timing.co2),
                cost_text(timing.peak_memory),
            ],
        )
        for timing in table.timings
    ]


def conditions(table: TimingTable) -> list[str]:
    """The conditions under which Table 1 was measured, as sentences."""
    m = table.machine
    threads = ", ".join(f"{name} {count}" for name, count in m["threads"].items())
    versions = ", ".join(f"{name} {text}" for name, text in m["versions"].items())
    gpu = f", {m['gpu']}" if m.get("gpu") else ""
    lines = [
        f"{table.n}^3 particles in {table.box:g} Mpc/h, seed {table.seed}; measured {table.measured}",
        f"{m['processor']}, {m['cores']} cores{gpu}, {m['system']}; threads: {threads}",
        f"versions: {versions}",
    ]
    for timing in table.timings:
        if len(timing.runs) > 1:
            lines.append(
                f"{timing.what}: median of {', '.join(cost_text(s) for s in timing.runs)} s, in turns, warm"
            )
    if table.load_before is not None and table.load_before > 0.3 * (m["cores"] or 1):
        lines.append(
            f"other work ran on the machine before (load {table.load_before:.1f}): times may be too long"
        )
    return [*lines, f"energy: {table.energy}"]


def largest_error(comparison: Comparison) -> float:
    """The largest |T - 1| of the density among the bins with k <= 1 h/Mpc."""
    spectrum = comparison.fields["density"]
    inside = (spectrum.k > 0) & (spectrum.k <= SMALLEST)
    return float(np.nanmax(np.abs(spectrum.transfer[inside] - 1)))


def share_better(comparison: Comparison, other: Comparison, quantity: str) -> tuple[int, int]:
    """How many bins with k <= 1, of all fields, have `comparison` nearer to N-body than `other`, and how many there are."""
    better = total = 0
    for name, ours in comparison.fields.items():
        theirs = other.fields[name]
        inside = (ours.k > 0) & (ours.k <= SMALLEST)
        _, target = ACCURACY[quantity]
        nearer = np.abs(getattr(ours, quantity) - target) < np.abs(getattr(theirs, quantity) - target)
        better, total = better + int(nearer[inside].sum()), total + int(inside.sum())
    return better, total


def findings(result: Reproduction) -> list[tuple[str, str]]:
    """The paper's claims, each with our result."""
    network, cola, *_ = result.figure1.comparisons
    name, other, *_ = labels(result.figure1.comparisons)
    t, total = share_better(network, cola, "transfer")
    r, _ = share_better(network, cola, "one_minus_r2")
    rows = [
        (
            "Per-cent accurate down to k = 1 h/Mpc",
            f"T of the density is within {_percent(network)} for k <= 1 ({name}; {other}: {_percent(cola)})",
        ),
        (
            "More accurate than COLA on all scales and in all quantities",
            f"{name} is nearer to N-body in {t} of {total} bins of T and in {r} of {total} of 1 - r^2, k <= 1",
        ),
        (
            "Generalises to very different universes",
            "T of the density for k <= 1 within "
            + "; ".join(
                f"{_percent(panel.comparisons[0])} ({other}: {_percent(panel.comparisons[1])})"
                for panel in result.figure2
            )
            + " in the three of Figure 2",
        ),
    ]
    ours = next((each for each in result.figure1.comparisons if each.engine == "emulator"), None)
    if ours is not None and ours is not network:
        t, total = share_better(ours, network, "transfer")
        r, _ = share_better(ours, network, "one_minus_r2")
        rows.append(
            (
                "Not in the paper: physics first, a network for the rest",
                f"emulator is nearer to N-body than {name} in {t} of {total} bins of T and in {r} of {total} of 1 - r^2, "
                f"k <= 1; T of the density is within {_percent(ours)}",
            )
        )
    if result.table1 is not None:
        slow, middle, fast, *_ = (timing.what for timing in result.table1.timings)
        table = result.table1
        rows.append(
            (
                "2 times faster than COLA (a P100 against 20 cores), 1000 times faster than N-body",
                f"{table.ratio(middle, fast):.3g} times COLA's speed and {table.ratio(slow, fast):.3g} times that of "
                f"this project's N-body ({table.timings[0].engine}), on one machine",
            )
        )
    return rows


def _percent(comparison: Comparison) -> str:
    return f"{100 * largest_error(comparison):.2g} %"


def print_reproduction(result: Reproduction) -> None:
    """Print everything in the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from zeldo.report.table import print_table, terminal

    console = terminal()

    def heading(text: str) -> None:
        console.print()
        console.rule(Text(text, style="bold"), align="left")

    heading(f"Figure 1: {title_of(result.figure1.cosmology)}")
    print_table(result.figure1.comparisons, console)
    for letter, panel in zip("abc", result.figure2, strict=True):
        heading(f"Figure 2{letter}: {title_of(panel.cosmology)}")
        print_table(panel.comparisons, console, legend=False)
    if result.table1 is not None:
        heading("Table 1")
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column("")
        for text in HEADINGS:
            table.add_column(text, justify="right")
        for name, texts in timing_rows(result.table1):
            table.add_row(Text(name), *texts)
        console.print(table)
        for line in conditions(result.table1):
            console.print(Text(line, style="dim"))
    heading("What the paper claims, and what was found")
    for claim, text in findings(result):
        console.print(Text(f"{claim}:", style="bold"))
        console.print(Text(f"  {text}"))
