"""Claims about the mesh kernels of the CPU."""

import numba
import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeldo.errors import InputError
from zeldo.mesh import numba_gravity, painting, transposes
from zeldo.mesh import numba_kernels as kernels
from zeldo.mesh.gravity import gravity
from zeldo.mesh.numba_kernels import combine, paint, read, read_gradient

BOX = 50.0
# mesh as fine as the lattice, finer, coarser, and no multiple of it; with few and with many planes
SIZES = [(8, 8), (8, 16), (12, 6), (6, 10), (10, 14), (4, 4), (16, 66), (6, 134)]


def displacement(n=8, seed=1, spread=8.0):
    return (spread * np.random.default_rng(seed).standard_normal((3, n, n, n))).astype(np.float32)


def mesh_field(m, seed=2):
    return np.random.default_rng(seed).standard_normal((m, m, m)).astype(np.float32)


def close(result, expected):
    """Equal to rounding: a position among m cells is good to m 6e-8 cells, and m here is up to 134."""
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=4e-5 * np.abs(expected).max())


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_kernels_are_the_plain_ones(n, m, offset):
    psi, field = displacement(n), mesh_field(m)
    close(paint(psi, m, BOX, offset=offset), plain.paint(psi, m, BOX, offset))
    close(read(field, psi, BOX, offset=offset), plain.read(field, psi, BOX, offset))
    close(read_gradient(field, psi, BOX, offset=offset), plain.read_gradient(field, psi, BOX, offset))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_mass_is_kept(n, m):
    mesh = paint(displacement(n), m, BOX)
    assert (mesh.shape, mesh.dtype) == ((m, m, m), np.float32)
    assert mesh.mean(dtype=float) == pytest.approx(1, abs=1e-5)
    assert mesh.min() > -1e-4


def test_a_lattice_at_rest_paints_a_uniform_mesh():
    rest = np.zeros((3, 8, 8, 8), np.float32)
    np.testing.assert_array_equal(paint(rest, 8, BOX), 1)
    np.testing.assert_array_equal(paint(rest, 8, BOX, offset=0.5), 1)
    # twice as fine and moved by half a cell, each particle fills two points along each axis
    np.testing.assert_array_equal(paint(rest, 16, BOX, offset=0.5), 1)


def test_one_particle_gives_the_analytic_weights():
    """All others far away: particle (1, 2, 3) at (3.25, 7.5, 2) cells of 8, across the upper edge in y."""
    n = m = 8
    h = BOX / m
    q = np.array(np.meshgrid(*3 * [np.arange(n)], indexing="ij"))
    target = np.full((3, 1, 1, 1), 5.0)
    target[1] = 3.0
    psi = ((target - q) * h).astype(np.float32)  # everybody at the mesh point (5, 3, 5)
    psi[:, 1, 2, 3] = np.array([3.25 - 1, 7.5 - 2, 2.0 - 3]) * h
    mesh = paint(psi, m, BOX)
    expected = np.zeros((m, m, m))
    expected[5, 3, 5] = n**3 - 1
    expected[3, 7, 2] = expected[3, 0, 2] = 0.375
    expected[4, 7, 2] = expected[4, 0, 2] = 0.125
    np.testing.assert_allclose(mesh, expected, atol=1e-4)


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_paint_and_read_are_transposes(n, m, offset):
    psi, field = displacement(n), mesh_field(m)
    painted = float(np.vdot(paint(psi, m, BOX, offset=offset).astype(float), field)) * (n / m) ** 3
    got = float(read(field, psi, BOX, offset=offset).sum(dtype=float))
    assert got == pytest.approx(painted, abs=3e-6 * float(np.linalg.norm(field)))


