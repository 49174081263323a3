"""What engines say beforehand of their cost, held against what a run takes. Time is not tested: machines differ."""

import tracemalloc
from functools import cache

import pytest
from waves import universe

import zeldo
from zeldo.engines import network_plans
from zeldo.engines.registry import engine
from zeldo.measuring import memory
from zeldo.networks import weights
from zeldo.planning import _memory, chosen_plan

N = 40


def peak(chosen, redshifts):
    """GB of arrays at the peak of a run, beside its initial conditions; what was made is dropped."""
    ics = universe(N, 2.0 * N)
    for _ in chosen.for_trial().run(universe(16, 32.0), [0.5]):
        pass
    tracemalloc.start()
    try:
        for snapshot in chosen.run(ics, redshifts):
            del snapshot
        return tracemalloc.get_traced_memory()[1] / 1e9
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "options", "redshifts"),
    [
        ("zeldovich", {}, [0.0]),
        ("2lpt", {}, [1.0, 0.0]),
        ("cola", {"steps": 2}, [0.0]),
        ("cola", {"steps": 2}, [1.3, 0.0]),
        ("cola", {"steps": 2, "mesh_factor": 2}, [0.0]),
        ("pm", {"steps": 2}, [0.0]),
        ("pm", {"steps": 2, "mesh_factor": 1}, [1.3, 0.0]),
        ("p3m", {"mesh_step": 0.5, "pair_accuracy": 50.0, "start_redshift": 9.0}, [0.0]),
    ],
)
def test_memory_is_what_a_run_takes(name, options, redshifts):
    chosen = engine(name, **options)
    assert chosen.plan(N, redshifts).memory_gb == pytest.approx(peak(chosen, redshifts), rel=0.3)


@pytest.mark.parametrize(
    ("name", "options"), [("cola", {"steps": 5}), ("pm", {"steps": 5}), ("cola", {"mesh_factor": 2})]
)
@pytest.mark.parametrize("redshifts", [[0.0], [2.1, 1.4, 0.0], [9.0]])
def test_forces_are_counted(name, options, redshifts, monkeypatch):
    from zeldo.mesh.numba_gravity import NumbaGravity

    taken = []
    original = NumbaGravity._solve_modes
    monkeypatch.setattr(NumbaGravity, "_solve_modes", lambda *given: taken.append(1) or original(*given))
    chosen = engine(name, start_redshift=9.0, **options)
    list(chosen.run(universe(8), redshifts))
    assert chosen.plan(8, redshifts).forces == len(taken)


def test_pair_steps_of_a_usual_universe_are_about_those_expected(monkeypatch):
    from zeldo.engines.p3m.pair_force import PairForce

    taken = []
    original = PairForce.__call__
    monkeypatch.setattr(PairForce, "__call__", lambda *given: taken.append(1) or original(*given))
    chosen = engine("p3m")
    list(chosen.run(universe(24, 48.0), [1.0]))
    assert chosen.plan(24, [1.0]).forces == pytest.approx(len(taken), rel=0.35)


def test_a_plan_grows_with_the_work():
    few, many = engine("pm", steps=5).plan(32), engine("pm", steps=50).plan(32)
    assert many.seconds > 5 * few.seconds and many.memory_gb == few.memory_gb
    assert engine("p3m").plan(64).seconds > 10 * engine("cola").plan(64).seconds
    assert engine("p3m", pair_accuracy=0.0025).plan(64).forces > 1.5 * engine("p3m").plan(64).forces
    assert engine("pm", device="torch").plan(32).seconds is None
    assert isinstance(engine("vnet").plan(32), zeldo.Plan)


def test_the_dynamics_and_the_network_run_to_each_redshift(monkeypatch):
    monkeypatch.setattr(network_plans, "_rate", lambda *given: 1e11)
    both, first, last = (engine("emulator").plan(32, zs) for zs in ([1.0, 0.0], [1.0], [0.0]))
    for name in ("seconds", "forces", "network"):
        assert getattr(both, name) == pytest.approx(getattr(first, name) + getattr(last, name))


def test_no_engine_refuses_to_say_what_an_emulator_asks_of_its_dynamics():
    for name in ("2lpt", "zeldovich", "p3m"):
        assert engine(name).plan_streamed(N, [0.0], 8, 4) is None
    for name in ("cola", "pm"):
        assert engine(name).plan_streamed(N, [0.0], 8, 4) is not None


@pytest.mark.parametrize("name", ["u.zarr", "u.hdf5"])
def test_a_network_has_as_many_tiles_as_leave_room_for_the_rest(name, monkeypatch, tmp_path):
    """For the fields and the libraries, loaded or not: what fits into some memory fits into more."""
    monkeypatch.setattr(network_plans, "_rate", lambda *given: 1e11)
    monkeypatch.setattr(weights, "load", cache(weights.load))
    monkeypatch.setattr(memory, "resident", lambda: 0.1e9)
    fast = engine("emulator", preset="fast")
    for size in (0.9, 1.0, 1.2):
        with memory.limited(size):
            own, _ = chosen_plan(fast, 128, [0.0], tmp_path / name)
            assert _memory(own, 128) <= size
