"""A training whose data are made when they are missing, before it or beside it."""

import multiprocessing
import os
import signal
import time

import pytest

from zeldo.configuration import load
from zeldo.datasets.config import DatasetConfig
from zeldo.errors import InputError
from zeldo.store.runs import RunStore
from zeldo.training.loop import _make_beside, train


def test_a_training_makes_the_runs_that_it_misses(config, tmp_path):
    path = tmp_path / "data.toml"
    path.write_text(
        f'store = "{tmp_path / "s.zarr"}"\nbox = 32.0\nn = 8\nredshifts = [0.0]\npower = "eisenstein-hu"\n'
        'engine = "2lpt"\ntrain = { runs = 3, first_seed = 1 }\n'
        "validation = { runs = 1, first_seed = 11 }\n"
    )
    result = train(config | {"data": {"dataset": path}}, stop_after=1)
    assert result.steps == 1
    assert RunStore(tmp_path / "s.zarr").run_ids() == ["s00000001", "s00000002", "s00000003", "s00000011"]


def test_a_slip_in_data_that_are_made_beside_a_training_is_told_before_anything_runs(config, tmp_path):
    (tmp_path / "data.toml").write_text(
        f'store = "{tmp_path / "s.zarr"}"\nengine = "nosuch"\ntrain = {{ runs = 3, first_seed = 1 }}\n'
    )
    data = {"dataset": tmp_path / "data.toml", "background": True, "samples_per_epoch": 4}
    with pytest.raises(InputError, match="'nosuch'"):
        train(config | {"data": data})
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": {"name": "correction", "engine": "nosuch"}}, "'nosuch'"),
        ({"task": {"name": "correction", "engine_options": {"steps": 0}}}, "steps = 0"),
        ({"start_from": "nosuch.safetensors"}, "nosuch.safetensors cannot be read"),
        ({"data.crop": 7}, "data.crop = 7 is not allowed: give .* or a multiple of"),
        ({"data.crop": 256}, "data.crop = 256 is larger than the box of 128 cells: give at most 128"),
        ({"data.redshifts": [1.0]}, "makes no redshift 1: set data.redshifts to some of 0"),
    ],
)
def test_what_cannot_be_trained_is_told_before_data_are_made(config, tmp_path, change, words):
    (tmp_path / "data.toml").write_text(
        f'store = "{tmp_path / "s.zarr"}"\nengine = "2lpt"\ntrain = {{ runs = 3, first_seed = 1 }}\n'
    )
    with pytest.raises(InputError, match=words):
        train(config | {"data": {"dataset": tmp_path / "data.toml"}}, override=change)
    assert not (tmp_path / "s.zarr").exists()


def test_a_checkpoint_that_does_not_fit_is_told_before_data_are_made(config, tmp_path):
    train(config, stop_after=1)
    (tmp_path / "data.toml").write_text(
        f'store = "{tmp_path / "s.zarr"}"\nengine = "2lpt"\ntrain = {{ runs = 3, first_seed = 1 }}\n'
    )
    with pytest.raises(
        InputError, match=r"was trained with seed = .*: set it back, or choose another output"
    ):
        train(config | {"data": {"dataset": tmp_path / "data.toml"}}, override={"seed": 99})
    assert not (tmp_path / "s.zarr").exists()


def test_data_made_beside_a_training_do_not_mind_ctrl_c_and_end_with_all_their_workers(tmp_path):
    many = {"engine": "zeldovich", "workers": 2, "threads": 1, "train": {"runs": 5000, "first_seed": 1000}}
    given = {"store": tmp_path / "s.zarr", "box": 32.0, "n": 8, "power": "eisenstein-hu"}
    design = load(given | many, DatasetConfig)
    queue = multiprocessing.get_context("spawn").Process(target=_make_beside, args=(design,))
    queue.start()
    made = lambda: len(RunStore(given["store"], create=False).runs())  # noqa: E731
    while queue.is_alive() and not ((given["store"] / "zarr.json").exists() and made()):
        time.sleep(0.1)
    os.kill(queue.pid, signal.SIGINT)
    time.sleep(0.5)
    assert queue.is_alive()
    queue.terminate()
    queue.join()
    assert queue.exitcode == 0
    before = made()
    time.sleep(1.5)
    assert made() == before < 5000
