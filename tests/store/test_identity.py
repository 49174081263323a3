"""What was begun by other arguments is refused by the name of what differs."""

from pathlib import Path

import pytest

from refusals import refusal
from zeldo.store.identity import check_same

SOFTWARE = {"version": "0.2.0", "revision": 1, "weights": None}
COSMOLOGY = {"omega_m": 0.3175, "omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834}
TABLE = "linear_power_of_the_fiducial_cosmology_today.txt of sha256"


@pytest.mark.parametrize(
    ("name", "there", "here", "said"),
    [
        (
            "cosmologies",
            [COSMOLOGY, COSMOLOGY],
            [COSMOLOGY, COSMOLOGY | {"sigma_8": 0.8}],
            "cosmologies whose entry 2 has sigma_8 = 0.834, not 0.8:",
        ),
        ("power", f"{TABLE} 0123", f"{TABLE} 4567", 'sha256 0123", not "linear_power'),
    ],
)
def test_long_values_that_begin_alike_are_told_apart(name, there, here, said):
    line = refusal(lambda: check_same(Path("s"), SOFTWARE | {name: there}, SOFTWARE | {name: here}))
    assert said in line


def test_an_argument_of_before_that_is_no_more_is_a_difference():
    settings = {"steps": 10, "sharpen": 2}
    there = SOFTWARE | {"seed": 1, "settings": settings}
    line = refusal(lambda: check_same(Path("s"), there, SOFTWARE | {"seed": 1, "settings": {"steps": 10}}))
    assert "begun with sharpen = 2, not none" in line
    line = refusal(lambda: check_same(Path("s"), there, SOFTWARE | {"settings": settings}))
    assert "begun with seed = 1, not none" in line
