"""The tables of docs/emulator.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from benchmarks.bench_convolutions import NETWORKS
from benchmarks.bench_emulator import DYNAMICS, LOOKED_AT, TEACHER
from benchmarks.record import Row, Rows, label
from benchmarks.tables_engines import FIDUCIAL, PEERS
from zeldo.statistics import K_SHOWN

PRESETS = tuple(DYNAMICS)
ENGINES = (*PRESETS, *DYNAMICS.values())
NAMES = {
    **{preset: f"`{preset}`" for preset in PRESETS},
    **{dynamics: f"dynamics of `{preset}`" for preset, dynamics in DYNAMICS.items()},
    TEACHER: f"`{TEACHER}`, the teacher",
    **PEERS,
}
REDSHIFTS = (0, 1, 3)  # of those held out; the record has more
HELD_OUT = {
    "error_of_dynamics": "dynamics alone",
    "error": "with the network",
    "expected_error": "expected by the card",
}
Table = list[list[str]]


def fixed(value: float) -> str:
    """Two significant digits, never with an exponent."""
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def scientific(value: float) -> str:
    return f"{value:.1e}"


def percent(value: float) -> str:
    return f"{fixed(100 * value)} %"


# by the label of the record: its title, and one style of numbers for all of its lines
STATISTICS: dict[str, tuple[str, Callable[[float], str]]] = {
    "density one_minus_r2": ("density, 1 − r²", scientific),
    "velocity one_minus_r2": ("velocity, 1 − r²", fixed),
    "density power": ("density, error of P(k)", percent),
}


def against_gadget(rows: Rows, *, z: int) -> Table:
    """The emulator beside its dynamics, and today beside L-PICOLA."""
    shown = rows.where(benchmark="emulator", ics="fiducial.npz", reference="mp-gadget", z=z)
    peers = rows.where(benchmark="accuracy", **FIDUCIAL)
    table = [[f"z = {z}", "engine", *_waves(K_SHOWN)]]
    for field in ("density", "displacement", "velocity"):
        for quantity, title, digits in (("T", "T", 3), ("one_minus_r2", "1 − r²", 5)):
            for engine in (*ENGINES, *(PEERS if z == 0 else ())):
                source = peers if engine in PEERS else shown
                values = [source.value(quantity, engine=engine, field=field, k=k) for k in K_SHOWN]
                cells = [f"{x:.3f}" if x >= 0.1 else f"{x:.{digits}f}" for x in values]
                first = f"{field}, {title}" if engine == ENGINES[0] else ""
                table.append([first, NAMES[engine], *cells])
    return table


def structures(rows: Rows) -> Table:
    """Redshift space, bispectra and halos of the presets, their dynamics and their teacher, over the true ones minus 1."""
    shown = rows.where(benchmark="emulator", ics="fiducial.npz", quantity="off")
    fields = list(dict.fromkeys(row.field for row in shown.rows))
    table = [["", *[NAMES[engine] for engine in LOOKED_AT]]]
    for field in fields:
        values = [shown.value("off", engine=engine, field=field) for engine in LOOKED_AT]
        table.append([field.replace("<=", "≤"), *[f"{100 * value:+.1f} %" for value in values]])
    return table


def held_out(rows: Rows, *, engine: str) -> Table:
    """Errors in other cosmologies: three lines for each redshift and statistic."""
    shown = rows.where(benchmark="emulator", engine=engine)
    ks = sorted({row.k for row in shown.where(quantity="error").rows if row.k is not None})
    table = [[f"`{engine}`", "error", *_waves(ks)]]
    for z in REDSHIFTS:
        for field, (title, written) in STATISTICS.items():
            for quantity, source in HELD_OUT.items():
                values = [shown.value(quantity, z=z, field=field, k=k) for k in ks]
                first = f"z = {z}, {title}" if quantity == "error_of_dynamics" else ""
                table.append([first, source, *[written(value) for value in values]])
    return table


def steps(rows: Rows, dynamics: str, quantity: str = "one_minus_r2_ratio_mean") -> Table:
    """The density with other steps of the dynamics: 1 - r^2 over that with the default ones, or T."""
    shown = rows.where(benchmark="choice", quantity=quantity, field="density")
    engines = dict.fromkeys(row.engine for row in shown.rows if row.engine.startswith(dynamics))
    columns = [(z, k) for z in (0, 1, 3) for k in (0.2, 0.5, 1.0)]
    table = [[f"options of `{dynamics}`", *[f"z = {z}, k = {k:g}" for z, k in columns]]]
    digits = 3 if quantity == "T_mean" else 2
    for engine in engines:
        options = engine.removeprefix(f"{dynamics},").replace(",", ", ")
        values = [shown.value(quantity, engine=engine, z=z, k=k) for z, k in columns]
        table.append([f"`{options}`", *[f"{value:.{digits}f}" for value in values]])
    return table


def bars(rows: Rows) -> Table:
    """Every figure of the presets that has a limit; those that miss it in bold."""
    lines: dict[str, dict[str, list[str]]] = {}
    for row in rows.where(benchmark="emulator").rows:
        if row.limit is not None and row.ics in ("fiducial.npz", ""):
            value = f"{row.value:.3g}" if row.met else f"**{row.value:.3g}**"
            lines.setdefault(_words(row), {})[row.engine] = [value, f"{row.limit:g}"]
    table = [["", *[cell for preset in PRESETS for cell in (f"`{preset}`", "at most")]]]
    for words, cells in lines.items():
        table.append([words, *[cell for preset in PRESETS for cell in cells.get(preset, ["", ""])]])
    return table


def _words(row: Row) -> str:
    """The meaning of a bar without what the page says once: the engine, and the run that most of them are of."""
    reference = "" if row.reference == "mp-gadget" else row.reference
    return label(replace(row, engine="", ics="", n=None, reference=reference))


def _waves(ks: tuple[float, ...] | list[float]) -> list[str]:
    return [f"k = {k:g}" if i == 0 else f"{k:g}" for i, k in enumerate(ks)]


def convolutions(rows: Rows) -> Table:
    """The time that networks need with convolutions by Winograd's transform, and over that with torch's."""
    selected = {name: rows.where(benchmark="convolutions", engine=name) for name in NETWORKS}
    table = [["", *[f"`{name}`" for name in NETWORKS]]]
    table.append(["seconds", *[f"{r.value('wall_median'):.2f}" for r in selected.values()]])
    table.append(
        [
            "over the time with torch's",
            *[f"{r.value('wall_over_torch_median'):.2f}" for r in selected.values()],
        ]
    )
    return table


TABLES: dict[str, Callable[[Rows], Table]] = {
    "emulator z = 0": partial(against_gadget, z=0),
    "emulator z = 1": partial(against_gadget, z=1),
    "emulator structures": structures,
    "emulator held out": partial(held_out, engine="emulator"),
    "emulator:fast held out": partial(held_out, engine="emulator:fast"),
    "emulator bars": bars,
    "steps of pm": partial(steps, dynamics="pm:sharpening=2"),
    "steps of cola": partial(steps, dynamics="cola:sharpening=1.5"),
    "amplitudes of pm": partial(steps, dynamics="pm:sharpening=2", quantity="T_mean"),
    "amplitudes of cola": partial(steps, dynamics="cola:sharpening=1.5", quantity="T_mean"),
    "convolutions": convolutions,
}
