"""Phases by name and from arrays, as `initial_conditions` takes them."""

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.cosmology.parameters import PRESETS
from zeldo.cosmology.power import linear_power
from zeldo.initial.linear import initial_conditions
from zeldo.initial.ngenic import NGenIC
from zeldo.initial.noise import white_noise
from zeldo.initial.phase_names import named
from zeldo.initial.phases import Native
from zeldo.initial.quijote import simulation
from zeldo.initial.white_noise import WhiteNoise, noise_of

QUIJOTE = PRESETS["quijote"]
TINY = {"n": 8, "power": "eisenstein-hu"}


def test_names():
    assert named("native") == Native(7)
    assert named("ngenic", seed=3, fixed=True) == NGenIC(3, fixed=True)
    wanted = NGenIC(3, sphere=True, nyquist="filled", mesh_factor=2, sign=-1, flip=True)
    assert named("ngenic:sphere=true,nyquist=filled,mesh-factor=2,sign=-1", seed=3, flip=True) == wanted
    assert named(wanted.label, seed=3, flip=True) == wanted
    assert named("quijote:fiducial/17", seed=175) == simulation("fiducial/17")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("ngenci", {}, "did you mean 'ngenic'"),
        ("ngenic:spere=true", {}, "did you mean 'sphere'"),
        ("ngenic:sphere", {}, "sphere has no value: give sphere=true"),
        ("native:sphere=true", {}, "they have none"),
        ("quijote:fiducial/17", {"seed": 3}, "bring seed = 175, so seed = 3 cannot be given"),
        ("quijote:fiducial/NCV_0_1", {"flip": True}, "bring flip = False"),
    ],
)
def test_bad_names_are_refused_in_one_line(name, given, words):
    assert words in refusal(lambda: named(name, **given))


def test_native_phases_are_those_of_the_seed():
    np.testing.assert_array_equal(Native(3, True, True).modes(8), white_noise(8, 3, fixed=True, flip=True))
    plain, said = zeldo.initial_conditions(**TINY), zeldo.initial_conditions(phases="native", seed=7, **TINY)
    np.testing.assert_array_equal(plain.delta_lin, said.delta_lin)
    assert (plain.seed, plain.phases) == (7, "native")


def test_a_simulation_of_quijote_brings_cosmology_box_and_seed():
    ics = zeldo.initial_conditions(phases="quijote:h_p/NCV_1_2", **TINY)
    assert (ics.cosmology.h, ics.box, ics.seed, ics.fixed, ics.flip) == (0.6911, 1000.0, 21, True, True)
    again = zeldo.initial_conditions(
        cosmology="quijote", h=0.6911, box=1000, seed=21, fixed=True, flip=True, phases="ngenic", **TINY
    )
    np.testing.assert_array_equal(ics.delta_lin, again.delta_lin)
    assert (ics.phases, again.phases) == ("quijote:h_p/NCV_1_2", "ngenic")
    same = zeldo.initial_conditions(phases="quijote:h_p/NCV_1_2", h=0.6911, box=1000, seed=21, **TINY)
    np.testing.assert_array_equal(ics.delta_lin, same.delta_lin)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"omega_m": 0.3}, "bring omega_m = 0.3175, so omega_m = 0.3 cannot be given"),
        ({"cosmology": "planck2018"}, "another cosmology"),
        ({"box": 250}, "bring box = 1000.0, so box = 250 cannot be given"),
        ({"seed": 3}, "bring seed = 25"),
    ],
)
def test_what_contradicts_a_simulation_of_quijote_is_refused(given, words):
    assert words in refusal(lambda: zeldo.initial_conditions(phases="quijote:fiducial/2", **given, **TINY))


def test_phases_are_no_part_of_a_given_field():
    ics = zeldo.initial_conditions(**TINY)
    assert "phases cannot be given too" in refusal(lambda: zeldo.initial_conditions(ics=ics, phases="ngenic"))
    assert "phases 3 are not allowed" in refusal(lambda: zeldo.initial_conditions(phases=3, **TINY))


def test_an_object_of_phases_brings_its_seed():
    ics = zeldo.initial_conditions(phases=NGenIC(5, flip=True), **TINY)
    assert (ics.seed, ics.flip) == (5, True)
    line = refusal(lambda: zeldo.initial_conditions(phases=NGenIC(5), seed=6, **TINY))
    assert "bring seed = 5, so seed = 6" in line


