"""Arguments that users may write in several ways."""

import numpy as np
import pytest

from zeldo.errors import InputError
from zeldo.keywords import axis_index


@pytest.mark.parametrize(("index", "letter"), enumerate("xyz"))
def test_an_axis_has_a_letter_and_a_number(index, letter):
    for value in (letter, index, str(index), np.int64(index), np.array(index)):
        got = axis_index(value)
        assert got == index and type(got) is int


@pytest.mark.parametrize("value", [3, -1, "w", "X", "xy", "", "3", None, True, False, 0.5, [0, 1]])
def test_what_is_no_axis_is_refused(value):
    with pytest.raises(InputError, match=r"axis = .* is not allowed: give x, y or z, or 0, 1 or 2"):
        axis_index(value)
    with pytest.raises(InputError, match="redshift_space = "):
        axis_index(value, "redshift_space")
