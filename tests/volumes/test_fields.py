"""Initial conditions and 2LPT by slabs, held against those in memory."""

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.initial.lpt import displacements
from zeldo.initial.ngenic import NGenIC
from zeldo.initial.phases import Native

pytest.importorskip("dask.array")
from zeldo.volumes.fields import VolumeFields


def close(made, expected):
    np.testing.assert_allclose(made, expected, atol=3e-6 * float(np.abs(expected).max()))


@pytest.mark.parametrize(("n", "thickness", "on_disk"), [(128, 32, False), (32, 8, True)])
def test_slabs_give_the_fields_of_the_whole(n, thickness, on_disk, tmp_path):
    universe = zeldo.Universe(n=n, box=2.0 * n, seed=4, power="eisenstein-hu")
    ics = universe.initial_conditions()
    fields = VolumeFields(universe, thickness, tmp_path if on_disk else None)
    delta = fields.delta_lin()
    assert delta.chunks[0] == (thickness,) * (n // thickness)
    close(delta.compute(), ics.delta_lin)
    for made, expected in zip(fields.displacements(), displacements(ics), strict=True):
        assert made.dtype == np.float32
        close(made.compute(), expected)


def test_native_phases_may_be_an_object():
    given = {"n": 16, "box": 32, "power": "eisenstein-hu"}
    universe = zeldo.Universe(phases=Native(5, fixed=True, flip=True), **given)
    delta = VolumeFields(universe, 4).delta_lin().compute()
    close(delta, zeldo.Universe(seed=5, fixed=True, flip=True, **given).initial_conditions().delta_lin)


def test_what_cannot_be_made_by_slabs_is_refused():
    universe = zeldo.Universe(n=16, box=32, power="eisenstein-hu")
    assert "divisor" in refusal(lambda: VolumeFields(universe, 5))
    for phases in ("ngenic", NGenIC(3)):
        line = refusal(lambda phases=phases: VolumeFields(zeldo.Universe(n=16, phases=phases), 4))
        assert line == "phases ngenic are not made by slabs: give native ones"