@pytest.mark.parametrize(("n", "m"), [(8, 8), (8, 16), (6, 10)])
def test_an_offset_moves_every_particle_by_a_part_of_a_cell(n, m):
    psi, field = displacement(n), mesh_field(m)
    moved = psi + np.float32(0.5 * BOX / m)
    close(paint(psi, m, BOX, offset=0.5), paint(moved, m, BOX))
    close(read(field, psi, BOX, offset=0.5), read(field, moved, BOX))
    close(read_gradient(field, psi, BOX, offset=0.5), read_gradient(field, moved, BOX))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradient_of_a_plane_wave_has_the_factor_of_fourth_order_differences(axis):
    m, k = 32, 3 * 2 * np.pi / BOX
    h = BOX / m
    phase = k * h * np.arange(m)
    phi = np.ascontiguousarray(
        np.broadcast_to(np.expand_dims(np.sin(phase), [a for a in range(3) if a != axis]), 3 * [m])
    )
    force = read_gradient(phi.astype(np.float32), np.zeros((3, 16, 16, 16), np.float32), BOX)
    factor = (8 * np.sin(k * h) - np.sin(2 * k * h)) / (6 * h)
    expected = np.zeros((3, 16, 16, 16))
    expected[axis] = -factor * np.expand_dims(np.cos(phase[::2]), [a for a in range(3) if a != axis])
    np.testing.assert_allclose(force, expected, atol=2e-6 * factor * m / 10)
    assert factor == pytest.approx(k, rel=(k * h) ** 4 / 25)  # the error of fourth order is (kh)^4 / 30


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**31),
    half=st.integers(2, 6),
    images=st.tuples(*3 * [st.integers(-3, 3)]),
    cells=st.tuples(*3 * [st.integers(-15, 15)]),
)
def test_the_box_is_periodic(seed, half, images, cells):
    m, psi = 2 * half, displacement(4, seed)
    mesh, field = paint(psi, m, BOX), mesh_field(m, seed)
    far = psi + np.float32(BOX) * np.array(images, np.float32)[:, None, None, None]
    close(paint(far, m, BOX), mesh)
    close(read(field, far, BOX), read(field, psi, BOX))
    shift = (np.array(cells)[:, None, None, None] * BOX / m).astype(np.float32)
    close(paint(psi + shift, m, BOX), np.roll(mesh, cells, (0, 1, 2)))
    close(read_gradient(np.roll(field, cells, (0, 1, 2)), psi + shift, BOX), read_gradient(field, psi, BOX))


@pytest.mark.parametrize(
    "x", [0.0, -1e-9, -1e-5, 1e-9, BOX, np.nextafter(np.float32(BOX), np.float32(0)), -BOX, 7 * BOX]
)
def test_particles_on_the_edge_of_the_box_stay_inside(x):
    """A position that rounds to the box itself would be painted behind the mesh."""
    psi = np.full((3, 4, 4, 4), x, np.float32)
    mesh = paint(psi, 8, BOX)
    assert mesh.mean(dtype=float) == pytest.approx(1, abs=1e-5)
    close(mesh, plain.paint(psi, 8, BOX))


@pytest.fixture
def threads():
    """Sets the number of threads, and puts it back."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def lattice_to(points, n, box=BOX):
    """psi that brings the particles of the lattice to points (3, n, n, n)."""
    q = np.arange(n) * box / n
    return (points - np.array(np.meshgrid(q, q, q, indexing="ij"))).astype(np.float32)


def clusters(n, seed=4):
    """Everything in three tight clumps, one across the corner of the box, and many boxes away from home."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.1, 0.2, -0.1], [20.0, 33.0, 49.9], [21.0, 33.0, 1.0]])
    points = centres[rng.integers(0, 3, n**3)].T + rng.standard_normal((3, n**3))
    return lattice_to(points.reshape(3, n, n, n), n) + np.float32(BOX) * rng.integers(
        -2, 3, (3, n, n, n)
    ).astype("f4")


def pancake(n):
    """All particles on one plane x = 12.3."""
    points = np.array(np.meshgrid(*3 * [np.arange(n) * BOX / n], indexing="ij"))
    points[0] = 12.3
    return lattice_to(points, n)


