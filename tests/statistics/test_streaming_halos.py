"""Halos of a universe on disk, held against those of the snapshot in memory."""

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.measuring import memory
from zeldo.statistics import friends_of_friends, streaming_halos, streaming_overdensity
from zeldo.statistics.overdensity import halos
from zeldo.statistics.streaming_halos import stream_halos
from zeldo.statistics.streaming_overdensity import stream_halo_catalogue


@pytest.fixture(scope="module")
def universe(tmp_path_factory):
    path = tmp_path_factory.mktemp("halos") / "u.zarr"
    zeldo.run(engine="cola", n=32, box=32, power="eisenstein-hu", output=path)
    return path


@pytest.mark.parametrize("slabs", [1, 2, 3, 7])
@pytest.mark.parametrize("linking_length", [0.2, 0.6])
def test_the_catalogue_is_that_of_memory_to_the_last_bit(universe, slabs, linking_length):
    """Also with groups that go around the box, as the longer linking length makes them."""
    (whole,) = [zeldo.read(universe)]
    expected = friends_of_friends(whole, linking_length=linking_length, minimum=8)
    made = stream_halos(universe, linking_length=linking_length, minimum=8, slabs=slabs)
    assert len(expected.count) > 3
    for name in ("count", "mass", "centre_of_mass", "velocity"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))
    assert [path.name for path in universe.parent.iterdir()] == ["u.zarr"]


@pytest.mark.parametrize(("slabs", "link"), [(1, 0.2), (3, 0.2), (7, 0.2), (7, 0.1)])
def test_spherical_masses_are_those_of_memory_to_the_last_bit(universe, slabs, link, monkeypatch):
    """Also where a sphere reaches beyond the next slab, or beyond what was read around its own, and where not all members
    are in memory together."""
    if slabs > 1:
        monkeypatch.setattr(streaming_overdensity, "available", lambda: 1e5)
    expected = halos(zeldo.read(universe), link, minimum=8)
    made = stream_halo_catalogue(universe, linking_length=link, minimum=8, slabs=slabs)
    assert expected.spherical.r200m.max() > 0.5
    for name in ("centre", "m200c", "m200m", "mvir", "r200c", "r200m", "rvir"):
        np.testing.assert_array_equal(getattr(made.spherical, name), getattr(expected.spherical, name))
    np.testing.assert_array_equal(made.friends.count, expected.friends.count)
    assert [path.name for path in universe.parent.iterdir()] == ["u.zarr"]


def test_slabs_thinner_than_links_are_refused(universe):
    assert "slabs" in refusal(lambda: stream_halos(universe, slabs=1000))


def test_memory_for_no_slab_is_said_as_memory(universe, monkeypatch):
    for module in (memory, streaming_halos):
        monkeypatch.setattr(module, "available", lambda: 1e3)
    line = refusal(lambda: stream_halos(universe))
    assert "of memory" in line and "give more memory" in line and "not allowed" not in line
