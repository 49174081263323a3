"""Statistics of universes on disk at any redshift, held to those in memory."""

import numpy as np
import pytest

import zeldo
from zeldo.files.universe_zarr import UniverseZarr
from zeldo.statistics import compare_snapshots
from zeldo.statistics.modes import density_modes
from zeldo.statistics.on_disk import OnDisk
from zeldo.statistics.overdensity import halos
from zeldo.statistics.redshift_space import redshift_space_points
from zeldo.statistics.streaming_overdensity import stream_halo_catalogue


def test_spherical_masses_from_disk_are_those_of_their_time(tmp_path):
    path = tmp_path / "u.zarr"
    zeldo.run(engine="zeldovich", n=16, box=8.0, power="eisenstein-hu", redshift=1, output=path)
    expected = halos(zeldo.read(path), 0.3, 8)
    made = stream_halo_catalogue(path, linking_length=0.3, minimum=8)
    assert made.friends.redshift == 1.0 and expected.spherical.m200c.any()
    for name in ("m200c", "m200m", "mvir", "r200c", "rvir"):
        np.testing.assert_array_equal(getattr(made.spherical, name), getattr(expected.spherical, name))


def test_displacements_on_disk_are_compared_by_their_nearest_images(tmp_path):
    """In so small a box linear displacements go around it."""
    paths, there = (tmp_path / "a.zarr", tmp_path / "b.zarr"), []
    for path, n_s in zip(paths, (0.96, 0.9), strict=True):
        there += zeldo.run(engine="zeldovich", n=16, box=4.0, n_s=n_s, power="eisenstein-hu", output=path)
    whole = [UniverseZarr(path).snapshot(0.0) for path in paths]
    assert np.abs(whole[0].psi).max() > 2.0
    on_disk, in_memory = (compare_snapshots(*pair).fields["displacement"] for pair in (there, whole))
    np.testing.assert_allclose(on_disk.one_minus_r2, in_memory.one_minus_r2, rtol=1e-3)


@pytest.mark.parametrize("axis", [0, 2])
def test_redshift_space_from_disk_is_that_of_its_time(axis, tmp_path):
    path = tmp_path / "u.zarr"
    zeldo.run(engine="zeldovich", n=16, box=32.0, power="eisenstein-hu", redshift=1, output=path)
    points = redshift_space_points(UniverseZarr(path).snapshot(1.0), axis)
    expected, made = density_modes(points, 32, 32.0), OnDisk.open(path).modes(32, axis)
    assert (made - expected).abs().max() < 1e-4 * expected.abs().max()
