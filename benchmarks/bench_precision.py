"""What layers of the fastest type cost in accuracy, and save in time: the emulators against themselves in float32."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.bench_accuracy import FIELDS, at
from benchmarks.inputs import references
from benchmarks.machine import Timing, run_once
from benchmarks.output import heading, options, save, start, table
from zeldo.engines.parsing import parse_engine
from zeldo.files.reference import read_reference
from zeldo.statistics import Reference

FILE = "fiducial.npz"
SMALL = "small.npz"  # in its place with --quick
PRESETS = ("emulator", "emulator:fast")
WAVENUMBERS = (0.1, 0.2, 0.5, 1.0, 1.5)  # h/Mpc
PAIRED = 11  # runs of each, in turn


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "precision").parse_args(arguments)
    record = start("Precision", "precision")
    name = SMALL if parsed.quick else FILE
    for path in references(parsed.reference, [name]).values():
        ics, truth = read_reference(path)
        for preset in PRESETS:
            engines = [parse_engine(preset), parse_engine(preset, precision="float32")]
            about: dict[str, Any] = {"engine": preset, "ics": name, "n": ics.n, "box": ics.box}
            rows = []
            for z, snapshot in sorted(truth.items()):
                if snapshot.vel is None:
                    continue
                against = Reference(snapshot, name="MP-Gadget")
                ours, floats = (against.compare(*engine.run(ics, [z])) for engine in engines)
                for field in FIELDS:
                    ratios = [
                        at(ours, field, "one_minus_r2", k) / at(floats, field, "one_minus_r2", k)
                        for k in WAVENUMBERS
                    ]
                    rows.append([f"z = {z:g}, {field}", *[f"{ratio:.4f}" for ratio in ratios]])
                    for k, ratio in zip(WAVENUMBERS, ratios, strict=True):
                        record.add("one_minus_r2_over_float32", ratio, field=field, k=k, z=z, **about)
            heading(f"{preset}, {ics.n}^3 particles: 1 - r^2 over that in float32")
            table(["", *[f"k = {k:g}" for k in WAVENUMBERS]], rows)
            timings = [Timing(), Timing()]
            for _ in range(2 if parsed.quick else PAIRED):
                for engine, timing in zip(engines, timings, strict=True):
                    run_once(lambda engine=engine, ics=ics: list(engine.run(ics, [0.0])), timing)  # type: ignore[misc]
            ratio = median(a / b for a, b in zip(timings[0].wall, timings[1].wall, strict=True))
            print(f"\ntime over that in float32: {ratio:.2f}")
            record.add("wall_over_float32_median", ratio, z=0, **about)
    save(record, parsed)


if __name__ == "__main__":
    main()
