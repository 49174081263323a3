"""Runs of an engine that are killed somewhere and begun again: how many end with the bits of the unbroken run.

Each run is forked from a process that has imported what runs need, so that a kill falls into the run and not into imports.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# imported here, and never used here: threads that are started before a fork do not survive it
import ducc0  # noqa: F401
import torch  # noqa: F401
import zarr  # noqa: F401

import zeldo
import zeldo.api
import zeldo.engines.cola
import zeldo.engines.emulator
import zeldo.engines.lpt
import zeldo.engines.network
import zeldo.engines.p3m.dynamics
import zeldo.engines.p3m.engine
import zeldo.engines.pm
import zeldo.engines.streamed
import zeldo.engines.streamed_emulator
import zeldo.mesh.numba_gravity
import zeldo.networks.field
from zeldo.engines.parsing import parse_engine
from zeldo.files import universe_zarr
from zeldo.files.universe_zarr import STATE
from zeldo.initial.ngenic import seed_table
from zeldo.store.universe import run_into

seed_table(2, 1)  # a kernel without threads: its first call sets Numba up, which every run would do again

ON_DISK = "disk"  # the last argument: particles stay on disk, and outputs come in blocks
BLOCKS = 4
SMALLEST_BLOCK = 8  # particles per side: every block costs a network its margin, however small the block is


def main(engine: str, n: int, kills: int, place: str = "memory") -> None:
    rng = random.Random(17)  # one whose first two kills fall into the middle and the end of a run
    identical = interrupted = 0
    with tempfile.TemporaryDirectory() as folder:
        whole, out = Path(folder) / "whole.zarr", Path(folder) / "out.zarr"
        if place == ON_DISK:
            universe_zarr.LARGEST_TILE = max(n // BLOCKS, SMALLEST_BLOCK)
        finish(engine, n, whole, place)  # machine code is compiled, and the disk's cache is warm
        shutil.rmtree(whole)
        start = time.perf_counter()
        finish(engine, n, whole, place)
        took = time.perf_counter() - start
        for _ in range(kills):
            shutil.rmtree(out, ignore_errors=True)
            child = begin(engine, n, out, place)
            time.sleep(rng.uniform(0, took))
            os.kill(child, signal.SIGKILL)
            interrupted += os.waitpid(child, 0)[1] != 0
            finish(engine, n, out, place)
            identical += contents(out) == contents(whole)
    print(json.dumps({"identical": identical, "interrupted": interrupted, "took": took}))


def begin(engine: str, n: int, out: Path, place: str) -> int:
    """The process number of a run."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        redshifts = [0.0] if engine.startswith("vnet") else [1.0, 0.0]  # its weights know no other
        options = {"power": "eisenstein-hu", "n": n, "box": 1.953125 * n}
        if place == ON_DISK:
            run_into(out, parse_engine(engine), zeldo.initial_conditions(**options), redshifts, streamed=True)
        else:
            zeldo.run(engine=engine, output=out, redshift=redshifts, **options)
        status = 0
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def finish(engine: str, n: int, out: Path, place: str) -> None:
    """A run to its end."""
    if os.waitpid(begin(engine, n, out, place), 0)[1] != 0:
        raise SystemExit(f"{engine} at {n}^3 failed")


def contents(path: Path) -> dict[str, bytes]:
    """All files of a universe but those that runs go on from."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in files
        if STATE not in file.relative_to(path).parts
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
