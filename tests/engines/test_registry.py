"""Engines by name, their options, and what is refused."""

import numpy as np
import pytest
from waves import universe

from refusals import refusal
from zeldo.engines.checks import check_redshifts, check_whole
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import engine, engine_class, names
from zeldo.engines.trained import shipped_weights


@pytest.mark.parametrize("name", ["zeldovich", "2lpt", "cola", "pm"])
def test_an_engine_knows_its_name_and_says_what_it_is(name):
    cls = engine_class(name)
    assert cls.name == name == engine(name).name
    assert len(cls.__doc__.splitlines()[0]) > 20
    assert engine(name) == cls()


def test_every_name_has_its_class():
    for name in names():
        assert engine_class(name).name == name


def test_an_unknown_engine_is_refused_with_the_nearest():
    line = refusal(lambda: engine("colla"))
    assert line.startswith("engine 'colla' is not known: choose one of zeldovich, 2lpt, cola, pm")
    assert "did you mean 'cola'?" in line


def test_an_engine_is_asked_for_by_text_or_by_a_path():
    assert engine(shipped_weights("vnet")).name == "vnet"
    for wrong in (None, 3, b"cola"):
        assert "give a name, such as cola" in refusal(lambda wrong=wrong: engine(wrong))


def test_an_unknown_option_is_refused_with_those_there_are():
    line = refusal(lambda: engine("pm", step=3))
    assert "has no option 'step'" in line and "steps, mesh_factor, sharpening, spacing" in line
    assert "did you mean 'steps'?" in line
    assert "takes no options" in refusal(lambda: engine("2lpt", steps=3))


def test_an_option_that_is_none_keeps_the_default():
    assert engine("pm", steps=None, mesh_factor=1) == engine("pm", mesh_factor=1)
    assert engine("zeldovich", steps=None) == engine("zeldovich")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("pm", {"steps": 0}, "steps = 0 is not allowed: give a whole number from 1"),
        ("pm", {"steps": 2.5}, "steps = 2.5"),
        ("pm", {"steps": True}, "steps = True"),
        ("cola", {"steps": -3}, "steps = -3"),
        ("cola", {"mesh_factor": 5}, "mesh_factor = 5 is not allowed: give a whole number from 1 to 4"),
        ("pm", {"mesh_factor": 0}, "mesh_factor = 0"),
        ("pm", {"stepper": "bulfrog"}, "choose one of bullfrog, fastpm; did you mean 'bullfrog'?"),
        ("pm", {"stepper": 3}, "stepper 3 is not known"),
        ("pm", {"start_redshift": 0.0}, "start_redshift = 0.0 is not allowed: give a number from 0.5 to 200"),
        ("cola", {"start_redshift": float("nan")}, "start_redshift = nan"),
        ("cola", {"start_redshift": 1e4}, "give a number from 0.5 to 200"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, words):
    assert words in refusal(lambda: engine(name, **options))


def test_redshifts_come_from_high_to_low_and_once():
    assert check_redshifts([0, 2, 1.0, 2.0]) == [2.0, 1.0, 0.0]
    assert check_redshifts((0.5,)) == [0.5]
    assert [str(z) for z in check_redshifts([-0.0])] == ["0.0"]
    assert check_redshifts(np.arange(2)) == check_redshifts(np.array([0, 1], np.float32)) == [1.0, 0.0]


@pytest.mark.parametrize("z", [-0.1, float("nan"), float("inf"), "0", None, True, 1000.1])
def test_redshifts_that_make_no_sense_are_refused(z):
    line = refusal(lambda: check_redshifts([0.0, z]))
    assert line.startswith(f"redshift {z!r} is not allowed") and line.endswith("give numbers from 0 to 1000")


@pytest.mark.parametrize("name", ["zeldovich", "2lpt", "cola", "pm"])
def test_every_engine_refuses_bad_redshifts_before_it_works(name):
    ics = universe(4)
    assert "no redshift" in refusal(lambda: next(engine(name).run(ics, [])))
    assert "redshift -1 " in refusal(lambda: next(engine(name).run(ics, [0, -1])))


@pytest.mark.parametrize(("name", "start"), [("cola", 9.0), ("pm", 9.0)])
def test_redshifts_above_the_start_are_refused(name, start):
    ics = universe(4)
    assert "to the start at 9" in refusal(lambda: next(engine(name).run(ics, [0, start + 0.1])))
    higher = engine(name, start_redshift=30.0, steps=1)
    assert [s.redshift for s in higher.run(ics, [start])] == [start]


@pytest.mark.parametrize(("name", "start"), [("cola", 9.0), ("pm", 9.0), ("p3m", 49.0)])
def test_the_start_is_2lpt(name, start):
    """Whether or not something follows."""
    ics = universe(8)
    (expected,) = engine("2lpt").run(ics, [start])
    first, _ = engine(name).run(ics, [start, 0.95 * start])
    (alone,) = engine(name).run(ics, [start])
    for made in (first, alone):
        assert (made.redshift, made.engine) == (start, name)
        assert np.abs(made.psi - expected.psi).max() < 1e-5 * np.abs(expected.psi).max()
        assert np.abs(made.vel - expected.vel).max() < 1e-5 * np.abs(expected.vel).max()


def test_numbers_of_numpy_are_options_too():
    made = engine("cola", steps=np.int64(3), start_redshift=np.float32(9))
    assert made == engine("cola", steps=3, start_redshift=9.0)
    assert type(made.steps) is int and type(made.start_redshift) is float
    whole = parse_engine("cola", steps=3.0, start_redshift=9.0)
    assert whole == made and type(whole.steps) is int


@pytest.mark.parametrize("name", ["cola", "pm", "p3m"])
def test_every_option_of_a_method_changes_what_comes_out(name):
    quick = {"start_redshift": 9.0, **({"mesh_step": 0.5, "pair_accuracy": 50.0} if name == "p3m" else {})}
    changes = {
        **{"steps": 4, "mesh_factor": 3, "sharpening": 1.0, "spacing": "graded", "stepper": "fastpm"},
        **{"start_redshift": 19.0, "exponent": -2.0, "nbody_start": 49.0, "reach": 2.5, "shape": 2},
        **{"softening": 0.1, "mesh_step": 0.3, "crossing": 0.1, "pair_accuracy": 0.1},
    }
    if name == "p3m":
        changes["mesh_factor"] = 2.5

    def psi(**options):
        (snapshot,) = engine(name, **quick | options).run(universe(8, 16.0), [0.0])
        return snapshot.psi

    usual = psi()
    np.testing.assert_array_equal(usual, psi())
    for option in set(engine_class(name).options()) - {"device", "checkpoint", "checkpoint_minutes"}:
        assert not np.array_equal(usual, psi(**{option: changes[option]})), option


def test_a_file_of_weights_is_one_whatever_the_case_of_its_suffix():
    assert engine("net.PT").weights == "net.PT"
    assert "weights = 'b.pt' cannot be given too" in refusal(lambda: engine("a.pt", weights="b.pt"))


def test_whole_numbers_are_checked():
    check_whole("steps", 3, 1, 5)
    for bad in (0, 6, 2.0, "3", None, True):
        assert "steps = " in refusal(lambda bad=bad: check_whole("steps", bad, 1, 5))


@pytest.mark.parametrize("name", [name for name in names() if name not in ("vnet", "emulator")])
def test_a_snapshot_says_how_its_phases_were_drawn(name):
    (snapshot,) = engine(name).run(universe(8, 16.0), [9.0])
    assert (snapshot.seed, snapshot.fixed, snapshot.flip) == (1, False, False)
    assert snapshot.power
