"""Arguments that users may write in several ways."""

import numpy as np
import pytest

import zeldo
from zeldo.errors import InputError
from zeldo.keywords import axis_index, checked_keywords, number, real_array, scalar


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


class Quantity(np.ndarray):
    """As unyt's: a subclass of arrays whose unit NumPy drops."""

    units = None

    def __array_finalize__(self, origin):
        self.units = getattr(origin, "units", None)


def quantity(values, unit):
    made = np.asarray(values, float).view(Quantity)
    made.units = unit
    return made


class Unit:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


def test_a_unit_is_refused_and_not_dropped():
    lengths, side = quantity([[1.0, 2.0]], Unit("kpc")), quantity(31250.0, Unit("kpc"))
    assert scalar(side) is side
    with pytest.raises(InputError, match=r"box = .* is not allowed: give a number"):
        number(side, "box")
    with pytest.raises(InputError, match="psi has the unit kpc, which zeldo does not convert"):
        real_array(lengths, "psi")
    header = zeldo.Header(count=1, box=50, redshift=0)
    with pytest.raises(InputError, match="positions has the unit kpc"):
        zeldo.Particles(header, quantity([[1.0, 2.0, 3.0]], Unit("kpc")))


@pytest.mark.parametrize("unit", [None, Unit("dimensionless"), Unit(""), "Mpc/h"])
def test_what_has_no_unit_or_a_label_alone_is_taken(unit):
    assert number(quantity(2.0, unit), "box") == 2
    assert real_array(quantity([2.0], unit), "psi")[0] == 2


def test_a_unit_of_astropy_is_refused_in_the_background_and_the_linear_power():
    units = pytest.importorskip("astropy.units")
    cosmology = zeldo.Cosmology.preset("quijote")
    with pytest.raises(InputError, match="k has the unit 1 / Mpc"):
        zeldo.linear_power(cosmology, "eisenstein-hu")(np.array([0.1]) / units.Mpc)
    for function in (zeldo.growth(cosmology).d1, lambda a: zeldo.expansion(cosmology, a)):
        with pytest.raises(InputError, match="the scale factor has the unit %"):
            function(50 * units.percent)
        assert function(units.Quantity(0.5)) == function(0.5)
