"""Runs that are killed right before chosen operations on files, and begun again: what they leave that others do not.

With a folder as its argument it prints a JSON object: for each moment, the files that are there too much or too few.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from benchmarks import kills_child

ENGINE, N, PLACE = "cola:steps=3,checkpoint_minutes=0", 16, "memory"
MOMENTS = {
    "a checkpoint": ("os.rename", r"\.npz\."),
    "a shard": ("os.rename", r"/psi/c/"),
    "what describes a group": ("os.rename", r"/z1/zarr\."),
    "what says that a snapshot is whole": ("os.rename", r"complete\.json"),
    "the checkpoint of a run that is done": ("os.remove", r"\.npz$"),
}
deadly: tuple[str, str] | None = None


def kill(event: str, given: tuple[object, ...]) -> None:
    if deadly and event == deadly[0] and re.search(deadly[1], str(given[0])):
        os.kill(os.getpid(), signal.SIGKILL)


def files(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def main(folder: Path) -> None:
    global deadly
    sys.addaudithook(kill)
    whole, out = folder / "whole.zarr", folder / "out.zarr"
    kills_child.finish(ENGINE, N, whole, PLACE)
    differing = {}
    for name, moment in MOMENTS.items():
        shutil.rmtree(out, ignore_errors=True)
        deadly = moment
        status = os.waitpid(kills_child.begin(ENGINE, N, out, PLACE), 0)[1]
        deadly = None
        if status != signal.SIGKILL:
            raise SystemExit(f"{name}: the run ended with {status} and was not killed")
        kills_child.finish(ENGINE, N, out, PLACE)
        differing[name] = sorted(files(out) ^ files(whole))
    print(json.dumps(differing))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
