"""One tolerance says when two redshifts are the same output of a run."""

import itertools

import pytest

from refusals import refusal
from zeldo.cosmology.redshifts import TOLERANCE, distinct_redshifts, nearest_redshift, same_redshift


@pytest.mark.parametrize("redshift", [0.0, 0.5, 3.0, 127.0])
def test_the_tolerance_is_one_of_the_expansion_factor(redshift):
    for sign in (-1, 1):
        near, far = (redshift + sign * share * TOLERANCE * (1 + redshift) for share in (0.99, 1.02))
        assert same_redshift(redshift, near) and same_redshift(near, redshift)
        assert not same_redshift(redshift, far) and not same_redshift(far, redshift)


def test_the_nearest_is_taken_where_it_is_the_same():
    assert nearest_redshift([2.0, 1.00005, 0.99998, 0.0], 1.0) == 0.99998
    assert nearest_redshift([2.0, 1.01, 0.0], 1.0) is None
    assert nearest_redshift([], 1.0) is None


def test_redshifts_fall_and_each_comes_once():
    for order in itertools.permutations([0.0, 3, 1.0, 1, -0.0]):
        falling = distinct_redshifts(order)
        assert falling == [3.0, 1.0, 0.0]
        assert str(falling[-1]) == "0.0"
    assert "1.00005 and 1.0 are the same redshift" in refusal(lambda: distinct_redshifts([1.0, 1.00005]))
