"""Halos of a universe on disk, held against those of the snapshot in memory."""

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.files import atomic
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


def test_a_universe_that_is_only_read_has_its_files_elsewhere(universe, monkeypatch):
    expected = stream_halos(universe, slabs=2)
    made_in = []
    writable = atomic._is_writable
    monkeypatch.setattr(atomic, "_is_writable", lambda place: place != universe.parent and writable(place))
    sort = streaming_halos._sort
    monkeypatch.setattr(streaming_halos, "_sort", lambda *given: (made_in.append(given[1][0]), sort(*given)))
    np.testing.assert_array_equal(stream_halos(universe, slabs=2).mass, expected.mass)
    assert universe.parent not in made_in[0].parents and not made_in[0].parent.exists()


def test_too_little_space_is_told_before_the_work(universe, monkeypatch):
    monkeypatch.setattr(atomic, "free_space", lambda place: 1e6)
    monkeypatch.setattr(streaming_halos, "_sort", lambda *given: pytest.fail("it sorts"))
    with pytest.raises(zeldo.ZeldoError, match=r"temporary files of 1\.18 MB, and .* has 1 MB free"):
        stream_halos(universe)


def test_a_disk_that_fills_up_is_told_and_left_clean(universe, monkeypatch):
    def full(*given):
        raise OSError("260989 requested and 253942 written")  # NumPy's

    monkeypatch.setattr(streaming_halos, "_sort", full)
    with pytest.raises(zeldo.ZeldoError, match=r"no space left in .* for the temporary files of"):
        stream_halos(universe)
    assert [path.name for path in universe.parent.iterdir()] == ["u.zarr"]