def streaming(n):
    """One half of the lattice at rest, the other moved by half the box: each particle far outside its pencil or in it."""
    psi = displacement(n, spread=0.1)
    psi[:, n // 2 :] += np.float32(BOX / 2)
    return psi


@pytest.mark.parametrize("make", [clusters, pancake, streaming])
@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 6), (6, 30), (16, 16), (16, 34), (32, 8)])
def test_paint_is_the_sum_over_particles_wherever_they_are(make, n, m):
    psi = make(n)
    mesh, expected = paint(psi, m, BOX, offset=0.5), plain.paint(psi, m, BOX, 0.5)
    np.testing.assert_allclose(mesh, expected, rtol=0, atol=1e-4 * expected.max())
    assert mesh.mean(dtype=float) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("pencils", [2, 4, 6, 8, 16])
@pytest.mark.parametrize(("n", "m"), [(6, 4), (10, 14), (16, 16), (16, 50)])
def test_paint_is_the_same_for_any_pencils(monkeypatch, pencils, n, m):
    """Their number is a matter of speed, whether it divides lattice and mesh or not."""
    monkeypatch.setattr(painting, "pencils_for", lambda psi, box: pencils)
    for spread in (0.3, 3.0, 30.0):
        psi = displacement(n, spread=spread)
        close(paint(psi, m, BOX, offset=0.5), plain.paint(psi, m, BOX, 0.5))


def test_fewer_pencils_where_particles_go_far():
    calm, wild = displacement(32, spread=0.5), displacement(32, spread=5.0)
    assert painting.pencils_for(calm, BOX) > painting.pencils_for(wild, BOX) >= 4


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two cores")
@pytest.mark.parametrize("m", [16, 32, 66])
def test_results_do_not_depend_on_the_number_of_threads(m, threads):
    """The same bits, time after time: nothing races, no order of sums changes."""
    n = 32
    # calm particles in the columns of their pencils, wild ones among them that are painted last
    psi, field = displacement(n, spread=1.0), mesh_field(m)
    psi[:, ::5] = displacement(n, spread=30.0)[:, ::5]
    modes, k = np.fft.rfftn(field).astype(np.complex64), np.fft.fftfreq(m).astype(np.float32)
    results = []
    for count in (1, *6 * [2]):
        threads(count)
        green, slope = modes.copy(), np.empty_like(modes)
        kernels.apply_green(green, k, np.ones(m, np.float32))
        kernels.derive(modes, k, 1, slope)
        total = np.empty_like(psi)
        combine(total, (0.3, psi), (0.7, psi), (-1.1, psi))
        results.append(
            [paint(psi, m, BOX), read(field, psi, BOX), read_gradient(field, psi, BOX), green, slope, total]
        )
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_kernels_fill_the_arrays_given_whatever_was_in_them():
    psi, field = displacement(), mesh_field(8)
    mesh, values = np.full((8, 8, 8), np.nan, np.float32), np.full((8, 8, 8), np.nan, np.float32)
    force, work = np.full_like(psi, np.nan), np.full((8, 8, 9, 4), np.nan, np.float32)
    assert paint(psi, 8, BOX, mesh) is mesh
    assert read(field, psi, BOX, values) is values
    assert read_gradient(field, psi, BOX, force, work) is force
    np.testing.assert_array_equal(mesh, paint(psi, 8, BOX))
    np.testing.assert_array_equal(values, read(field, psi, BOX))
    np.testing.assert_array_equal(force, read_gradient(field, psi, BOX))


def test_inputs_are_left_alone():
    psi, field = displacement(), mesh_field(8)
    before = psi.copy(), field.copy()
    paint(psi, 8, BOX), read(field, psi, BOX), read_gradient(field, psi, BOX)
    np.testing.assert_array_equal(psi, before[0])
    np.testing.assert_array_equal(field, before[1])


