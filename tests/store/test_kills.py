"""Engines of every kind, killed in the middle of a run or near its end, finish with the bits of the unbroken run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("engine", "n", "kills", "place"),
    [
        ("zeldovich", 32, 2, "memory"),
        ("2lpt", 32, 2, "memory"),
        ("cola:steps=40,checkpoint_minutes=0", 32, 2, "memory"),
        ("pm:steps=10,mesh_factor=1,checkpoint_minutes=0", 32, 2, "memory"),
        ("p3m:checkpoint_minutes=0,mesh_step=0.5", 8, 2, "memory"),
        ("emulator:tiles=2", 16, 2, "memory"),  # networks alone go on in the same way
        ("cola:steps=10", 16, 1, "disk"),
        ("pm:steps=5,mesh_factor=1", 16, 1, "disk"),
        ("emulator:fast", 16, 1, "disk"),
    ],
)
def test_killed_in_the_middle_it_ends_with_the_same_bits(engine, n, kills, place):
    command = [sys.executable, "-m", "benchmarks.kills_child", engine, str(n), str(kills), place]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["identical"] == kills


def test_killed_at_an_operation_on_files_it_ends_with_the_same_files(tmp_path):
    """Nothing stays of what the killed process had begun to write, nor of the state that it went on from."""
    command = [sys.executable, str(Path(__file__).with_name("killed_at.py")), str(tmp_path)]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    }
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    differing = json.loads(done.stdout.splitlines()[-1])
    assert len(differing) == 5 and not any(differing.values()), differing
