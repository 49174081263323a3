"""A suite on a local cluster of dask, one of whose workers is killed."""

import os
import signal
import threading
import time

import pytest

import zeldo
from refusals import refusal
from zeldo.errors import ZeldoError
from zeldo.suites import cluster
from zeldo.suites.suite import read_manifest

distributed = pytest.importorskip("distributed")
ARGUMENTS = {"n": 16, "box": 40, "power": "eisenstein-hu", "engine": "cola", "keep": "measure"}


def test_workers_make_a_suite_and_a_lost_one_is_replaced(tmp_path):
    out = tmp_path / "s"
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        pids = list(client.run(os.getpid).values())

        def kill():
            while not (out / "rows").exists() or len(list((out / "rows").iterdir())) < 3:
                time.sleep(0.01)
            os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        zeldo.run_suite(output=out, seeds="0:20", scheduler=client, **ARGUMENTS)
        killer.join(timeout=5)
        assert not killer.is_alive()
        zeldo.run_suite(output=out, seeds="0:20", scheduler=cluster.scheduler_address, **ARGUMENTS)
    table = read_manifest(out)
    assert sorted(int(line["seed"]) for line in table) == list(range(20))
    assert {line["status"] for line in table} == {"done"}


def test_a_scheduler_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", "1s")
    arguments = {"output": tmp_path / "s", "seeds": [1], "scheduler": "tcp://127.0.0.1:1", **ARGUMENTS}
    assert "127.0.0.1:1" in refusal(lambda: zeldo.run_suite(**arguments))
    assert "no scheduler answers at 5" in refusal(lambda: zeldo.run_suite(**{**arguments, "scheduler": 5}))
    assert not any(tmp_path.iterdir())


def test_a_worker_of_a_cluster_has_the_limit_of_memory(tmp_path, monkeypatch):
    import pickle

    from zeldo.measuring.memory import budget
    from zeldo.suites.cluster import attempt
    from zeldo.suites.worker import Worker

    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **ARGUMENTS | {"engine": "2lpt"})
    worker = Worker(suite, zeldo.engine("2lpt"), zeldo.Universe(n=16), memory="1GB")
    monkeypatch.setattr(Worker, "attempt", lambda *given: budget())
    assert attempt(pickle.dumps(worker.parts()), suite.tasks[0])[1] <= 1e9 < budget()


def test_a_task_that_kills_its_workers_ends_with_a_line(monkeypatch):
    from distributed.scheduler import KilledWorker

    from zeldo.suites.cluster import by_workers

    class Completed(list):
        def __init__(self, loop):
            super().__init__()

        add, is_empty, count = list.append, (lambda self: not self), list.__len__

        def __next__(self):
            return self.pop()

    class Client:
        loop = None

        def nthreads(self):
            return {"a": 1}

        def submit(self, *given, **options):
            return self

        def result(self):
            raise KilledWorker("task", None, 4)

    monkeypatch.setattr(distributed, "as_completed", Completed)
    with pytest.raises(ZeldoError, match="lack of memory"):
        list(by_workers([1], lambda task: (task, "made"), Client()))
