"""Run every benchmark, each in a process of its own, and write its rows to a file of its own."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from benchmarks.output import heading, print_bar
from benchmarks.record import COMMITTED, MEASURED, read

# those that are timed alone first, the heavy ones last
ORDER = (
    "speed",
    "files",
    "pysco",
    "measure",
    "fields",
    "cost",
    "scale",
    "accuracy",
    "gradients",
    "vnet",
    "emulator",
    "convolutions",
    "choice",
    "resolution",
    "p3m",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few runs: does it work at all")
    parser.add_argument("--reference", metavar="DIR", help="directory of the MP-Gadget references")
    parser.add_argument("--only", nargs="+", choices=ORDER, default=ORDER, help="some of them")
    parser.add_argument(
        "--save",
        action="store_true",
        help="let them replace those in benchmarks/results, the committed figures",
    )
    arguments = parser.parse_args()
    if arguments.quick and arguments.save:
        parser.error("--quick tells nothing that is worth keeping: leave out --save")
    passed = ["--quick"] if arguments.quick else []
    passed += ["--reference", arguments.reference] if arguments.reference else []
    failed, rows = [], []
    for name in ORDER:
        if name not in arguments.only:
            continue
        path = MEASURED / f"{name}.csv"
        path.unlink(missing_ok=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}", *passed]).returncode != 0:
            failed.append(name)
        if not path.exists():
            continue
        rows += read(path)
        if arguments.save:
            COMMITTED.mkdir(exist_ok=True)
            shutil.copyfile(path, COMMITTED / path.name)
    heading("All bars")
    for row in rows:
        if row.limit is not None:
            print_bar(row)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
