"""Every benchmark, each in a process of its own; the figures in one JSON file."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.output import RESULTS, heading, save

# those that are timed alone first, the heavy ones last
ORDER = (
    "bench_speed",
    "bench_pysco",
    "bench_cost",
    "bench_accuracy",
    "bench_vnet",
    "bench_choice",
    "bench_p3m",
)
COMMITTED = Path(__file__).parent / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few runs: does it work at all")
    parser.add_argument("--reference", metavar="DIR", help="directory of the MP-Gadget references")
    parser.add_argument("--only", nargs="+", choices=ORDER, default=ORDER, help="some of them")
    parser.add_argument(
        "--save", action="store_true", help=f"put them into {COMMITTED.name}, the committed figures"
    )
    given = parser.parse_args()
    passed = (["--quick"] if given.quick else []) + (
        ["--reference", given.reference] if given.reference else []
    )
    failed, found = [], {}
    for name in ORDER:
        if name not in given.only or importlib.util.find_spec(f"benchmarks.{name}") is None:
            continue
        path = RESULTS / f"{name}.json"
        path.unlink(missing_ok=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *passed]).returncode != 0:
            failed.append(name)
        if path.exists():
            found[name] = json.loads(path.read_text())
    heading("All bars")
    for name, result in found.items():
        for one in result.get("bars", []):
            value = f": {one['value']:.4g} {one.get('unit', '')}".rstrip() if "unit" in one else ""
            limit = f" (at most {one['limit']:g})" if "unit" in one else ""
            print(f"  {'met   ' if one['met'] else 'MISSED'}  {name[6:]}: {one['what']}{value}{limit}")
    save(found, RESULTS / "all.json")
    if given.save:
        kept = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
        save(kept | found, COMMITTED)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
