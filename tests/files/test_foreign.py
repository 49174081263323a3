"""Files by other people's codes, each against its truth: positions, velocities, ids, lattice, units."""

import json
from pathlib import Path

import numpy as np
import pytest

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files import open_particles, read
from zeldo.files.linear_density import read_linear_density
from zeldo.particles.lattice import NEEDED
from zeldo.particles.snapshot import Snapshot

FOREIGN = Path(__file__).parents[2].parent / "shared" / "foreign"
TRUTHS = sorted(FOREIGN.glob("*/*/truth.json"))
CASES = [path for path in TRUTHS if "particles" in json.loads(path.read_text())]
COSMOLOGY = Cosmology(omega_m=0.3175, omega_b=0.049, h=0.6711, n_s=0.9624, sigma_8=0.834)
ROUNDED = {"lpicola/ascii_z0_n16": 5e-7}  # texts of six decimals

pytestmark = pytest.mark.skipif(not CASES, reason="../shared/foreign is not there")


def case(path):
    return "/".join(path.parent.parts[-2:])


@pytest.fixture(params=CASES, ids=case)
def truth(request):
    return {**json.loads(request.param.read_text()), "place": request.param.parent}


def nearest(difference, box):
    return difference - box * np.rint(difference / box)


def test_positions_and_velocities_by_id_are_the_truth(truth):
    rows = truth["first_5_by_id"]
    with open_particles(truth["place"], COSMOLOGY) as particles:
        header = particles.header
        assert header.count == truth["particles"]
        assert header.box == pytest.approx(truth["box_Mpc_h"], rel=1e-7)
        assert header.scale_factor == pytest.approx(truth["scale_factor"], rel=1e-6)
        if "ids" in particles.fields:
            order = np.argsort(particles.ids)[:5]
            np.testing.assert_array_equal(particles.ids[order], rows["ids"])
        else:
            order = np.arange(5)
        positions, velocities = particles.positions[order], particles.velocities[order]
    box = truth["box_Mpc_h"]
    error = nearest(positions - np.array(rows["position_Mpc_h"]), box)
    precision = ROUNDED.get(truth["case"], 1e-7 * box if positions.dtype == np.float32 else 1e-7)
    assert np.abs(error).max() < precision
    np.testing.assert_allclose(velocities, rows["velocity_peculiar_km_s"], rtol=1e-6, atol=1e-5)


def test_the_lattice_is_the_truths(truth):
    snapshot = read(truth["place"], COSMOLOGY)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.n == truth["n"]
    assert snapshot.offset == (truth["ids"]["offset_in_cells"],) * 3
    checks, rows = truth["checks"], truth["first_5_by_id"]
    rms = np.sqrt(np.mean(np.square(snapshot.psi, dtype=float)))
    assert rms == pytest.approx(checks["displacement_rms_1d_Mpc_h"], rel=1e-3)
    fast = np.sqrt(np.mean(np.square(snapshot.vel, dtype=float)))
    assert fast == pytest.approx(checks["velocity_rms_1d_km_s"], rel=1e-5)
    points = np.array(rows["ids"]) - truth["ids"]["first"]
    error = nearest(snapshot.positions()[points] - np.array(rows["position_Mpc_h"]), snapshot.box)
    assert np.abs(error).max() < 1e-7 * snapshot.box
    np.testing.assert_allclose(
        snapshot.velocities()[points], rows["velocity_peculiar_km_s"], rtol=1e-6, atol=1e-5
    )


def test_each_way_out_of_an_unknown_cosmology_reads_the_file(truth):
    """The message names them; files of other codes rarely say n_s."""
    with open_particles(truth["place"]) as particles:
        missing = [name for name in NEEDED if name not in particles.header.parameters]
    with pytest.raises(InputError) as caught:
        read(truth["place"])
    line = str(caught.value)
    assert f"does not say {', '.join(missing)}: pass the cosmology of the run" in line
    assert "cosmology='quijote' (--cosmology quijote)" in line and "ids='none'" in line
    assert f"or only {', '.join(f'{name}=...' for name in missing)}" in line
    assert all(f"--{name.replace('_', '-')}" in line for name in missing)
    single = {name: getattr(COSMOLOGY, name) for name in missing}
    for given in ({"cosmology": "quijote"}, {"cosmology": single}, single):
        assert isinstance(read(truth["place"], **given), Snapshot)
    assert len(read(truth["place"], ids="none")) == truth["particles"]


@pytest.mark.skipif(not (FOREIGN / "fastpm").is_dir(), reason="../shared/foreign is not there")
@pytest.mark.parametrize("inside", ["", "lineark", "lineark/LinearDensityK"])
def test_fastpms_linear_density_is_the_common_field(inside):
    case = FOREIGN / "fastpm" / "linear_density_k"
    checks = json.loads((case / "truth.json").read_text())["checks"]
    ics = read_linear_density(case / (inside or "lineark"), COSMOLOGY)
    modes = np.fft.rfftn(ics.delta_lin.astype(float)) / ics.n**3
    first = np.array([complex(*pair) for pair in checks["first"]])
    assert np.abs(modes[0, 0, 1:6] - first[: len(modes[0, 0, 1:6])]).max() < 1e-6
    common = np.load(FOREIGN / "common" / "delta_lin_ngenic_seed5001_n32.npy")
    assert np.abs(ics.delta_lin - common).max() < 3e-4 * common.std() * 5
    with pytest.raises(
        InputError, match="holds a linear density field, no particles: give it as initial cond"
    ):
        read(case / (inside or "lineark"))
