"""The queue makes what is missing, once, and goes on where it was stopped."""

import dataclasses
import errno
import json
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

from teachers import second_order
from zeldo.configuration import load
from zeldo.cosmology.parameters import PRESETS
from zeldo.cosmology.power import linear_power
from zeldo.datasets import dataset
from zeldo.datasets.config import DatasetConfig
from zeldo.datasets.dataset import make_dataset
from zeldo.datasets.design import make_design
from zeldo.engines.base import Engine
from zeldo.errors import InputError, ZeldoError
from zeldo.initial.linear import initial_conditions
from zeldo.store.runs import RunStore


@dataclasses.dataclass(frozen=True)
class Teacher(Engine):
    """Second-order theory with a counter of its runs, that can break off, and a checkpoint."""

    name: ClassVar[str] = "stand-in"
    resumable: ClassVar[bool] = True
    strength: float = 1.0
    checkpoint: str | None = None

    runs = []  # noqa: RUF012
    broken = set()  # noqa: RUF012

    def evolve(self, ics, redshifts, progress):
        progress(1, 2, "half way")
        for one in second_order(ics, redshifts):
            yield dataclasses.replace(one, settings={"strength": self.strength})
            if ics.seed in self.broken:
                self.checkpoint.write_text("half way")
                raise RuntimeError("killed")
        Teacher.runs.append((ics.seed, str(self.checkpoint)))


@pytest.fixture
def teacher(monkeypatch):
    def engine(name, **options):
        if name != "stand-in":
            raise InputError(f"engine {name!r} is not known")
        return Teacher(**options)

    monkeypatch.setattr("zeldo.engines.registry.engine", engine)
    monkeypatch.setattr(Teacher, "runs", [])
    monkeypatch.setattr(Teacher, "broken", set())
    return Teacher


@pytest.fixture
def given(tmp_path):
    return {
        "store": tmp_path / "s.zarr",
        "box": 32.0,
        "n": 8,
        "redshifts": [1.0, 0.0],
        "power": "eisenstein-hu",
        "engine": "stand-in",
        "train": {"runs": 3, "first_seed": 1},
        "validation": {"runs": 1, "first_seed": 11},
    }


def test_every_run_of_the_design_is_made_validation_first(teacher, given):
    result = make_dataset(given)
    assert result.made == ["s00000011", "s00000001", "s00000002", "s00000003"]
    row = result.store.row("s00000011")
    assert (row["part"], row["redshifts"], row["settings"]) == ("validation", [1.0, 0.0], {"strength": 1.0})
    assert isinstance(row["wall_seconds"], float)
    ics, psi, vel = result.store.read("s00000002", 1.0)
    want = next(iter(second_order(ics, [1.0])))
    np.testing.assert_allclose(psi, want.psi, atol=0.003)
    assert vel is not None


def test_a_second_call_makes_nothing_and_a_longer_design_only_what_is_new(teacher, given):
    make_dataset(given)
    assert make_dataset(given).made == []
    given["train"] = {"runs": 4, "first_seed": 1}
    result = make_dataset(given)
    assert (result.existing, result.made) == (4, ["s00000004"])


def test_a_run_that_fails_does_not_stop_the_others_and_is_resumed(teacher, given):
    teacher.broken.add(2)
    result = make_dataset(given)
    assert result.failed == {"s00000002": "RuntimeError: killed"}
    assert len(result.made) == 3
    checkpoint = given["store"] / ".checkpoints" / "s00000002.npz"
    assert checkpoint.exists()
    teacher.broken.clear()
    assert make_dataset(given).made == ["s00000002"]
    assert result.store.row("s00000002")["resumed"] is True
    assert (2, str(checkpoint)) in teacher.runs
    assert not checkpoint.exists()


