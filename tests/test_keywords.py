"""Arguments that users may write in several ways."""

import numpy as np
import pytest

from zeldo.errors import InputError
from zeldo.keywords import axis_index, checked_keywords


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


@checked_keywords()
def drawn(source, name="a", *, size, progress=None):
    return source, name, size


def test_what_goes_by_position_goes_by_name_too():
    assert drawn(1, size=2) == drawn(source=1, size=2) == (1, "a", 2)
    assert drawn(1, name="b", size=2) == drawn(1, "b", size=2)


@pytest.mark.parametrize(
    ("args", "kwargs", "line"),
    [
        ((), {"size": 2}, "drawn needs the argument 'source': give source=..."),
        ((1,), {}, "drawn needs the argument 'size': give size=..."),
        ((1, "b", 2), {}, "drawn takes all arguments but the first 2 by name: give them as in size=..."),
        ((1,), {"sizes": 2}, "drawn has no argument 'sizes'; did you mean 'size'?"),
        ((1,), {"size": 2, "progress": 3}, "progress = 3 is not allowed"),
    ],
)
def test_a_call_is_refused_in_one_line(args, kwargs, line):
    with pytest.raises(InputError) as refused:
        drawn(*args, **kwargs)
    assert str(refused.value).startswith(line)
