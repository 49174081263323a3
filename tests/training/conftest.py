"""A small store of runs by second-order Lagrangian perturbation theory, and a training on it."""

import pytest

from teachers import second_order
from zeldo.cosmology.parameters import PRESETS
from zeldo.initial.linear import initial_conditions
from zeldo.store.runs import RunStore

EH = {"power": "eisenstein-hu"}
N, BOX = 16, 64.0


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Four runs to train on and two to validate with, z = 0."""
    made = RunStore(tmp_path_factory.mktemp("store") / "runs.zarr")
    for i in range(6):
        ics = initial_conditions(PRESETS["quijote"], BOX, N, 100 + i, **EH)
        part = "train" if i < 4 else "validation"
        made.add(f"s{100 + i}", ics, second_order(ics, [0.0]), regenerate=EH, part=part)
    return made


@pytest.fixture
def config(store, tmp_path):
    """A training that takes a second."""
    return {
        "output": tmp_path / "out",
        "network": {"channels": 4, "levels": 2},
        "data": {"store": store.path},
        "optimizer": {"rate": 1e-3},
        "epochs": 2,
        "accelerator": "cpu",
        "devices": 1,
        "threads": 1,  # tiny nets: threads that wait for each other take longer than the work
        "tensorboard": False,
        "energy": False,
    }
