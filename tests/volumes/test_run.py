"""A universe made in pieces on disk: by one process, by several, on a cluster, and after kills."""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from in_memory import in_pieces

import zeldo
from refusals import refusal

pytest.importorskip("dask.array")
from pathlib import Path

from zeldo.engines.cola import Cola
from zeldo.files.universe_zarr import STATE, UniverseZarr
from zeldo.suites import cluster
from zeldo.universe import Universe
from zeldo.volumes.run import Volume, read_window, run_in_pieces

SMALL = {"n": 32, "box": 64.0, "seed": 4, "power": "eisenstein-hu"}
PIECES = {"side": 16, "buffer": 4, "thickness": 16}
SCRIPT = f"from zeldo.volumes.run import run_in_pieces; run_in_pieces(output=%r, **{SMALL | PIECES})"


@pytest.fixture(scope="module")
def expected():
    """The same pieces from fields in memory."""
    ics, cola = zeldo.initial_conditions(**SMALL), zeldo.engine("cola")
    return in_pieces(cola, ics, 0.0, side=16, buffer=4)


def check(made, expected):
    np.testing.assert_allclose(made.psi, expected.psi, atol=2e-4)
    np.testing.assert_allclose(made.vel, expected.vel, atol=0.05)


def test_pieces_from_slabs_on_disk_are_those_from_memory(tmp_path, expected):
    texts = []
    out = tmp_path / "u.zarr"
    made = run_in_pieces(output=out, progress=lambda *given: texts.append(given), **SMALL, **PIECES)
    check(made, expected)
    assert made.engine == "cola in pieces" and made.settings["buffer"] == 4 and made.seed == 4
    assert texts[-1] == (8, 8, "8 of 8 pieces")
    assert UniverseZarr(out).complete() == {"0": ["psi", "vel"]}
    assert {path.name for path in (out / STATE).iterdir()} == {"done.jsonl", "complete.json"}
    assert zeldo.power_spectrum(zeldo.read(out), mesh=32).power[0] > 0


@pytest.mark.parametrize("where", ["fields.VolumeFields.write", "run.evolve_piece"])
def test_a_full_disk_is_told_and_the_same_call_goes_on(tmp_path, expected, monkeypatch, where):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"zeldo.volumes.{where}", full)
        with pytest.raises(zeldo.ZeldoError, match=r"no space left for .*the same command resumes"):
            run_in_pieces(output=tmp_path / "u.zarr", **SMALL, **PIECES)
    check(run_in_pieces(output=tmp_path / "u.zarr", **SMALL, **PIECES), expected)


@pytest.mark.parametrize("field", ["psi", "vel"])
def test_a_damaged_piece_is_made_again_and_no_other(tmp_path, expected, field):
    out = tmp_path / "u.zarr"
    run_in_pieces(output=out, **SMALL, **PIECES)
    whole = UniverseZarr(out).whole(0.0, field)
    shards = sorted(path for path in (out / "z0" / field / "c").rglob("*") if path.is_file())
    assert len(shards) == 8
    times = [path.stat().st_mtime_ns for path in shards]
    shards[3].write_bytes(shards[3].read_bytes()[:-100])
    made = run_in_pieces(output=out, **SMALL, **PIECES)
    np.testing.assert_array_equal(getattr(made, field), whole)
    assert [path.stat().st_mtime_ns != time for path, time in zip(shards, times, strict=True)] == [
        number == 3 for number in range(8)
    ]


def test_a_table_of_power_is_known_by_what_it_holds(tmp_path):
    k, table = np.geomspace(1e-4, 1e2, 100), tmp_path / "pk.txt"
    whole = zeldo.Universe.of(**SMALL)

    def volume(slope):
        np.savetxt(table, np.stack([k, k**slope], axis=1))
        return Volume(
            tmp_path / "u.zarr", zeldo.engine("cola"), replace(whole, power=table), 0.0, 16, 4, 8, lease=60.0
        )

    volume(-1.0).join()
    volume(-1.0).join()
    assert "was begun with power table = " in refusal(volume(-2.0).join)


