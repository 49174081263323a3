"""Every engine, killed without warning at moments that no test chose, ends with the bits of the unbroken run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("engine", "n"),
    [
        ("zeldovich", 32),
        ("2lpt", 32),
        ("cola:steps=40,checkpoint_minutes=0", 32),
        ("pm:steps=10,mesh_factor=1,checkpoint_minutes=0", 32),
        ("p3m:checkpoint_minutes=0,mesh_step=0.5", 8),
        ("vnet:tiles=2", 32),
        ("emulator:tiles=2", 32),
        ("emulator:fast,tiles=2", 32),
    ],
)
def test_killed_at_random_it_ends_with_the_same_bits(engine, n):
    command = [sys.executable, "-m", "benchmarks.kills_child", engine, str(n), "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["identical"] == 2
