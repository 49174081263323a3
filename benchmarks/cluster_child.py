"""A local cluster of dask that makes a suite, or a volume in pieces, and what that cost its workers."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def suite(workers: int, count: int) -> None:
    """A suite of 64^3, and when it was done: the workers of the cluster take some seconds to end."""
    from distributed import Client

    import zeldo

    with tempfile.TemporaryDirectory() as folder, _cluster(workers) as cluster, Client(cluster) as client:
        arguments = {"seeds": f"0:{count}", "n": 64, "box": 125, "engine": "cola", "keep": "measure"}
        made = zeldo.run_suite(output=Path(folder) / "suite", scheduler=client, **arguments)
        assert len(made.done()) == count
        print(json.dumps({"ended": time.time()}), flush=True)


def volume(workers: int, n: int, side: int, buffer: int, thickness: int) -> None:
    """A volume: its fields through the disk, its pieces, and its fields once more from worker to worker."""
    from distributed import Client, wait

    import zeldo
    from zeldo.volumes.fields import VolumeFields
    from zeldo.volumes.run import Volume, run_in_pieces

    universe = zeldo.Universe(n=n, box=1.953125 * n)
    costs = {}
    with tempfile.TemporaryDirectory() as folder, _cluster(workers) as cluster, Client(cluster) as client:
        small = {"n": 32, "box": 62.5, "side": 16, "buffer": 4, "thickness": 8}
        run_in_pieces(output=Path(folder) / "small.zarr", scheduler=client, **small)  # imports, machine code
        out = Path(folder) / "out.zarr"
        job = Volume(out, zeldo.engine("cola"), universe, 0.0, side, buffer, thickness, 60.0)
        job.join()
        with Cost(client, costs, "fields"):
            job.make_fields()
        costs["fields"]["disk"] = _size(out)
        with Cost(client, costs, "pieces"):
            run_in_pieces(
                output=out,
                universe=universe,
                side=side,
                buffer=buffer,
                thickness=thickness,
                scheduler=client,
            )
        costs["pieces"]["disk"] = _size(out)
        fields = VolumeFields(universe, thickness)
        with Cost(client, costs, "fields in memory"):
            made: Any = list(client.persist(fields.displacements()))
            wait(made)
        costs["fields in memory"]["disk"] = 0.0
    print(json.dumps(costs))


def _cluster(workers: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(workers, threads_per_worker=1, dashboard_address=None)


class Cost:
    """Adds what the block costs all workers: seconds of cores, bytes through files and sockets, bytes to other workers."""

    def __init__(self, client: Any, costs: dict[str, dict[str, float]], name: str) -> None:
        self.client, self.costs, self.name = client, costs, name

    def __enter__(self) -> None:
        self.before, self.start = self._all(), time.perf_counter()

    def __exit__(self, *error: object) -> None:
        after = self._all()
        used = {key: after[key] - self.before[key] for key in ("cpu", "read", "written", "sent")}
        self.costs[self.name] = {
            **used,
            "peak_gb": after["peak_gb"],
            "wall": time.perf_counter() - self.start,
        }

    def _all(self) -> dict[str, float]:
        each = list(self.client.run(_used).values())
        total = {key: sum(used[key] for used in each) for key in each[0]}
        return {**total, "peak_gb": max(used["peak_gb"] for used in each)}


def _used(dask_worker: Any = None) -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {
        "cpu": used.ru_utime + used.ru_stime,
        "peak_gb": used.ru_maxrss * 1024 / 1e9,
        "read": float(io["rchar"]),
        "written": float(io["wchar"]),
        "sent": float(dask_worker.transfer_outgoing_bytes_total),
    }


def _size(path: Path) -> float:
    return float(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))


if __name__ == "__main__":
    {"suite": suite, "volume": volume}[sys.argv[1]](*map(int, sys.argv[2:]))