def test_a_cosmology_that_is_refused_does_not_stop_the_others_of_a_hypercube(teacher, given, tmp_path):
    (tmp_path / "lh.txt").write_text(
        "0.3 0.05 0.7 0.96 0.8\n0.01 0.0001 0.2 0.3 0.8\n0.3 0.05 0.7 0.96 0.9\n"
    )
    given = {name: value for name, value in given.items() if name not in ("power", "validation")}
    result = make_dataset(given | {"latin_hypercube": tmp_path / "lh.txt"})
    assert (len(result.made), list(result.failed)) == (2, ["s00000002"])
    assert "CAMB" in result.failed["s00000002"]


def test_a_full_disk_ends_the_queue_and_not_run_after_run(teacher, given, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zeldo.store.run_fields.put", full)
    with pytest.raises(ZeldoError, match=r"no space left for .*s\.zarr"):
        make_dataset(given)
    assert len(teacher.runs) == 0


def test_what_ends_a_worker_is_told_by_its_parent(teacher, given, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zeldo.store.run_fields.put", full)
    config, answers = load(given, DatasetConfig), queue.SimpleQueue()
    before = signal.getsignal(signal.SIGINT)
    try:
        dataset._worker(config, make_design(config), answers)
    finally:
        signal.signal(signal.SIGINT, before)
    result = dataset.DatasetResult(dataset.open_store(config), 0)
    (ended,) = pickle.loads(pickle.dumps(dataset._drain(answers, result)))
    assert isinstance(ended, ZeldoError) and "no space left for" in str(ended) and not result.made


def test_two_queues_on_one_store_share_the_work(teacher, given):
    threads = [threading.Thread(target=make_dataset, args=(given,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seed for seed, _ in teacher.runs) == [1, 2, 3, 11]
    assert len(RunStore(given["store"])) == 4


def test_progress_counts_runs(teacher, given):
    told = []
    make_dataset(given, progress=lambda *a: told.append(a))
    assert told[0] == (0.5, 4, "run 1 of 4, half way")
    assert told[-1][0] == 3.5


@pytest.mark.parametrize("fixed", [False, True])
def test_runs_have_the_amplitudes_asked_for(teacher, given, fixed):
    store = make_dataset(given | {"fixed": fixed}).store
    made = store.initial("s00000001")
    expected = initial_conditions(made.cosmology, 32.0, 8, 1, power="eisenstein-hu", fixed=fixed)
    assert store.snapshot("s00000001").fixed is fixed
    np.testing.assert_allclose(made.delta_lin, expected.delta_lin, atol=1e-5)


def test_velocities_can_be_left_out(teacher, given):
    result = make_dataset(given | {"velocity": False})
    assert result.store.read("s00000001", 0.0)[2] is None


def test_a_store_of_another_default_is_not_added_to(teacher, given):
    make_dataset(given | {"options": {"strength": 2.0}})
    with pytest.raises(InputError, match=r"option strength = 2\.0, the configuration says 1\.0"):
        make_dataset(given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": {"strength": 2.0}}, "option strength = 1.0, the configuration says 2.0"),
        ({"n": 10}, "n = 8"),
        ({"power": "camb"}, "power = eisenstein-hu, the configuration says camb"),
        ({"fixed": True}, "fixed = False"),
        ({"psi_step": 0.01}, "psi_step = 0.005"),
        ({"vel_step": 2.0}, "vel_step = 1.0"),
        ({"velocity": False}, "velocity = True"),
        ({"redshifts": [0.0]}, "redshifts"),
        (
            {"validation": {"runs": 0, "first_seed": 0}, "test": {"runs": 1, "first_seed": 11}},
            "part = validation",
        ),
        ({"engine": "other"}, "is not known"),
        ({"options": {"checkpoint": "x"}}, "leave it out"),
    ],
)
def test_a_store_of_other_runs_is_not_added_to(teacher, given, change, words):
    make_dataset(given)
    with pytest.raises(InputError, match=words):
        make_dataset(given | change)


@pytest.fixture
def table(tmp_path):
    """A file of linear power."""
    power = linear_power(PRESETS["quijote"], "eisenstein-hu")
    np.savetxt(tmp_path / "pk.txt", np.stack([power.k, power.p], axis=1))
    return tmp_path / "pk.txt"


def test_a_table_of_power_is_known_by_what_it_holds(teacher, given, table, monkeypatch):
    given["power"] = str(table)
    store = make_dataset(given).store
    assert store.row("s00000001")["power"].startswith("pk.txt of sha256 ")
    monkeypatch.chdir(table.parent)
    given["train"] = {"runs": 4, "first_seed": 1}
    assert make_dataset(given | {"power": "./pk.txt"}).made == ["s00000004"]
    k, p = np.loadtxt(table).T
    np.savetxt(table, np.stack([k, p * k**0.01], axis=1))
    given["train"] = {"runs": 5, "first_seed": 1}
    with pytest.raises(
        InputError, match=r"with power = pk\.txt of sha256 \w+, the configuration says pk\.txt of"
    ):
        make_dataset(given)
    assert len(store) == 5


def test_runs_of_older_versions_have_the_path_of_their_table(teacher, given, table):
    given["power"] = str(table)
    store = make_dataset(given).store
    for path in store.path.glob("*/zarr.json"):
        kept = json.loads(path.read_text())
        kept["attributes"].pop("power")
        path.write_text(json.dumps(kept))
    assert make_dataset(given).made == []
    with pytest.raises(InputError, match=r"power = .*pk\.txt, the configuration says eisenstein-hu"):
        make_dataset(given | {"power": "eisenstein-hu"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"redshifts": [60.0], "engine": "p3m"}, "redshift 60"),
        ({"redshifts": [3000.0]}, "redshift 3000"),
        ({"power": "cambb"}, "did you mean 'camb'"),
        ({"box": -1.0}, "box"),
    ],
)
def test_bad_input_leaves_no_empty_store(given, change, words):
    with pytest.raises(InputError, match=words):
        make_dataset(given | {"engine": "zeldovich"} | change)
    assert not given["store"].exists()


def test_workers_make_the_same_bits_as_one_process(given, tmp_path):
    given["engine"] = "zeldovich"
    one = make_dataset(given).store
    result = make_dataset(given | {"store": tmp_path / "many.zarr", "workers": 2, "threads": 1})
    assert sorted(result.made) == one.run_ids()
    for run_id in one.run_ids():
        np.testing.assert_array_equal(one.read(run_id)[1], result.store.read(run_id)[1])


def test_workers_that_are_stopped_leave_nothing_behind(given, tmp_path):
    train = "{ runs = 5000, first_seed = 1 }"
    (tmp_path / "many.toml").write_text(
        f'store = "{given["store"]}"\nbox = 32.0\nn = 16\npower = "eisenstein-hu"\nengine = "2lpt"\n'
        f"workers = 2\nthreads = 1\ntrain = {train}\n"
    )
    main = "import sys; from zeldo.commands import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", main, "dataset", str(tmp_path / "many.toml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any(given["store"].glob("s*")):
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate()
    assert process.returncode == 130
    assert "no file was left half-written" in said and "resource_tracker" not in said
    assert not [*given["store"].glob(".partial-*"), *given["store"].glob(".claims/*")]


def test_runs_have_the_phases_of_another_generator(given, tmp_path):
    given["engine"] = "zeldovich"
    native = make_dataset(given).store
    other = make_dataset(given | {"store": tmp_path / "ngenic.zarr", "phases": "ngenic"}).store
    run_id = native.run_ids()[0]
    assert other.row(run_id)["initial"]["arguments"]["phases"] == "ngenic"
    assert np.abs(other.initial(run_id).delta_lin - native.initial(run_id).delta_lin).max() > 0.1
    assert not make_dataset(given | {"store": tmp_path / "ngenic.zarr", "phases": "ngenic"}).made
    with pytest.raises(InputError, match="phases = ngenic, the configuration says native"):
        make_dataset(given | {"store": tmp_path / "ngenic.zarr"})
    with pytest.raises(InputError, match="one published simulation"):
        make_dataset(given | {"store": tmp_path / "q.zarr", "phases": "quijote:fiducial/17"})
