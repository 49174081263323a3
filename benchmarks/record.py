"""The record of measurements: flat rows in CSV files, one for each benchmark.

pandas.read_csv("benchmarks/results/accuracy.csv").query("engine == 'cola' and quantity == 'one_minus_r2'")
"""

from __future__ import annotations

import csv
import math
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import machine_name, versions

if TYPE_CHECKING:
    from benchmarks.machine import Timing
    from zeldo.statistics import Comparison

COMMITTED = Path(__file__).parent / "results"
MEASURED = Path(__file__).parent / "measured"  # not in git


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number, with its meaning and where and when it was measured.

    engine and reference are spelled as on the command line where possible; ics is a reference file, or what differs from
    the defaults of `zeldo run`. Lengths are in Mpc/h and k in h/Mpc. A quantity that ends in _to_k covers all k up to that
    value. limit is the largest allowed value, aim a better one, and met says whether the limit is kept.
    """

    benchmark: str
    engine: str = ""
    ics: str = ""
    reference: str = ""
    box: float | None = None
    n: int | None = None
    z: float | None = None
    field: str = ""
    quantity: str
    k: float | None = None
    value: float
    unit: str = ""
    limit: float | None = None
    aim: float | None = None
    met: bool | None = None
    commit: str = ""
    date: str = ""
    machine: str = ""
    versions: str = ""


COLUMNS = tuple(column.name for column in fields(Row))
KEY = COLUMNS[: COLUMNS.index("value")]
WHOLE, TRUTH = ("n",), ("met",)
NUMBERS = ("box", "z", "k", "value", "limit", "aim")


def key(row: Row) -> tuple[Any, ...]:
    """The columns that identify a row. No two rows of a file share them."""
    return tuple(getattr(row, name) for name in KEY)


def label(row: Row) -> str:
    """The meaning of a row in words."""
    size = f"{row.n}^3" if row.n else ""
    against = f"against {row.reference}" if row.reference else ""
    parts = (row.engine, row.ics, size, against, "" if row.z is None else f"z = {row.z:g}", figure(row))
    return ", ".join(filter(None, parts))


def figure(row: Row) -> str:
    """The field, the quantity and the wavenumber of a row in words."""
    field = row.field.replace(" one_minus_r2", f", {WORDS['one_minus_r2']}")
    words = _in_words(row.quantity.removesuffix("_to_k"))
    if row.k is not None:
        words += f" {'for k <=' if row.quantity.endswith('_to_k') else 'at k ='} {row.k:g}"
    return ", ".join(filter(None, (field, words)))


WORDS = {
    "one_minus_r2": "1 - r^2",
    "one_minus_r": "1 - r",
    "T_off": "|T - 1|",
    "P_off": "|P / P_true - 1|",
    "power_off": "|P / P_true - 1|",
    "count_off_most": "largest relative difference of counts",
    "dynamics": "its dynamics",
    "l-picola": "L-PICOLA",
    "l-picola:mesh_factor=1": "L-PICOLA with a mesh of N",
    "l-picola:mesh_factor=2": "L-PICOLA with a mesh of 2N",
    "error_over_dynamics_most": "over that of its dynamics, largest",
    "power_from_expected_most": "factor between the error of P(k) and the expected one, largest",
    "one_minus_r2_from_expected_most": "factor between 1 - r^2 and the expected one, largest",
    "share_of_cases_with_P_off_by_2_percent": "share of cases with P(k) wrong by more than 2 %",
    "off_most": "largest relative difference",
    "damaged_crash_hang_or_memory": "damaged files that crash, hang or fill the memory",
    "damaged_another_universe": "damaged files read as another universe",
    "tiled_off": "eight tiles against the whole box",
    "wall_over_pm_median": "time over that of pm, median",
    "wall_over_cola_median": "time over that of cola, median",
}


def _in_words(quantity: str) -> str:
    ratio = re.fullmatch(r"(.+?)_over_(.+?)(_most)?", quantity)
    if quantity not in WORDS and ratio and ratio[1] in WORDS:
        peer = WORDS.get(ratio[2], ratio[2])
        return f"{WORDS[ratio[1]]} over that of {peer}{', largest' if ratio[3] else ''}"
    return WORDS.get(quantity, quantity.replace("_", " "))


class Record:
    """The rows of a benchmark, while it measures them."""

    def __init__(self, benchmark: str):
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self.made = {"commit": commit(), "date": now, "machine": machine_name(), "versions": versions()}
        self.benchmark = benchmark
        self._rows: dict[tuple[Any, ...], Row] = {}

    @property
    def rows(self) -> list[Row]:
        return list(self._rows.values())

    def add(self, quantity: str, value: float, unit: str = "", **about: Any) -> Row:
        """Add a row, with further columns of `Row`. It replaces an earlier row of the same key."""
        columns = {**self.made, **about}
        row = Row(benchmark=self.benchmark, quantity=quantity, value=float(value), unit=unit, **columns)
        if row.limit is not None and row.met is None:
            row = replace(row, met=row.value <= row.limit)
        self._rows[key(row)] = row
        return row

    def keep(self, rows: Iterable[Row]) -> None:
        """Rows of an earlier run, which those of this one replace."""
        self._rows.update((key(row), row) for row in rows)

    def timing(self, timing: Timing, **about: Any) -> None:
        """Seconds of several runs: median, least and most, CPU time per thread, and the share of other processes."""
        self.add("wall_median", timing.median, "s", **about)
        self.add("wall_min", min(timing.wall), "s", **about)
        self.add("wall_max", max(timing.wall), "s", **about)
        self.add("cpu_per_thread_median", timing.cpu_median, "s", **about)
        if math.isfinite(timing.others_median):
            self.add("others_share_median", timing.others_median, **about)
        self.add("runs", len(timing.wall), **about)

    def comparison(self, comparison: Comparison, k: Iterable[float], **about: Any) -> None:
        """T and 1 - r^2 of every field at the shells nearest to k."""
        for field, spectrum in comparison.fields.items():
            for wave in k:
                i = spectrum.nearest(wave)
                self.add("T", spectrum.transfer[i], field=field, k=wave, **about)
                self.add("one_minus_r2", spectrum.one_minus_r2[i], field=field, k=wave, **about)

    def save(self, path: Path) -> None:
        """Write the file beside its place, then rename it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        with open(temporary, "w", newline="") as stream:
            lines = csv.writer(stream, lineterminator="\n")
            lines.writerow(COLUMNS)
            lines.writerows([_text(value) for value in asdict(row).values()] for row in self.rows)
        os.replace(temporary, path)
        print(f"written: {path}", flush=True)


