"""The force of P3M: split, softening, pairs and mesh against sums in double precision."""

import os
import time
from functools import cache
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import erfc

from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.force_split import ForceSplit
from zeldo.engines.p3m.mesh_force import MeshForce
from zeldo.engines.p3m.mesh_kernels import deal, paint_cells, read_cells
from zeldo.engines.p3m.pair_force import CROWD, SHARE, SMALL, PairForce, pieces, share
from zeldo.errors import InputError

N, BOX = 8, 100.0
SPACING = BOX / N
SOFTENING = SPACING / 40


def lattice() -> np.ndarray:
    return np.stack(np.meshgrid(*3 * [np.arange(N) * SPACING], indexing="ij"))


def scattered(kind: str) -> np.ndarray:
    """Displacements (3, N, N, N) that make a random, a clustered or a nearly regular distribution."""
    rng = np.random.default_rng(5)
    if kind == "random":
        return (rng.uniform(-2 * BOX, 2 * BOX, (3, N, N, N)) - lattice()).astype(np.float32)
    if kind == "clustered":
        centres = rng.uniform(0, BOX, (3, 6))
        x = centres[:, rng.integers(0, 6, N**3)] + rng.normal(0, 0.3 * SPACING, (3, N**3))
        return (x.reshape(3, N, N, N) - lattice()).astype(np.float32)
    return rng.normal(0, 0.3 * SPACING, (3, N, N, N)).astype(np.float32)


def separations(psi: np.ndarray) -> np.ndarray:
    """d[i, j] = x_j - x_i, minimal image, float64."""
    x = (lattice() + psi.astype(np.float64)).reshape(3, -1).T
    d = x[None] - x[:, None]
    return d - BOX * np.round(d / BOX)


@cache
def ewald(kind: str) -> np.ndarray:
    """Newton's force in the periodic box by Ewald's sums, float64 (N^3, 3): F = -grad lap^-1 delta."""
    psi = scattered(kind)
    d = separations(psi)
    alpha = 5.6 / BOX
    force = np.zeros((N**3, 3))
    for image in np.ndindex(3, 3, 3):
        e = d + (np.array(image) - 1) * BOX
        r = np.sqrt((e**2).sum(-1))
        r[r == 0] = 1e9
        f = (erfc(alpha * r) + 2 * alpha * r / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2))) / r**3
        force += (f[..., None] * e).sum(1)
    whole = np.stack(np.meshgrid(*3 * [np.arange(-8, 9)], indexing="ij"), -1).reshape(-1, 3)
    square = (whole**2).sum(1)
    k = whole[(square > 0) & (square <= 64)] * 2 * np.pi / BOX
    k2 = (k**2).sum(1)
    weight = 4 * np.pi / BOX**3 * np.exp(-k2 / (4 * alpha**2)) / k2
    wave = np.exp(1j * (lattice() + psi.astype(np.float64)).reshape(3, -1).T @ k.T)
    force += ((wave * wave.conj().sum(0) * weight) @ (1j * k)).real
    return force * SPACING**3 / (4 * np.pi)


def total_force(psi: np.ndarray, split: ForceSplit, mesh_factor: int) -> np.ndarray:
    cells = CellList(N, BOX, split.radius)
    cells.sort(psi)
    near, far = np.empty_like(psi), np.empty_like(psi)
    PairForce(split, cells)(near)
    MeshForce(split, mesh_factor * N, cells)(far)
    return (near + far).reshape(3, -1).T


def by_hand(psi: np.ndarray, factor) -> np.ndarray:
    """The sum over minimal images of r times factor(r), float64."""
    d = separations(psi)
    r = np.sqrt((d**2).sum(-1))
    np.fill_diagonal(r, 1e9)
    return (factor(r)[..., None] * d).sum(1) * SPACING**3 / (4 * np.pi)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.asarray(x, np.float64) ** 2)))


