"""What is said of a name that is not known."""

import pytest

import zeldo
from zeldo.errors import nearest


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
        ("Mnu", "neutrinos are massless: leave it out"),
        ("sigma8", "did you mean 'sigma_8'"),
    ],
)
def test_names_of_other_codes_are_known(name, words):
    with pytest.raises(zeldo.InputError) as caught:
        zeldo.run(n=8, **{name: 0.3})
    assert words in str(caught.value)


def test_only_names_that_are_allowed_are_offered():
    assert nearest("H0", ["omega_m"]) == nearest("mnu", ["box"]) == nearest("A_s", ["x"]) == ""