def test_three_processes_of_which_two_are_killed(tmp_path, expected):
    out = tmp_path / "u.zarr"
    command, env = [sys.executable, "-c", SCRIPT % str(out)], os.environ | {"NUMBA_NUM_THREADS": "1"}
    workers = [subprocess.Popen(command, env=env) for _ in range(3)]
    for number, worker in enumerate(workers[:2]):
        deadline = time.monotonic() + 120
        while not (out / "z0").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05 * number)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert workers[2].wait(timeout=200) == 0
    check(run_in_pieces(output=out, **SMALL, **PIECES), expected)


def test_a_claim_of_a_lost_machine_is_taken_over_by_tasks_that_come_one_by_one(tmp_path):
    """A cluster's worker unpickles the volume for each of them."""
    whole = zeldo.Universe.of(**SMALL)
    packed = pickle.dumps(Volume(tmp_path / "u.zarr", zeldo.engine("cola"), whole, 0.0, 16, 4, 8, lease=0.2))
    lost = tmp_path / "u.zarr" / STATE / "claims" / "fields.0"
    lost.mkdir(parents=True)
    with pickle.loads(packed).claims.claim("fields") as ours:
        assert not ours
    time.sleep(0.3)
    with pickle.loads(packed).claims.claim("fields") as ours:
        assert ours


def test_a_slow_process_does_not_say_that_the_fields_of_another_are_whole(tmp_path, monkeypatch):
    """Its lease ends while it makes them, another process begins them anew, and the slow one is done first."""
    from zeldo.volumes.fields import VolumeFields

    whole, cola, out = zeldo.Universe.of(**SMALL), zeldo.engine("cola"), tmp_path / "u.zarr"
    slow, quick = (Volume(out, cola, whole, 0.0, 16, 4, 8, lease) for lease in (60.0, 61.0))
    slow.join()
    begun, go_on = threading.Event(), threading.Event()
    process = threading.Thread(target=slow.make_fields)

    def write(fields, first, second):
        if threading.current_thread() is process:
            begun.set()
            go_on.wait(20)
            first.mkdir(parents=True)
        else:
            go_on.set()
            process.join(20)
            assert not process.is_alive() and not slow.has_fields

    monkeypatch.setattr(VolumeFields, "write", write)
    process.start()
    assert begun.wait(20)
    shutil.rmtree(out / STATE / "claims")
    assert quick.make_fields()
    assert {path.name for path in (out / STATE).glob("linear*")} == {"linear"}


def test_a_slow_process_does_not_write_what_it_read_of_fields_that_others_removed(tmp_path, monkeypatch):
    """Its lease ends while it reads them, and missing chunks of zarr are zeros."""
    volume = Volume(
        tmp_path / "u.zarr", zeldo.engine("cola"), zeldo.Universe.of(**SMALL), 0.0, 16, 4, 8, 60.0
    )
    volume.join()
    volume.folder.mkdir()
    there, whole = UniverseZarr(volume.path), np.ones((3, 16, 16, 16), np.float32)

    def evolve(engine, origin, fields, tile, *given):
        for field in ("psi", "vel"):
            there.write_tile(0.0, field, tile, whole)
        volume.finished()
        return 0 * whole, 0 * whole

    monkeypatch.setattr("zeldo.volumes.run.stored_fields", lambda folder: None)
    monkeypatch.setattr("zeldo.volumes.run.evolve_piece", evolve)
    assert volume.make(there.tiles[0]) == "left to others"
    assert volume.make(there.tiles[0]) == "made"
    np.testing.assert_array_equal(there.read_tile(0.0, "psi", there.tiles[0]), whole)


def test_what_a_kill_leaves_of_the_fields_is_not_taken_for_whole(tmp_path, monkeypatch):
    volume = Volume(
        tmp_path / "u.zarr", zeldo.engine("cola"), zeldo.Universe.of(**SMALL), 0.0, 16, 4, 8, 60.0
    )
    volume.join()
    volume.folder.mkdir()

    rmtree = shutil.rmtree

    def killed(path, **named):
        if path.name.startswith("linear"):
            raise KeyboardInterrupt
        rmtree(path, **named)

    with monkeypatch.context() as patch:
        patch.setattr("zeldo.volumes.run.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            volume.finished()
    assert not volume.has_fields
    volume.finished()
    assert {path.name for path in (volume.path / STATE).iterdir()} == {"complete.json"}


def test_workers_of_a_cluster_one_of_which_is_lost(tmp_path, expected):
    distributed = pytest.importorskip("distributed")
    out = tmp_path / "u.zarr"
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())

        def kill():
            while not (out / "z0" / "psi").exists():
                time.sleep(0.01)
            os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        check(run_in_pieces(output=out, scheduler=client, **SMALL, **PIECES), expected)
        killer.join(timeout=5)
        assert not killer.is_alive()