@pytest.mark.parametrize("kind", ["random", "clustered", "regular"])
@pytest.mark.parametrize(("mesh_factor", "reach", "shape"), [(3, 1.915, 3), (2, 2.393, 3)])
def test_force_is_newtons_in_a_periodic_box(kind: str, mesh_factor: int, reach: float, shape: int) -> None:
    psi = scattered(kind)
    split = ForceSplit(reach * SPACING, shape, SOFTENING)
    hard = ForceSplit(reach * SPACING, shape, 1e-6 * SOFTENING)
    # the reference is softened where close pairs are
    truth = ewald(kind) + by_hand(psi, lambda r: split.pair_factor(r) - hard.pair_factor(r))
    error = rms(total_force(psi, split, mesh_factor) - truth) / rms(truth)
    assert error < 5e-4


@pytest.mark.parametrize("kind", ["random", "clustered", "regular"])
def test_mesh_carries_what_pairs_leave(kind: str) -> None:
    psi = scattered(kind)
    split = ForceSplit(1.915 * SPACING, 3, 1e-6 * SOFTENING)
    cells = CellList(N, BOX, split.radius)
    cells.sort(psi)
    far = MeshForce(split, 3 * N, cells)(np.empty_like(psi)).reshape(3, -1).T
    truth = ewald(kind) - by_hand(psi, split.pair_factor)
    assert rms(far - truth) / rms(truth) < 4e-3


@pytest.mark.parametrize("kind", ["random", "clustered"])
@pytest.mark.parametrize("shape", [1, 2, 3, 4])
def test_kernel_sums_every_pair_within_reach_once(kind: str, shape: int) -> None:
    psi = scattered(kind)
    split = ForceSplit(BOX / 3.2, shape, SOFTENING)  # crowded cells: several parts each
    cells = CellList(N, BOX, split.radius)
    cells.sort(psi)
    force = PairForce(split, cells)(np.empty_like(psi)).reshape(3, -1).T
    truth = by_hand(psi, split.pair_factor)
    assert rms(force - truth) / rms(truth) < 2e-5


def test_a_thousand_particles_in_one_cell_are_not_lost() -> None:
    rng = np.random.default_rng(1)
    psi = (rng.normal(50, 3, (3, N, N, N)) - lattice()).astype(np.float32)
    split = ForceSplit(BOX / 4, 3, SOFTENING)
    cells = CellList(N, BOX, split.radius)
    cells.sort(psi)
    assert np.diff(cells.start).max() > 60
    force = PairForce(split, cells)(np.empty_like(psi)).reshape(3, -1).T
    truth = by_hand(psi, split.pair_factor)
    assert rms(force - truth) / rms(truth) < 2e-5


def test_bits_do_not_depend_on_threads() -> None:
    psi = scattered("clustered")
    split = ForceSplit(1.915 * SPACING, 3, SOFTENING)
    before = numba.get_num_threads()
    one = total_force(psi, split, 3)
    try:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        many = total_force(psi, split, 3)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(many, one)


def test_an_error_in_a_piece_is_told_and_ends_the_work() -> None:
    begun = []

    def work(first: int, last: int) -> None:
        begun.append(first)
        if first == 3:
            raise ZeroDivisionError
        time.sleep(0.001)

    pieces = [(i, i + 1) for i in range(1000)]
    with pytest.raises(ZeroDivisionError):
        share(work, pieces)
    stopped = len(begun)
    assert stopped < 1000
    time.sleep(0.01)
    assert len(begun) == stopped
    begun.clear()
    share(work, pieces[4:])
    assert sorted(begun) == list(range(4, 1000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_shares_work_too() -> None:
    share(lambda first, last: None, [(0, 1)])  # the parent's threads are there before the fork
    child = os.fork()
    if child == 0:
        try:
            done: list[int] = []
            share(lambda first, last: done.append(first), [(i, i + 1) for i in range(8)])
            os._exit(0 if sorted(done) == list(range(8)) else 1)
        finally:
            os._exit(2)
    for _ in range(500):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


@given(arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 1e9)), st.integers(1, 64))
def test_pieces_are_all_of_the_work_and_shrink_towards_its_end(work: np.ndarray, threads: int) -> None:
    before = np.concatenate([[0], np.cumsum(work)])
    found = list(pieces(before, threads))
    assert [first for first, _ in found] + [work.size] == [0, *(last for _, last in found)]
    for first, last in found:
        left = before[-1] - before[first]
        assert before[last - 1] - before[first] <= max(left / (SHARE * threads), SMALL) * (1 + 1e-9)


