"""What is said of a name that is not known."""

from dataclasses import fields

import pytest

import zeldo
from zeldo.commands import main
from zeldo.engines.registry import BUILT_IN
from zeldo.errors import NOTHING, nearest


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Om0", "did you mean 'omega_m'"),
        ("H0", "did you mean 'h' (H0 / 100)"),
        ("A_s", "did you mean 'sigma_8' (in place of A_s)"),
        ("w", "did you mean 'w0'"),
        ("z", "did you mean 'redshift'"),
        ("BoxSize", "did you mean 'box' (Mpc/h)"),
        ("omega_lambda", "the universe is flat: leave it out"),
        ("ombh2", "did you mean 'omega_b' (divided by h^2)"),
        ("omega_cdm", "did you mean 'omega_m' (all matter, and divided by h^2)"),
        ("Mnu", "neutrinos are massless: leave it out"),
        ("sigma8", "did you mean 'sigma_8'"),
        ("stepper", "options of an engine follow its name, as in cola:steps=20"),
    ],
)
def test_names_of_other_codes_are_known(name, words):
    with pytest.raises(zeldo.InputError) as caught:
        zeldo.run(n=8, **{name: 0.3})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["run", "--As", "2e-9"], "Did you mean --sigma-8 (in place of A_s)? See zeldo run --help"),
        (["measure", "x.hdf5", "--H0=70"], "Did you mean --h (H0 / 100)? See zeldo measure --help"),
        (["run", "--mnu", "0.1"], "--mnu: neutrinos are massless: leave it out; see zeldo run --help"),
        (["reconstruct", "x.npy", "--extrapolate"], "--extrapolate: options of an engine follow its name"),
        (["run", "--hbox", "3"], "Did you mean --box? See zeldo run --help"),
        (["cite", "--As", "1"], "Unknown option: --As. Did you mean --json? See zeldo cite --help"),
    ],
)
def test_options_of_other_codes_are_known(capsys, given, words):
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_the_nearest_name_is_found_without_regard_to_case():
    """A factor of 1000 lies between the two names that differ from mpc/h by one letter."""
    assert nearest("mpc/h", ["kpc/h", "Mpc/h"]) == "; did you mean 'Mpc/h'?"
    assert nearest("COLA", ["cola", "pm"]) == "; did you mean 'cola'?"


def test_what_is_called_an_option_of_an_engine_is_one():
    hinted = {name for name, words in NOTHING.items() if "options of an engine" in words}
    options = {field.name for entry in BUILT_IN for field in fields(entry.load())}
    assert hinted <= {name.replace("_", "") for name in options}


def test_only_names_that_are_allowed_are_offered():
    assert nearest("H0", ["omega_m"]) == nearest("mnu", ["box"]) == nearest("A_s", ["x"]) == ""
