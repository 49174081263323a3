from dataclasses import replace

import numpy as np
import pytest

import zeldo
from zeldo.cosmology.parameters import PRESETS
from zeldo.particles.particles import Header
from zeldo.report.density_picture import Slab, density_figure, density_map, slab_of
from zeldo.report.slices import colours


def test_long_names_of_files_are_wrapped_and_redshift_is_not_the_axis():
    name = "a_name_of_a_snapshot_that_is_far_too_long_for_a_picture_beside_another_one.hdf5, z = 1"
    slab = Slab(axis=2, start=60.0, thickness=15.0)
    figure = density_figure([np.ones((8, 8))] * 2, [slab] * 2, [100.0] * 2, [name, "b, z = 0"])
    first, second = (ax.get_title().splitlines() for ax in figure.axes[:2])
    assert max(map(len, first)) < 50 and "".join(first[:-1]).replace(" ", "") == name.replace(" ", "")
    assert second == ["b, z = 0", "60 to 75 Mpc/h along z"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_of_bare_particles_holds_those_inside_it(axis):
    """Three quarters stand in a sheet at 72 Mpc/h, the others at 12 Mpc/h."""
    x = np.random.default_rng(1).uniform(0, 100, (4000, 3))
    x[:, axis] = np.where(np.arange(4000) < 3000, 72.0, 12.0)
    header = Header(count=4000, box=100.0, redshift=0.0, cosmology=PRESETS["quijote"])
    particles = zeldo.Particles(header, x)
    assert slab_of(particles, axis, None, 10.0) == Slab(axis, 70.0, 10.0)
    for start, share in ((70.0, 0.75), (10.0, 0.25), (40.0, 0.0)):
        seen = density_map(particles, Slab(axis, start, 10.0), 32)
        assert seen.mean() == pytest.approx(share * 10, abs=1e-6)


def test_voids_are_drawn_down_to_the_end_of_the_colours():
    """A void of 1 + delta = 0.03 was drawn as 0.1, in a colour in the middle of the bar's lower half."""
    density = np.full((40, 40), 1.5)
    density[:10] = 0.03
    image = density_figure([density], [Slab(2, 0.0, 15.0)], [100.0], ["a"]).axes[0].images[0]
    assert image.get_clim()[0] == pytest.approx(np.log10(0.03))
    assert image.get_array().min() == pytest.approx(np.log10(0.03))


@pytest.mark.parametrize("contrast", [0.2, 0.5])
def test_an_even_map_fills_its_colours(contrast):
    """Early outputs had a tenth of the colours, and pictures of them showed nothing."""
    density = 1 + contrast * np.sin(np.linspace(0, 2 * np.pi, 400)).reshape(20, 20)
    picture = density_figure([density], [Slab(2, 0.0, 15.0)], [100.0], ["a"]).axes[0].images[0].norm
    for norm in (picture, colours(density)):
        assert 10**norm.vmin == pytest.approx(1 - contrast, abs=0.01)
        assert 10**norm.vmax == pytest.approx(1 + contrast, abs=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_densest_slab_of_a_lattice_is_along_the_line_of_sight(axis, snapshot):
    psi = np.zeros((3, 16, 16, 16), np.float32)
    psi[axis][(*axis * (slice(None),), 0)] = 62.0  # a full layer of the lattice, from 0
    assert slab_of(replace(snapshot(), psi=psi), axis, None, 20.0) == Slab(axis, 60.0, 20.0)