@given(arrays(np.int64, 25, elements=st.integers(0, 1000)), st.integers(1, 40))
def test_columns_are_dealt_out_by_their_particles(particles: np.ndarray, stretches: int) -> None:
    start = np.concatenate(
        [[0], np.cumsum(np.repeat(particles, 5))]
    )  # five cells a column, as full as each other
    bounds = np.full(stretches + 1, -1)
    deal(start, 5, np.arange(25), bounds)
    assert bounds[0] == 0 and bounds[-1] == 25 and np.all(np.diff(bounds) >= 0)
    dealt = [5 * particles[a:b].sum() for a, b in pairwise(bounds)]
    assert max(dealt) <= start[-1] / stretches + 5 * particles.max()


def test_forces_add_up_to_nothing() -> None:
    # the pairs' to rounding; the mesh's, before its mean is taken away, up to the aliases of the window
    psi = scattered("clustered")
    split = ForceSplit(1.915 * SPACING, 3, SOFTENING)
    cells = CellList(N, BOX, split.radius)
    cells.sort(psi)
    near = PairForce(split, cells)(np.empty_like(psi)).reshape(3, -1).astype(np.float64)
    assert np.abs(near.sum(1)).max() < 2e-5 * np.abs(near).sum()
    mesh, far = MeshForce(split, 3 * N, cells), np.empty_like(psi)
    read_cells(mesh.potential(), cells, far)
    assert 0 < np.abs(far.reshape(3, -1).mean(1)).max() < 1e-3 * rms(far.reshape(3, -1).T)
    assert np.abs(mesh(far).reshape(3, -1).mean(1)).max() < 1e-7 * rms(far.reshape(3, -1).T)


@pytest.mark.parametrize(("count", "m"), [(3, 12), (4, 24), (5, 20), (7, 28), (8, 46)])
def test_painting_in_columns_loses_nothing(count: int, m: int) -> None:
    # what two threads add to one point at once gets lost
    cells = CellList(N, BOX, BOX / count)
    cells.sort(scattered("clustered"))
    fields = [np.empty((m, m, m), np.float32) for _ in range(2)]
    before = numba.get_num_threads()
    paint_cells(cells, fields[0])
    assert fields[0].sum(dtype=np.float64) == pytest.approx(m**3, rel=1e-5)
    try:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        for _ in range(10):
            paint_cells(cells, fields[1])
            assert np.array_equal(*fields)
    finally:
        numba.set_num_threads(before)


def test_cells_too_narrow_to_paint_in_columns_are_refused() -> None:
    cells = CellList(N, BOX, BOX / 6)
    cells.sort(scattered("random"))
    with pytest.raises(ValueError, match="columns"):
        paint_cells(cells, np.empty((22, 22, 22), np.float32))


def test_cells_keep_particles_and_places() -> None:
    psi = scattered("random")
    psi[2, :3, :3, 0] = -1e-20  # below the edge of the box by less than rounding
    cells = CellList(N, BOX, BOX / 5.5)
    cells.sort(psi)
    assert cells.count == 5
    assert np.array_equal(np.sort(cells.order), np.arange(N**3))
    cell = np.repeat(np.arange(cells.count**3), np.diff(cells.start))
    corner = np.stack(np.unravel_index(cell, 3 * (cells.count,))) * (BOX / cells.count)
    x = corner + cells.position[:, : N**3] * cells.radius
    truth = (lattice() + psi.astype(np.float64)).reshape(3, -1)[:, cells.order] % BOX
    assert np.abs(x - truth).max() < 1e-5 * BOX / 5