def read(path: Path) -> list[Row]:
    """The rows of a file."""
    with open(path, newline="") as stream:
        return [
            Row(**{name: _parsed(name, text) for name, text in line.items()})
            for line in csv.DictReader(stream)
        ]


class Rows:
    """The rows of all committed files. It knows which of them were looked at, so that a table can name its sources."""

    def __init__(self, rows: Sequence[Row], used: dict[tuple[Any, ...], Row] | None = None):
        self._rows = rows
        self._used: dict[tuple[Any, ...], Row] = {} if used is None else used

    @property
    def rows(self) -> Sequence[Row]:
        self._used |= {key(row): row for row in self._rows}
        return self._rows

    def unused(self) -> Rows:
        """The same rows, none of which was looked at yet."""
        return Rows(self._rows)

    def sources(self) -> list[tuple[str, str, str]]:
        """Commit, date and machine of the rows that were looked at, each once."""
        return sorted({(row.commit, row.date[:10], row.machine) for row in self._used.values()})

    @classmethod
    def committed(cls, folder: Path = COMMITTED) -> Rows:
        return cls([row for path in sorted(folder.glob("*.csv")) for row in read(path)])

    def where(self, **about: Any) -> Rows:
        """The rows with these values in their columns."""
        chosen = [row for row in self._rows if all(getattr(row, name) == x for name, x in about.items())]
        return Rows(chosen, self._used)

    def value(self, quantity: str, **about: Any) -> float:
        """The value of the only row with these columns; `LookupError` where there is none, or more than one."""
        rows = self.where(quantity=quantity, **about).rows
        if len(rows) != 1:
            raise LookupError(
                f"{len(rows)} rows of the record have quantity = {quantity}, {about}: one is needed"
            )
        return rows[0].value


def commit() -> str:
    """The commit that is checked out, with a + where code differs from it; "unknown" outside of git."""
    try:
        head = _git("rev-parse", "--short=7", "HEAD")
        code = (":/src", ":/benchmarks", ":(top,exclude)benchmarks/results")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", *code) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _parsed(name: str, text: str) -> Any:
    if name in WHOLE:
        return int(text) if text else None
    if name in NUMBERS:
        return float(text) if text else None
    if name in TRUTH:
        return {"": None, "yes": True, "no": False}[text]
    return text