def test_phases_are_written_and_read(tmp_path):
    for suffix in ("hdf5", "npz"):
        path = tmp_path / f"out.{suffix}"
        (made,) = zeldo.run(engine="zeldovich", phases="ngenic:sphere=true", output=path, box=20, **TINY)
        assert made.phases == zeldo.read(path).phases == "ngenic:sphere=true"


def test_a_reference_of_other_phases_is_another_universe(tmp_path):
    path = tmp_path / "out.npz"
    zeldo.run(engine="zeldovich", phases="ngenic", output=path, box=20, **TINY)
    line = refusal(lambda: zeldo.compare(engine="zeldovich", reference=path, box=20, **TINY))
    assert "phases = ngenic" in line and "native" in line


def test_noise_of_a_lattice_gives_its_own_modes_back():
    for phases in (Native(3), NGenIC(3)):
        noise = WhiteNoise(phases.field(16))
        np.testing.assert_allclose(noise.modes(16), phases.modes(16), atol=1e-5)
        np.testing.assert_allclose(noise.modes(8), phases.modes(8), atol=1e-5)
        fixed = WhiteNoise(phases.field(16), fixed=True, flip=True).modes(8)
        unit = type(phases)(3, fixed=True, flip=True).modes(8)
        np.testing.assert_allclose(fixed, unit, atol=1e-4)


def test_the_sign_of_noise():
    field = NGenIC(3).field(8)
    np.testing.assert_array_equal(WhiteNoise(field, -1).modes(8), -WhiteNoise(field).modes(8))
    np.testing.assert_array_equal(WhiteNoise(field, -1, flip=True).modes(8), WhiteNoise(field).modes(8))


def test_white_noise_on_a_lattice_has_unit_variance():
    field = NGenIC(3, nyquist="filled").field(32)
    assert field.var() == pytest.approx(1, abs=4 * np.sqrt(2 / 32**3))
    assert abs(field.mean()) < 1e-5


def test_noise_of_a_linear_field():
    power = linear_power(QUIJOTE, "eisenstein-hu")
    ics = initial_conditions(QUIJOTE, 100.0, 16, phases=NGenIC(3), power=power)
    noise = noise_of(ics, power)
    np.testing.assert_allclose(noise.modes(16), NGenIC(3).modes(16), atol=1e-4)
    again = initial_conditions(QUIJOTE, 100.0, 16, phases=noise, power=power)
    np.testing.assert_allclose(again.delta_lin, ics.delta_lin, atol=1e-4 * ics.delta_lin.std())
    assert again.seed == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((8, 8, 6)), "shape (8, 8, 6)"),
        (np.zeros((7, 7, 7)), "an even m"),
        (np.full((8, 8, 8), np.nan), "variance of the white noise is nan"),
        (np.zeros((8, 8, 8)), "variance of the white noise is 0"),
    ],
)
def test_what_is_no_white_noise_is_refused(values, words):
    assert words in refusal(lambda: WhiteNoise(values))


def test_noise_of_too_few_points_is_refused():
    noise = WhiteNoise(NGenIC(3).field(8))
    assert "too few for n = 16: give n = 8 or less" in refusal(lambda: noise.modes(16))


@pytest.mark.parametrize(("fixed", "flip"), [(True, True), (True, False), (False, True)])
def test_noise_of_a_paired_field_records_no_seed_that_makes_another(fixed, flip):
    power = linear_power(QUIJOTE, "eisenstein-hu")
    ics = initial_conditions(QUIJOTE, 100.0, 16, seed=3, fixed=fixed, flip=flip, power=power)
    again = initial_conditions(QUIJOTE, 100.0, 16, phases=noise_of(ics, power), power=power)
    np.testing.assert_allclose(again.delta_lin, ics.delta_lin, atol=1e-4 * ics.delta_lin.std())
    assert (again.seed, again.phases) == (None, "array")


def test_factors_of_a_mesh_are_whole():
    assert "mesh_factor = 2.0 is not allowed" in refusal(lambda: NGenIC(mesh_factor=2.0))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"values": np.ones((8, 8, 8)) * 1j}, "white noise is a ndarray of complex128"),
        ({"values": [[1, 2], [3]]}, "white noise is a list: give an array"),
        ({"fixed": "no"}, "fixed = 'no' is not allowed"),
        ({"flip": 1}, "flip = 1 is not allowed"),
    ],
)
def test_white_noise_of_other_kinds_is_refused(wrong, words):
    values = np.random.default_rng(1).standard_normal((8, 8, 8))
    assert words in refusal(lambda: WhiteNoise(**{"values": values, **wrong}))
