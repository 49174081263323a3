import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.report.labels import labels
from zeldo.report.pictures import (
    HEIGHT,
    QUANTITIES,
    WIDTH,
    cost_figure,
    memory_figure,
    plain_x,
    spectrum_figure,
    style,
)
from zeldo.report.slices import colours, densest_slab, draw_slice, projected_density, slice_figure


def moved(snapshot, psi) -> Snapshot:
    return dataclasses.replace(snapshot, psi=np.broadcast_to(psi, snapshot.psi.shape).astype(np.float32))


def test_a_lattice_at_rest_projects_to_the_mean(snapshot):
    still = moved(snapshot(), 0.0)
    density = projected_density(still, 32, 0.0, still.box / 4)
    np.testing.assert_allclose(density, 1.0, atol=1e-5)


def test_slabs_together_hold_all_the_mass(snapshot):
    one = snapshot(amplitude=8.0)
    slabs = [projected_density(one, 24, start, one.box / 5) for start in one.box / 5 * np.arange(5)]
    assert np.mean(slabs) == pytest.approx(1.0, abs=1e-6)
    whole = projected_density(one, 24, 0.0, one.box)
    np.testing.assert_allclose(np.mean(slabs, axis=0), whole, rtol=1e-9)


def test_a_shift_of_all_particles_shifts_the_picture(snapshot):
    one, mesh = snapshot(amplitude=2.0), 20
    cell = one.box / mesh
    there = moved(one, one.psi + np.float32([3 * cell, -2 * cell, 0]).reshape(3, 1, 1, 1))
    here = projected_density(one, mesh, 10.0, 30.0)
    np.testing.assert_allclose(
        projected_density(there, mesh, 10.0, 30.0), np.roll(here, (3, -2), (0, 1)), atol=1e-3
    )


def test_a_slab_is_at_the_depth_where_it_begins(snapshot):
    one, depth = snapshot(amplitude=2.0), 7.5
    deeper = moved(one, one.psi + np.float32([0, 0, depth]).reshape(3, 1, 1, 1))
    here, there = projected_density(one, 20, 10.0, 30.0), projected_density(deeper, 20, 10.0 + depth, 30.0)
    np.testing.assert_allclose(there, here, atol=1e-3)
    assert np.abs(projected_density(deeper, 20, 10.0, 30.0) - here).max() > 0.05


@pytest.mark.parametrize("axis", [0, 1])
def test_a_plane_wave_shows_the_density_of_mass_conservation(snapshot, axis):
    """1 + delta = 1 / (1 + d psi / d q) before shells cross."""
    one = snapshot()
    q = np.arange(one.n) * one.box / one.n
    k, amplitude = 2 * np.pi / one.box, 4.0
    psi = np.zeros_like(one.psi)
    psi[axis] = -amplitude * np.expand_dims(np.sin(k * q), (1 - axis, 2))
    density = projected_density(moved(one, psi), 16, 0.0, one.box).mean(axis=1 - axis)
    centres = (np.arange(16) + 0.5) * one.box / 16
    origin = np.linspace(0, one.box, 4001)
    exact = np.interp(
        centres, origin - amplitude * np.sin(k * origin), 1 / (1 - k * amplitude * np.cos(k * origin))
    )
    np.testing.assert_allclose(density, exact, rtol=0.03)


def test_wrapped_displacements_give_the_same_picture(snapshot):
    one = snapshot()
    jump = one.box * np.random.default_rng(3).integers(-1, 2, one.psi.shape)
    here = projected_density(one, 16, 0.0, 25.0)
    np.testing.assert_allclose(projected_density(moved(one, one.psi + jump), 16, 0.0, 25.0), here, atol=0.02)


def test_the_densest_slab_is_where_the_particles_were_sent(snapshot):
    one = moved(snapshot(), 0.0)
    psi = one.psi.copy()
    psi[2, :, :, 0] = 62.0  # a full layer of the lattice, from z = 0
    assert densest_slab(moved(one, psi), 20.0) == 60.0


def test_slices_share_one_colour_scale_and_axes(snapshot):
    reference, others = snapshot(), [snapshot("a", 1.0), snapshot("b", 9.0), snapshot("c", 0.0)]
    figure = slice_figure([reference, *others], ["N-body", "a", "b", "c"], mesh=16)
    axes = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in axes] == ["N-body", "a", "b", "c"]
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
    assert {ax.get_xlim() for ax in axes} == {(0.0, reference.box)}
    alone = slice_figure([reference], ["N-body"], mesh=16)
    assert alone.axes[0].images[0].get_clim() == axes[0].images[0].get_clim()


def test_the_title_of_a_reference_alone_is_bold(snapshot):
    for reference, weights in ((True, ["bold", "normal"]), (False, ["normal", "normal"])):
        figure = slice_figure([snapshot(), snapshot("a")], ["N-body", "a"], mesh=16, reference=reference)
        assert [ax.title.get_fontweight() for ax in figure.axes if ax.images] == weights


