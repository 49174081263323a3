"""The linear fields of other codes, from seed and options alone. Their files were read by nothing of zeldo."""

import numpy as np
import pytest

from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS
from zeldo.cosmology.power import linear_power
from zeldo.files.reference import read_initial_conditions
from zeldo.initial.linear import amplitude, initial_conditions
from zeldo.initial.ngenic import NGenIC, fold
from zeldo.mesh import fft

BOX, QUIJOTE = 62.5, PRESETS["quijote"]


@pytest.fixture(scope="module")
def foreign(shared):
    return shared / "foreign"


@pytest.fixture(scope="module")
def table(foreign):
    return foreign / "common" / "pk_lin_z0.txt"


def inside(field):
    """A field without its Nyquist planes, float64."""
    modes = np.fft.rfftn(np.asarray(field, float))
    return np.fft.irfftn(fft.zero_nyquist(modes))


def error(field, truth):
    """rms difference off the Nyquist planes in units of the rms of the truth."""
    field, truth = inside(field), inside(truth)
    return (field - truth).std() / truth.std()


def minus_divergence(psi, redshift, box=BOX):
    """delta_lin of displacements (3, n, n, n) in Mpc/h."""
    n = psi.shape[1]
    k = np.fft.fftfreq(n, box / n) * 2 * np.pi
    axes = np.ix_(k, k, np.abs(k[: n // 2 + 1]))
    modes = -sum(1j * axis * np.fft.rfftn(one) for axis, one in zip(axes, psi, strict=True))
    return np.fft.irfftn(fft.zero_nyquist(modes)) / growth(QUIJOTE).d1(1 / (1 + redshift))


def displacements(positions, n, offset=0.0):
    """Of particles in the order of a lattice with its points at (i + offset) box / n."""
    q = np.stack(np.meshgrid(*3 * [np.arange(n) + offset], indexing="ij"), -1).reshape(-1, 3) * (BOX / n)
    psi = positions - q
    return (psi - BOX * np.round(psi / BOX)).T.reshape(3, n, n, n)


def gadget_positions(paths):
    """Of Gadget's binary format 1, sorted by id, in the file's unit."""
    positions, ids = [], []
    for path in paths:
        data, at, records = path.read_bytes(), 0, []
        while at < len(data):
            length = int(np.frombuffer(data, "<u4", 1, at)[0])
            records.append(data[at + 4 : at + 4 + length])
            at += length + 8
        positions.append(np.frombuffer(records[1], "<f4").reshape(-1, 3))
        ids.append(np.frombuffer(records[3], f"<u{len(records[3]) // len(positions[-1])}"))
    return np.concatenate(positions).astype(float)[np.argsort(np.concatenate(ids))]


def bigfile(block):
    """The values of a block."""
    dtype = (block / "header").read_text().split()[1]
    return np.concatenate([np.fromfile(path, dtype) for path in sorted(block.glob("0*"))])


def ours(table, n=32, **options):
    return initial_conditions(QUIJOTE, BOX, n, power=table, phases=NGenIC(**options)).delta_lin


@pytest.mark.parametrize("name", ["small", "figure2b_small", "fiducial"])
def test_references_come_from_seed_and_cosmology_alone(shared, name):
    truth = read_initial_conditions(shared / "reference" / f"{name}.npz")
    made = initial_conditions(truth.cosmology, truth.box, truth.n, truth.seed, phases="ngenic")
    assert error(made.delta_lin, truth.delta_lin) < 3e-4
    assert made.phases == "ngenic"


@pytest.mark.parametrize("seed", [5001, 42])
def test_2lptic(foreign, table, seed):
    truth = np.load(foreign / "common" / f"delta_lin_ngenic_seed{seed}_n32.npy")
    assert error(ours(table, seed=seed), truth) < 1.5e-4
    assert error(ours(table, seed=seed + 1), truth) > 1
    assert error(ours(table, seed=seed, flip=True), truth) > 1.9


def test_2lptic_in_sphere_mode(foreign, table):
    """Its particles hold the second order too, 0.5 % at z = 127."""
    paths = sorted((foreign / "2lptic" / "2lpt_z127_kpc_sphere").glob("ics.*"))
    truth = minus_divergence(displacements(gadget_positions(paths) / 1e3, 32), 127)
    assert error(ours(table, seed=5001, sphere=True), truth) < 0.008
    assert error(ours(table, seed=5001), truth) > 0.3


def test_2lptpng(foreign, table):
    paths = sorted((foreign / "2lptpng" / "2lpt_z127_two_files").glob("ics.*"))
    truth = minus_divergence(displacements(gadget_positions(paths) / 1e3, 32), 127)
    assert error(ours(table, seed=5001), truth) < 0.008


def test_lpicola(foreign, table):
    """The second order at z = 9 is large: the phases are judged by the correlation on large scales."""
    paths = sorted((foreign / "lpicola" / "gadget_z9").glob("picola_z9p*"))
    truth = minus_divergence(displacements(gadget_positions(paths), 32), 9)
    a, b = (np.fft.rfftn(field)[:4, :4, :4].ravel()[1:] for field in (truth, ours(table, seed=5001)))
    assert np.vdot(a, b).real / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real) > 0.999


def test_monofonic(foreign, table):
    psi = []
    for axis in "xyz":
        data = (foreign / "monofonic" / "grafic_za_z49" / f"ic_posc{axis}").read_bytes()[52:]
        planes = np.frombuffer(data, np.uint8).reshape(32, -1)[:, 4:-4]
        psi.append(np.ascontiguousarray(planes).view("<f4").reshape(32, 32, 32).T)
    truth = minus_divergence(np.array(psi, float), 49)
    assert error(ours(table, seed=5001), truth) < 1e-5


def test_fastpm_fills_the_nyquist_planes(foreign, table):
    block = foreign / "fastpm" / "linear_density_k" / "lineark" / "LinearDensityK"
    truth = bigfile(block).reshape(32, 32, 17)
    truth[0, 0, 0] = 0
    size = amplitude(linear_power(QUIJOTE, table), BOX, 32) / 32**3
    made = NGenIC(5001, nyquist="filled").modes(32) * size
    np.testing.assert_allclose(
        made, truth, rtol=3e-4, atol=1e-6 * np.abs(truth).max()
    )  # their tables of power
    assert np.abs(truth[16]).min() > 0 and np.abs(truth[:, :, 16]).min() > 0


def test_mp_genic_with_the_mesh_of_the_lattice(foreign, table):
    positions = bigfile(foreign / "mpgenic" / "z49_mesh_n" / "IC" / "1" / "Position").reshape(-1, 3) / 1e3
    assert error(ours(table, seed=5001), minus_divergence(displacements(positions, 32), 49)) < 5e-5


def test_mp_genic_with_twice_the_mesh(foreign, table):
    """Its lattice stands at half cells there: the mesh is moved by one of its cells before it is folded."""
    case = foreign / "mpgenic" / "z49_gadgetvel_gridcentre_seed42_n16" / "IC" / "1"
    truth = minus_divergence(displacements(bigfile(case / "Position").reshape(-1, 3) / 1e3, 16, 0.5), 49)

    def moved(n, mesh, **options):
        modes = NGenIC(42, **options).modes(mesh) * amplitude(linear_power(QUIJOTE, table), BOX, mesh)
        modes *= np.exp(1j * np.pi / n * sum(fft.wavenumbers(mesh)))
        modes = modes.astype(np.complex64)
        return np.fft.irfftn(fold(modes, n) if mesh > n else modes)

    assert error(moved(16, 32, nyquist="filled"), truth) < 5e-5
    assert error(moved(16, 32), truth) > 0.02  # the mesh's Nyquist planes fold onto the lattice's axes
    assert error(moved(16, 16), truth) > 0.2


def test_a_finer_mesh_comes_through_initial_conditions(table):
    folded = ours(table, 16, seed=42, nyquist="filled", mesh_factor=2)
    assert 0.1 < error(folded, ours(table, 16, seed=42)) < 0.4