@pytest.mark.parametrize("shape", [1, 2, 3, 4])
def test_mesh_filter_is_the_transform_of_the_ball(shape: int) -> None:
    split = ForceSplit(2.0, shape, 0.05)
    r = (np.arange(20_000) + 0.5) / 20_000 * split.radius
    density = (1 - (r / split.radius) ** 2) ** shape
    k = np.array([0.0, 0.05, 0.1, 1.0, 3.0, 9.0])
    kr = k[:, None] * r
    transform = (np.sinc(kr / np.pi) * density * r**2).sum(1) / (density * r**2).sum()
    assert split.mesh_filter(k) == pytest.approx(transform, abs=1e-7)


@pytest.mark.parametrize("shape", [1, 2, 3, 4])
def test_pair_force_is_newton_minus_the_mass_of_the_ball_within_r(shape: int) -> None:
    split = ForceSplit(2.0, shape, 1e-6)
    edges = np.linspace(0, split.radius, 20_001)
    middle = 0.5 * (edges[1:] + edges[:-1])
    shells = (1 - (middle / split.radius) ** 2) ** shape * middle**2
    mass = np.concatenate([[0], np.cumsum(shells)]) / shells.sum()
    r = edges[2000:]
    assert split.pair_factor(r) == pytest.approx((1 - mass[2000:]) / r**3, abs=1e-6)
    assert np.all(split.pair_factor(np.array([2.0, 2.5, 1e3])) == 0)


def test_softening_follows_gadgets_spline() -> None:
    eps = 0.05
    split = ForceSplit(4.0, 3, eps)
    u = np.linspace(0.01, 1.2, 200)
    h = 2.8 * eps
    inner = 32 / 3 + u**2 * (32 * u - 38.4)
    outer = 64 / 3 - 48 * u + 38.4 * u**2 - 32 / 3 * u**3 - 1 / (15 * u**3)
    spline = np.where(u < 0.5, inner, np.where(u < 1, outer, u**-3)) / h**3
    ball = np.polynomial.polynomial.polyval((u * h / 4) ** 2, split.polynomial()) / 4**3
    assert (split.pair_factor(u * h) + ball) / spline == pytest.approx(1, abs=0.015)


def test_pair_potential_is_the_integral_of_the_force() -> None:
    split = ForceSplit(2.0, 3, 0.05)
    r = np.linspace(0.02, 1.99, 400)
    step = 1e-3
    slope = (split.pair_potential(r + step) - split.pair_potential(r - step)) / (2 * step)
    force = r * split.pair_factor(r)
    assert np.abs(slope - force).max() < 2e-3 * force.max()


def test_too_small_a_box_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="more than a third of the box") as error:
        CellList(4, 10.0, 4.0)
    assert "\n" not in str(error.value)


def test_a_cell_of_more_than_a_thousand_particles_is_divided_as_finely_as_any() -> None:
    n, rng = 12, np.random.default_rng(3)
    x = rng.uniform(27, 48, (3, n**3))  # of a cell from 25 to 50
    q = np.indices((n, n, n)).reshape(3, -1) * BOX / n
    psi = (x - q).reshape(3, n, n, n).astype(np.float32)
    split = ForceSplit(BOX / 4, 3, SOFTENING)
    cells = CellList(n, BOX, split.radius)
    cells.sort(psi)
    assert np.diff(cells.start).max() == n**3 > 64 * CROWD
    force = PairForce(split, cells)(np.empty_like(psi)).reshape(3, -1)
    d = x[:, None, :] - x[:, :, None]
    r = np.sqrt((d**2).sum(0))
    np.fill_diagonal(r, 1e9)
    truth = (d * split.pair_factor(r)).sum(2) * (BOX / n) ** 3 / (4 * np.pi)
    assert rms(force - truth) / rms(truth) < 1e-4