def test_a_lattice_is_drawn_where_it_begins(snapshot):
    """The same particles, of a lattice that begins a quarter and a half of a cell from the corner."""
    one = snapshot()
    cells = np.array([0.5, 0.25, 0.5])
    shift = (cells * one.box / one.n).astype(np.float32)[:, None, None, None]
    other = dataclasses.replace(one, psi=one.psi - shift, offset=tuple(cells))
    for axis in range(3):
        here, there = (projected_density(each, 24, 10.0, 30.0, axis) for each in (one, other))
        assert np.abs(there - here).max() < 0.02 * np.abs(here - here.mean()).max()
    assert densest_slab(moved(other, other.psi), 20.0) == densest_slab(one, 20.0)


def test_pictures_have_x_to_the_right_and_y_upwards():
    density = np.ones((8, 8))
    density[6, 1] = 50.0
    image = draw_slice(Figure().subplots(), density, 40.0, colours(density))
    row, column = np.unravel_index(image.get_array().argmax(), (8, 8))
    assert (column, row, image.origin, *image.get_extent()) == (6, 1, "lower", 0, 40, 0, 40)


def test_slices_refuse_another_number_of_names(snapshot):
    with pytest.raises(InputError, match="1 snapshots, 2 names"):
        slice_figure([snapshot()], ["a", "b"])


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_each_engine_has_a_line_with_its_numbers(comparisons, quantity):
    ax = spectrum_figure(comparisons, "density", quantity).axes[0]
    lines = {line.get_label(): line for line in ax.get_lines()}
    for name, one in zip(labels(comparisons), comparisons, strict=True):
        spectrum = one.fields["density"]
        values = getattr(spectrum, quantity)[1:]
        wanted = 100 * (values - 1) if quantity == "transfer" else values
        np.testing.assert_allclose(lines[name].get_xdata(), spectrum.k[1:])
        np.testing.assert_allclose(lines[name].get_ydata(), wanted)
    styles = {(lines[name].get_color(), lines[name].get_linestyle()) for name in labels(comparisons)}
    assert len(styles) == len(comparisons)


def test_the_reference_is_drawn_once_where_there_is_power(comparisons):
    for quantity, count in (("power", 1), ("transfer", 0), ("one_minus_r2", 0)):
        ax = spectrum_figure(comparisons, "velocity", quantity).axes[0]
        assert [line.get_label() for line in ax.get_lines()].count("N-body") == count


def test_an_absent_velocity_leaves_the_others(comparisons):
    names = [
        line.get_label() for line in spectrum_figure(comparisons, "velocity", "transfer").axes[0].get_lines()
    ]
    assert "net" not in names and "zeldovich" in names


def test_fields_without_a_finite_value_do_not_stop_the_page(comparisons):
    one = comparisons[0]
    nothing = {key: np.full(8, np.nan) for key in ("power", "power_reference", "transfer", "one_minus_r2")}
    empty = dataclasses.replace(one.fields["density"], k=np.arange(8.0), **nothing)
    broken = dataclasses.replace(one, fields={"density": empty}, wall_seconds=None)
    for quantity in QUANTITIES:
        spectrum_figure([broken], "density", quantity).canvas.draw()
    assert cost_figure([broken]) is None


def test_cost_shows_whom_was_measured_and_nobody_else(comparisons):
    axes = cost_figure(comparisons).axes[0]
    points = [(line.get_label(), float(line.get_xdata()[0])) for line in axes.get_lines()]
    assert points == [("zeldovich", 0.0123), ("cola (mesh_factor 1)", 1.5)]
    bars = [patch.get_width() for patch in memory_figure(comparisons).axes[0].patches]
    assert bars == [0.25, 1.25]
    assert memory_figure(comparisons[1:2]) is None


def numbers_of(figure, ax):
    """The numbers on the x-axis as drawn, none over the next one."""
    FigureCanvasAgg(figure).draw()
    ticks = [*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()]
    drawn = [tick.label1 for tick in ticks if tick.label1.get_text() and tick.label1.get_visible()]
    boxes = sorted((label.get_window_extent().x0, label.get_window_extent().x1) for label in drawn)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(boxes)), boxes
    return [label.get_text() for label in drawn]


@pytest.mark.parametrize(
    "low, high, shown",
    [
        (0.06, 3.2, ["0.1", "0.3", "1", "3"]),
        (0.003, 9.0, ["0.003", "0.01", "0.03", "0.1", "0.3", "1", "3"]),
        (0.001, 100.0, ["0.001", "0.01", "0.1", "1", "10", "100"]),
        (0.31, 2.6, ["0.5", "1", "2"]),
        (3.5e4, 4.35e4, ["35000", "37500", "40000", "42500"]),
        (1e3, 5e4, ["1000", "3000", "10000", "30000"]),
        (2e-3, 1.8e-2, ["0.003", "0.01"]),
    ],
)
def test_an_axis_has_plain_numbers_that_do_not_touch(low, high, shown):
    with style():
        figure = Figure(figsize=(WIDTH, HEIGHT))
        ax = figure.subplots()
        ax.set(xscale="log", xlim=(low, high))
        plain_x(ax)
        assert numbers_of(figure, ax) == shown


def test_the_time_of_one_engine_can_be_read(comparisons):
    figure = cost_figure(comparisons[:1])
    assert len(numbers_of(figure, figure.axes[0])) > 1
