"""Particles of any number: shapes, slices, and what is not there."""

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.particles.particles import Header, Particles, Source, into_box, wrapped_positions


@pytest.fixture
def particles():
    rng = np.random.default_rng(1)
    header = Header(count=11, box=10.0, redshift=0.5, particle_mass=2.0)
    return Particles(header, rng.uniform(0, 10, (11, 3)), ids=np.arange(11))


def test_slices_are_rows(particles):
    np.testing.assert_array_equal(particles.read("positions", 3, 7), particles.positions[3:7])
    assert particles.read("ids", 4, 4).shape == (0,)
    assert len(particles) == 11 and set(particles.fields) == {"positions", "ids"}


def test_slices_cover_the_rows_and_are_planes_of_a_lattice(particles):
    assert list(particles.slices()) == [(0, 11)]
    plane = Particles.backed(Counted(64**3))
    assert list(plane.slices()) == [(i * 64**2, (i + 1) * 64**2) for i in range(64)]


class Counted(Source):
    """The index of every row, and nothing in memory."""

    def __init__(self, count):
        header = Header(count=count, box=1.0, redshift=0.0)
        super().__init__("the index", header, {"ids": np.dtype(np.int64)})

    def rows(self, field, start, stop):
        return np.arange(start, stop)


def test_particles_may_stay_where_they_are():
    particles = Particles.backed(Counted(10**12))
    np.testing.assert_array_equal(particles.read("ids", 10**11, 10**11 + 3), 10**11 + np.arange(3))


def test_what_is_not_there_is_refused(particles):
    assert "has no velocities: it has positions, ids" in refusal(lambda: particles.velocities)
    assert "did you mean 'positions'" in refusal(lambda: particles.read("position"))
    assert "rows 5 to 12 of particles are not there: it has 11" in refusal(
        lambda: particles.read("ids", 5, 12)
    )
    assert "rows 5 to 4" in refusal(lambda: particles.read("ids", 5, 4))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("velocities", np.zeros((11, 2))),
        ("velocities", np.zeros((10, 3))),
        ("masses", np.zeros((11, 1))),
        ("ids", np.zeros(11)),
        ("masses", np.zeros(11, int)),
    ],
)
def test_an_array_of_another_kind_is_refused(particles, field, values):
    line = refusal(lambda: Particles(particles.header, particles.positions, **{field: values}))
    assert field in line and "11 particles need" in line


def test_particles_in_memory_are_called_by_their_file():
    class Points(Source):
        def rows(self, field, start, stop):
            return np.zeros((stop - start, 3))

    source = Points("a/file", Header(2, 10.0, 0.5), {"positions": np.dtype(np.float64)})
    assert Particles.backed(source).in_memory().name == "a/file"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"box": -31.0}, "box = -31.0 is not allowed: give a number above 0"),
        ({"box": np.nan}, "box = nan"),
        ({"redshift": -1.0}, "redshift = -1.0 is not allowed: give a number above -1"),
        ({"count": 1.5}, "count = 1.5"),
        ({"cosmology": "quijote"}, "cosmology"),
    ],
)
def test_a_header_that_no_particles_have_is_refused(wrong, words):
    assert words in refusal(lambda: zeldo.Header(**({"count": 8, "box": 31.0, "redshift": 0.0} | wrong)))


def test_the_end_of_the_box_is_its_beginning():
    """Also where rounding reaches it, in either precision."""
    rows = [[-1e-20, 10.0, 10.5], [0.0, -0.5, np.nextafter(10.0, 0)]]
    expected = [[0.0, 0.0, 0.5], [0.0, 9.5, np.nextafter(10.0, 0)]]
    assert into_box(np.array(rows), 10.0).tolist() == expected
    assert wrapped_positions(np.array(rows), 10.0)[0].tolist() == expected
    single, outside = wrapped_positions(np.array(rows, np.float32)[:, :2], 10.0)
    assert outside == 3 and single.tolist() == [row[:2] for row in expected]
    assert wrapped_positions(np.float32([[-1e-9, 0, 0]]), 10.0)[0].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".bigfile", ".zarr"])
def test_scalars_of_numpy_are_written_like_pythons(tmp_path, suffix):
    cosmology = zeldo.Cosmology.preset("quijote")
    header = zeldo.Header(
        count=np.int64(8),
        box=np.float32(31),
        redshift=np.float64(0),
        cosmology=cosmology,
        seed=np.int64(3),
        fixed=np.bool_(True),
    )
    points = np.random.default_rng(1).uniform(0, 31, (8, 3))
    particles = zeldo.Particles(header, points, np.zeros((8, 3)), np.arange(1, 9))
    with zeldo.open_particles(zeldo.write(particles, tmp_path / f"a{suffix}")) as read:
        assert (read.header.seed, read.header.fixed, read.header.box) == (3, True, 31.0)
