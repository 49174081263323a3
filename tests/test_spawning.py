"""A script without a guard starts no processes that start others."""

import multiprocessing
import subprocess
import sys

import pytest

from zeldo.datasets.dataset import make_dataset
from zeldo.training.loop import train

UNGUARDED = """
import multiprocessing
from zeldo.spawning import check_guarded, leave_unguarded

leave_unguarded()
process = multiprocessing.get_context("spawn").Process(target=print)
process.start()
process.join()
check_guarded([process.exitcode])
"""
DATASET = """
store = "{store}"
engine = "zeldovich"
box = 20
n = 8
power = "eisenstein-hu"
train = {{ runs = 2, first_seed = 1 }}
validation = {{ runs = 1, first_seed = 9 }}
"""


def test_a_script_without_a_guard_is_told_once_where_to_put_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert ended.stderr.count("Traceback") == 1 and "bootstrapping" not in ended.stderr
    assert "InputError: this script would run again" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("how", ["workers", "background", "devices"])
def test_processes_that_still_import_their_script_start_none(tmp_path, monkeypatch, how):
    class LeftError(Exception):
        pass

    def leave(status):
        raise LeftError

    monkeypatch.setattr("zeldo.spawning.os._exit", leave)
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    path = tmp_path / "dataset.toml"
    path.write_text(DATASET.format(store=tmp_path / "runs.zarr"))
    data = {"dataset": path} | ({"background": True, "samples_per_epoch": 2} if how == "background" else {})
    devices = {"accelerator": "cpu", "devices": 2 if how == "devices" else 1}
    with pytest.raises(LeftError):
        if how == "workers":
            make_dataset(path, override={"workers": 2})
        train({"output": tmp_path / "out", "data": data, "network": {"channels": 2, "levels": 2}} | devices)
