"""What `zeldo measure` and `zeldo halos` take: P(k) and multipoles, bispectra, halos, and reading the file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import zeldo
from benchmarks.inputs import realisation
from benchmarks.machine import COLUMNS, cells, measure
from benchmarks.output import bar, heading, options, save, start, table
from zeldo.statistics.measurement import measurement

LIMIT = 3.0  # seconds, of P(k) and multipoles of 128^3 particles on two cores


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = options(__doc__ or "", "measure").parse_args(arguments)
    record = start("Statistics of a snapshot", "measure")
    n, runs = (32, 3) if parsed.quick else (128, 7)
    (snapshot,) = zeldo.run(ics=realisation(n), engine="cola", redshift=0)
    about = {"n": n, "box": snapshot.box}
    heading(f"{n}^3 particles, {runs} runs each, compiled before")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = zeldo.write(snapshot, Path(folder) / "snapshot.hdf5")
        tasks = {
            "read": lambda: zeldo.read(path),
            "power and multipoles": lambda: measurement(snapshot),
            "file, power and multipoles": lambda: zeldo.measure(path),
            "bispectra": lambda: measurement(snapshot, "bispectrum"),
            "mass function": lambda: measurement(snapshot, "mass-function"),
            "halos with spherical overdensities": lambda: zeldo.halos(snapshot),
        }
        for name, task in tasks.items():
            timing = measure(task, runs)
            record.timing(timing, field=name, **about)
            rows.append([name, *cells(timing)])
            if name.startswith("file"):
                total = timing.median
    table(["statistic", *COLUMNS], rows)
    bar(record, "wall_median", total, LIMIT, "s", field="file, power and multipoles", **about)
    save(record, parsed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
