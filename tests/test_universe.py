"""A Universe decides the initial conditions, from Python, commands and data sets alike."""

import re
from dataclasses import FrozenInstanceError, fields
from inspect import signature

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

import zeldo
from refusals import refusal
from zeldo.commands.universe import Universe as Options
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import ZeldoWarning
from zeldo.particles.snapshot import DRAWN
from zeldo.universe import Universe

TINY = {"n": 8, "box": 20.0, "power": "eisenstein-hu"}


def test_the_same_universe_by_every_way_has_the_same_bits():
    ours = Universe.of("planck2018", sigma_8=0.9, seed=3, fixed=True, **TINY)
    plain = Universe(cosmology=ours.cosmology, seed=3, fixed=True, **TINY)
    assert ours == plain and hash(ours) == hash(plain)
    ics = ours.initial_conditions()
    keywords = zeldo.initial_conditions(cosmology="planck2018", sigma_8=0.9, seed=3, fixed=True, **TINY)
    assert np.array_equal(ics.delta_lin, keywords.delta_lin)
    assert np.array_equal(ics.delta_lin, zeldo.initial_conditions(universe=ours).delta_lin)
    (by_universe,) = zeldo.run(universe=ours, engine="zeldovich")
    (by_ics,) = zeldo.run(ics=ics, engine="zeldovich")
    assert np.array_equal(by_universe.psi, by_ics.psi)


def test_initial_conditions_say_what_universe_they_are_of():
    ours = Universe(seed=5, flip=True, **TINY)
    ics = ours.initial_conditions()
    assert all(
        getattr(ics, name) == getattr(ours, name) for name in ("cosmology", "box", "n", "seed", *DRAWN)
    )
    assert ours.spacing == ics.spacing


def test_it_is_frozen_and_checked_once():
    ours = Universe(n=np.int64(8), box=20)
    assert (type(ours.n), type(ours.box)) == (int, float)
    with pytest.raises(FrozenInstanceError):
        ours.seed = 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 7}, "n = 7 is not allowed"),
        ({"box": -1}, "box = -1 is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed"),
        ({"fixed": 1}, "fixed = 1 is not allowed"),
        ({"power": "camp"}, "did you mean 'camb'?"),
        ({"cosmology": "quixote"}, "did you mean 'quijote'?"),
        ({"sigma8": 0.8}, "did you mean 'sigma_8'?"),
        ({"omega_m": 7}, "omega_m = 7 is not allowed"),
    ],
)
def test_what_will_not_do_is_refused(options, words):
    assert words in refusal(lambda: Universe.of(**options))


def test_a_name_is_no_cosmology_of_its_fields():
    assert "Universe.of" in refusal(lambda: Universe(cosmology="quijote"))


def test_a_model_of_astropy_lacks_what_is_given_beside_it():
    model = FlatLambdaCDM(H0=70, Om0=0.3, Ob0=0.05)
    ours = Universe.of(model, sigma_8=0.8, n_s=0.96)
    assert ours.cosmology == Cosmology(omega_m=0.3, omega_b=0.05, h=0.7, n_s=0.96, sigma_8=0.8)


def test_a_universe_and_its_parts_cannot_both_be_given():
    line = refusal(lambda: zeldo.initial_conditions(universe=Universe(**TINY), seed=3))
    assert line.startswith("universe fixes the universe, so seed cannot be given too")
    for call in (zeldo.run, zeldo.plan, zeldo.run_suite, zeldo.run_in_pieces):
        given = {"output": "nowhere"} if call is zeldo.run_suite else {}
        given = {"output": "nowhere.zarr"} if call is zeldo.run_in_pieces else given
        assert "n cannot be given" in refusal(lambda: call(universe=Universe(**TINY), n=64, **given))  # noqa: B023
    ics = Universe(**TINY).initial_conditions()
    assert "ics" in refusal(lambda: zeldo.initial_conditions(universe=Universe(**TINY), ics=ics))


def test_commands_and_python_offer_what_a_universe_has():
    offered = {field.name for field in fields(Options)}
    assert offered == {*Cosmology.names(), *(field.name for field in fields(Universe)), "ics"}
    assert offered | {"universe"} == set(signature(zeldo.initial_conditions).parameters)
    assert Universe() == Universe.of()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"box": 1.0}, "box = 1 is small for a universe: give Mpc/h, not Gpc/h"),
        ({"omega_b": 0.0224}, "usual for omega_b h^2: if that is meant, give omega_b = 0.04974"),
    ],
)
def test_values_that_are_usual_in_other_units_are_doubted(given, words):
    with pytest.warns(ZeldoWarning, match=re.escape(words)):
        Universe.of("quijote", **given)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "given", [{"box": 25.0}, {"omega_b": 0.03}, {"omega_b": 0.0224, "h": 1.0}, {"omega_b": 0.001}]
)
def test_unusual_values_are_taken_as_they_are(given):
    Universe.of("quijote", **given)