def test_greens_function_is_minus_the_inverse_square_times_the_windows():
    m = 6
    modes = np.fft.rfftn(mesh_field(m)).astype(np.complex64)
    k, window = np.fft.fftfreq(m, 1 / m).astype(np.float32), np.linspace(0.5, 1.5, m, dtype=np.float32)
    expected = modes.astype(complex)
    for i, j, l in np.ndindex(expected.shape):
        square = float(k[i] ** 2 + k[j] ** 2 + k[l] ** 2)
        expected[i, j, l] *= -window[i] * window[j] * window[l] / square if square else 0
    kernels.apply_green(modes, k, window)
    np.testing.assert_allclose(modes, expected, rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_derive_is_minus_ik(axis):
    m = 6
    modes, k = np.fft.rfftn(mesh_field(m)).astype(np.complex64), np.fft.fftfreq(m, 1 / m).astype(np.float32)
    out = np.empty_like(modes)
    kernels.derive(modes, k, axis, out)
    along = [k, k, k[: m // 2 + 1]][axis].reshape([-1 if a == axis else 1 for a in range(3)])
    np.testing.assert_allclose(out, -1j * along * modes, rtol=1e-5)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)])
def test_derive_twice_is_minus_k_k(first, second):
    m = 6
    modes, k = np.fft.rfftn(mesh_field(m)).astype(np.complex64), np.fft.fftfreq(m, 1 / m).astype(np.float32)
    out = np.empty_like(modes)
    kernels.derive_twice(modes, k, first, second, out)
    along = np.ix_(k, k, k[: m // 2 + 1])
    np.testing.assert_allclose(out, -along[first] * along[second] * modes, rtol=1e-5)


@pytest.mark.parametrize("m", [0, 2, 5, 4098])
def test_meshes_that_are_not_possible_are_refused(m):
    with pytest.raises(InputError, match=f"a mesh of {m} points .* even number from 4 to 4096") as caught:
        paint(displacement(4), m, BOX)
    assert "\n" not in str(caught.value)


def test_a_mesh_of_more_than_2_32_points_is_painted_and_read_where_particles_are():
    n, cells = 20, 83
    m = n * cells
    try:
        out = np.zeros((m, m, m + 2), np.float32)  # of which only the pages around particles are touched
    except MemoryError:
        pytest.skip("no room for 18 GB of address space")
    still = np.zeros((3, 1, n, n), np.float32)
    painting.add_planes(out, still, n - 1, float(m), 0.0)
    points = cells * np.arange(n)
    np.testing.assert_array_equal(out[(n - 1) * cells][np.ix_(points, points)], np.float32(cells**3))
    values = np.random.default_rng(2).normal(size=(n, n)).astype(np.float32)
    out[np.ix_([(n - 1) * cells], points, points)] = values
    np.testing.assert_array_equal(kernels.read(out, still, float(m), first=n - 1)[0], values)


def test_indices_of_64_bits_give_the_same_bits(monkeypatch):
    """Kernels of small meshes count in 32 bits. Here they count as those of the largest meshes do."""
    psi, weights, field = displacement(8), displacement(8, 3), mesh_field(12)

    def computed():
        force = gravity(BOX, 12)
        return (
            paint(psi, 12, BOX, offset=0.3),
            kernels.read(field, psi, BOX),
            force(psi),
            *force.pull_back(psi, 0.0, weights),
        )

    short = computed()
    for module in (painting, kernels, transposes, numba_gravity):
        monkeypatch.setattr(module, "index_like", lambda points: np.empty(0, np.int64))
    for one, other in zip(short, computed(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("far", [3e9, 1e12, 1e30])
def test_a_displacement_of_which_no_digits_are_left_stays_on_the_mesh(far):
    """As a network that diverges makes them: it wrote outside of the mesh, and ended Python."""
    psi = np.zeros((3, 8, 8, 8), np.float32)
    psi[:, 1, 2, 3], psi[:, 3, 2, 1] = far, -far
    for m in (12, 24):
        density = paint(psi, m, 70.3)
        assert abs(density.mean(dtype=float) - 1) < 1e-5 and density.min() > -1e-3
        assert np.isfinite(read(density, psi, 70.3)).all()