def test_processes_that_are_done_at_once_end_one_after_the_other(tmp_path, monkeypatch):
    """Or one would remove the file that another is about to rename."""
    whole, busy, most = zeldo.Universe.of(**SMALL), [], []
    ends = [
        Volume(tmp_path / "u.zarr", zeldo.engine("cola"), whole, 0.0, 16, 4, 8, at) for at in (60.0, 61.0)
    ]
    ends[0].join()

    def watched(method):
        def call(*given):
            busy.append(None)
            most.append(len(busy))
            time.sleep(0.05)
            method(*given)
            busy.pop()

        return call

    for name in ("note_complete", "tidy"):
        monkeypatch.setattr(UniverseZarr, name, watched(getattr(UniverseZarr, name)))
    monkeypatch.setattr("zeldo.volumes.run.WAIT", 0.01)
    processes = [threading.Thread(target=end.finished) for end in ends]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert most == [1, 1, 1, 1]
    assert {path.name for path in (tmp_path / "u.zarr" / STATE).iterdir()} == {"complete.json"}


def test_a_window_wraps_around(tmp_path):
    import zarr

    values = np.random.default_rng(1).normal(size=(3, 8, 8, 8)).astype(np.float32)
    array = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, chunks=(1, 4, 4, 4), dtype="float32")
    array[:] = values
    where = tuple(np.arange(first, first + 6) % 8 for first in (-2, 0, 5))
    np.testing.assert_array_equal(read_window(array, where), values[:, *np.ix_(*where)])


def test_what_cannot_be_made_in_pieces_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", "1s")
    out = tmp_path / "u.zarr"
    assert "cola" in refusal(lambda: run_in_pieces(output=out, engine="pm", **SMALL))
    assert "nbody_start" in refusal(lambda: run_in_pieces(output=out, engine="cola:nbody_start=49", **SMALL))
    early = {"engine": "cola:start_redshift=9", "redshift": 20.0}
    assert "redshift 20.0 is not allowed" in refusal(lambda: run_in_pieces(output=out, **SMALL | early))
    assert "divisor" in refusal(lambda: run_in_pieces(output=out, side=15, **SMALL))
    assert "buffer" in refusal(lambda: run_in_pieces(output=out, side=16, buffer=12, **SMALL))
    assert "planes" in refusal(lambda: run_in_pieces(output=out, **SMALL, **{**PIECES, "thickness": 5}))
    assert ".zarr" in refusal(lambda: run_in_pieces(output=tmp_path / "u.hdf5", **SMALL))
    assert "ics" in refusal(lambda: run_in_pieces(output=out, ics="a.hdf5"))
    pytest.importorskip("distributed")
    absent = {**SMALL, **PIECES, "scheduler": "tcp://127.0.0.1:1"}
    assert "no scheduler answers" in refusal(lambda: run_in_pieces(output=out, **absent))
    assert "output = None is not allowed" in refusal(lambda: run_in_pieces(output=None, **SMALL))
    assert not out.exists()
    run_in_pieces(output=out, **SMALL, **{name: np.int64(value) for name, value in PIECES.items()})
    assert "was begun with buffer = " in refusal(
        lambda: run_in_pieces(output=out, **SMALL, **{**PIECES, "buffer": 2})
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"buffer": 2.0},
        {"side": "4"},
        {"thickness": "a"},
        {"thickness": 4.0},
        {"lease": 0},
        {"side": 0},
        {"thickness": 0},
    ],
    ids=str,
)
def test_what_is_no_piece_is_refused_by_its_name(tmp_path, bad):
    given = {"output": tmp_path / "u.zarr", **SMALL, **PIECES, **bad}
    assert f"{next(iter(bad))} = " in refusal(lambda: run_in_pieces(**given))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("drawn", [{"fixed": True}, {"flip": True}])
def test_snapshots_of_pieces_record_what_whole_ones_do(drawn):
    universe = Universe(box=16.0, n=8, seed=3, power="eisenstein-hu", **drawn)
    volume = Volume(Path("u.zarr"), Cola(), universe, 0.0, 4, 2, 4, 60.0)
    assert volume.origin == universe.initial_conditions().origin
