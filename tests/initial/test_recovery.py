"""The linear field behind initial conditions: of zeldo itself, and of other codes whose field is known from its seed."""

import json

import numpy as np
import pytest
from test_foreign_phases import displacements, error, inside, ours

import zeldo
from refusals import refusal
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.initial.linear import field_of_modes, initial_conditions
from zeldo.initial.lpt import lpt_state
from zeldo.initial.recovery import recover_linear_field
from zeldo.mesh import fft

QUIJOTE = PRESETS["quijote"]
BOX = 62.5


@pytest.fixture(scope="module")
def field():
    return initial_conditions(QUIJOTE, BOX, 32, 11, power="eisenstein-hu")


def low(field, share=0.7):
    """The modes up to a share of the Nyquist wavenumber."""
    n = len(field)
    k = np.fft.fftfreq(n, 1 / n)
    size = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k[: n // 2 + 1] ** 2)
    return np.fft.irfftn(np.where(size <= share * n / 2, np.fft.rfftn(np.asarray(field, float)), 0))


@pytest.mark.parametrize("redshift", [127.0, 49.0, 19.0])
@pytest.mark.parametrize("order", [1, 2])
def test_a_field_comes_back_from_displacements_of_either_order(field, redshift, order):
    psi, vel = lpt_state(field, 1 / (1 + redshift), order)
    for velocities, asked in ((vel, None), (vel, order), (None, order)):
        found = recover_linear_field(psi, velocities, BOX, QUIJOTE, redshift, asked)
        assert found.order == order
        assert error(found.delta_lin, field.delta_lin) < 5e-6
        assert found.residual is None if velocities is None else found.residual < 1e-5
    assert recover_linear_field(psi, None, BOX, QUIJOTE, redshift).order == 2  # where nothing says it


def test_a_field_comes_back_from_displacements_by_differences(field):
    """FastPM's gradient is that of four points."""
    psi, vel = lpt_state(field, 1 / 50, 1)
    k, cell = 2 * np.pi * np.fft.fftfreq(32, BOX / 32), BOX / 32
    factor = np.divide(
        8 * np.sin(k * cell) - np.sin(2 * k * cell), 6 * cell * k, where=k != 0, out=np.ones(32)
    )
    by_differences = [
        np.stack(
            [
                np.fft.irfftn(np.fft.rfftn(one.astype(float)) * along)
                for one, along in zip(whole, np.ix_(factor, factor, factor[:17]), strict=True)
            ]
        ).astype(np.float32)
        for whole in (psi, vel)
    ]
    found = recover_linear_field(*by_differences, BOX, QUIJOTE, 49, 1, differences=True)
    assert error(found.delta_lin, field.delta_lin) < 1e-5
    assert error(recover_linear_field(*by_differences, BOX, QUIJOTE, 49, 1).delta_lin, field.delta_lin) > 0.01


@pytest.mark.parametrize(("share", "order"), [(0.3, 1), (0.7, 2)])
def test_the_order_is_that_which_velocities_are_nearer_to(field, share, order):
    """Those of the first order are proportional to displacements, whatever these are."""
    (psi, vel), (whole, moving) = (lpt_state(field, 1 / 50, each) for each in (1, 2))
    rate = np.vdot(vel, psi) / np.vdot(psi, psi)
    between = vel + (1 - share) * rate * (whole - psi) + share * (moving - vel)
    assert recover_linear_field(whole, between, BOX, QUIJOTE, 49).order == order


def test_modes_of_the_mean_and_on_nyquist_planes_are_left_out():
    values = 1 + np.random.default_rng(1).standard_normal((8, 8, 8))
    kept = fft.zero_nyquist(np.fft.rfftn(values))
    kept[0, 0, 0] = 0
    for dtype in (np.complex64, np.complex128):
        given = np.fft.rfftn(values, norm="forward").astype(dtype)
        before = given.copy()
        np.testing.assert_allclose(field_of_modes(given), np.fft.irfftn(kept), atol=1e-5)
        np.testing.assert_array_equal(given, before)


def test_the_second_order_is_no_small_matter(field):
    psi, vel = lpt_state(field, 1 / 50, 2)
    assert error(recover_linear_field(psi, vel, BOX, QUIJOTE, 49, 1).delta_lin, field.delta_lin) > 5e-3


def gadget(paths):
    """Positions and velocities of Gadget's binary format 1, sorted by id, in the file's units."""
    columns = [[], [], []]
    for path in paths:
        data, at, records = path.read_bytes(), 0, []
        while at < len(data):
            length = int(np.frombuffer(data, "<u4", 1, at)[0])
            records.append(data[at + 4 : at + 4 + length])
            at += length + 8
        for column, record in zip(columns, records[1:3], strict=False):
            column.append(np.frombuffer(record, "<f4").reshape(-1, 3))
        columns[2].append(np.frombuffer(records[3], f"<u{len(records[3]) // len(columns[0][-1])}"))
    positions, velocities, ids = map(np.concatenate, columns)
    order = np.argsort(ids)
    return positions[order].astype(float), velocities[order].astype(float)


@pytest.mark.parametrize(
    ("case", "unit", "limit"),
    [
        ("2lptic/2lpt_z49_single", 1, 2e-4),
        ("2lptic/2lpt_z127_kpc_sphere", 1e-3, 2e-4),
        ("2lptpng/2lpt_z127_two_files", 1e-3, 2e-4),
        ("lpicola/gadget_z9", 1, 1e-3),
    ],
)
def test_fields_of_second_order_codes_are_those_of_their_seeds(shared, case, unit, limit):
    folder = shared / "foreign" / case
    truth = json.loads((folder / "truth.json").read_text())
    redshift, n = truth["redshift"], truth["n"]
    positions, velocities = gadget(sorted(p for p in folder.iterdir() if p.suffix != ".json"))
    psi = displacements(positions * unit, n).astype(np.float32)
    vel = (velocities / np.sqrt(1 + redshift)).T.reshape(3, n, n, n).astype(np.float32)
    found = recover_linear_field(psi, vel, BOX, QUIJOTE, redshift)
    table = shared / "foreign" / "common" / "pk_lin_z0.txt"
    expected = inside(ours(table, seed=truth["seed"], sphere=truth.get("SphereMode") == 1))
    assert found.order == 2 and found.residual < 2e-3
    assert (low(found.delta_lin) - low(expected)).std() < limit * low(expected).std()


@pytest.mark.parametrize("redshift", [0.0, 1.0])
def test_evolved_particles_are_no_initial_conditions(small, redshift):
    assert "not initial conditions" in refusal(lambda: zeldo.run(ics=small[1][redshift]))


def test_evolved_particles_of_a_coarse_lattice_are_none_either():
    # linear theory alone does not tell: its density contrast is small there
    field = initial_conditions(QUIJOTE, 16 * BOX, 32, 11, power="eisenstein-hu")
    assert growth(QUIJOTE).d1(0.5) * field.delta_lin.std() < 0.5
    evolved = zeldo.run(ics=field, engine="cola", redshift=1)[0]
    line = refusal(lambda: zeldo.run(ics=evolved))
    assert "Lagrangian perturbation theory" in line or "not initial conditions" in line


def test_a_wrong_cosmology_or_order_is_refused(field):
    psi, vel = lpt_state(field, 1 / 50, 2)
    assert "cosmology" in refusal(lambda: recover_linear_field(psi, 1.2 * vel, BOX, QUIJOTE, 49))
    assert "order = 3" in refusal(lambda: recover_linear_field(psi, vel, BOX, QUIJOTE, 49, 3))


def test_too_large_a_second_order_is_said(small):
    today = small[1][1.0]
    line = refusal(lambda: recover_linear_field(today.psi, None, today.box, QUIJOTE, 4.0))
    assert "earlier time" in line


@pytest.mark.parametrize("suffix", ["hdf5", "npz"])
def test_run_goes_on_from_a_snapshot_of_initial_conditions(field, tmp_path, suffix):
    start = zeldo.run(ics=field, engine="2lpt", redshift=49, output=tmp_path / f"ics.{suffix}")[0]
    expected = zeldo.run(ics=field, engine="cola", redshift=1)[0]
    for ics in (start, tmp_path / f"ics.{suffix}", str(tmp_path / f"ics.{suffix}")):
        evolved = zeldo.run(ics=ics, engine="cola", redshift=1)[0]
        assert np.abs(evolved.psi - expected.psi).max() < 2e-3 * expected.psi.std()
        assert (evolved.seed, evolved.power) == (11, "eisenstein-hu")


def test_of_a_universe_at_several_redshifts_the_highest_is_its_initial_conditions(field, tmp_path):
    zeldo.run(ics=field, engine="2lpt", redshift=[49, 9, 0], output=tmp_path / "u.zarr")
    zeldo.run(ics=field, engine="2lpt", redshift=49, output=tmp_path / "one.zarr")
    from_all, from_one = (zeldo.initial_conditions(ics=tmp_path / name) for name in ("u.zarr", "one.zarr"))
    np.testing.assert_array_equal(from_all.delta_lin, from_one.delta_lin)


def test_what_is_no_initial_conditions_is_answered_with_what_to_give(field, tmp_path):
    snapshots = zeldo.run(ics=field, engine="2lpt", redshift=[49, 9])
    assert "snapshots[0]" in refusal(lambda: zeldo.run(ics=snapshots))
    assert "initial conditions" in refusal(lambda: zeldo.run(ics=3))
    assert "n cannot be given" in refusal(lambda: zeldo.run(ics=snapshots[0], n=32))
    assert "cosmology cannot be given" in refusal(lambda: zeldo.run(ics=field, cosmology="quijote"))


def test_a_cosmology_is_given_for_a_file_that_lacks_it(field, tmp_path):
    import h5py

    zeldo.run(ics=field, engine="2lpt", redshift=49, output=tmp_path / "ics.hdf5")
    with h5py.File(tmp_path / "ics.hdf5", "r+") as file:
        del file["Zeldo"]
        for group in ("Header", "Parameters"):
            for name in ("Sigma8", "PrimordialIndex", "OmegaBaryon"):
                file[group].attrs.pop(name, None)
    assert "cosmology" in refusal(lambda: zeldo.initial_conditions(ics=tmp_path / "ics.hdf5"))
    found = zeldo.initial_conditions(ics=tmp_path / "ics.hdf5", cosmology="quijote")
    assert error(found.delta_lin, field.delta_lin) < 1e-5
    lacking = {name: getattr(QUIJOTE, name) for name in ("sigma_8", "n_s", "omega_b")}
    assert zeldo.initial_conditions(ics=tmp_path / "ics.hdf5", **lacking).cosmology == QUIJOTE
    # nothing is filled in from a preset that nobody named
    assert "n_s" in refusal(
        lambda: zeldo.initial_conditions(ics=tmp_path / "ics.hdf5", sigma_8=0.8, omega_b=0.05)
    )


def test_a_cosmology_beside_that_of_the_file_is_not_ignored(field, tmp_path):
    zeldo.run(ics=field, engine="2lpt", redshift=49, output=tmp_path / "ics.hdf5")
    for given in ({"sigma_8": 0.9}, {"cosmology": "planck2018"}):
        assert "leave it out" in refusal(
            lambda given=given: zeldo.initial_conditions(ics=tmp_path / "ics.hdf5", **given)
        )
    same = zeldo.initial_conditions(ics=tmp_path / "ics.hdf5", sigma_8=QUIJOTE.sigma_8)
    assert same.cosmology == QUIJOTE


def test_modes_in_place_of_the_field(field, shared, tmp_path):
    modes = np.fft.rfftn(field.delta_lin.astype(float), norm="forward")
    header = {**QUIJOTE.to_dict(), "n": 32, "box": BOX}
    np.savez(tmp_path / "modes.npz", delta_k=modes, **header)
    assert error(zeldo.initial_conditions(ics=tmp_path / "modes.npz").delta_lin, field.delta_lin) < 1e-6
    np.savez(tmp_path / "bad.npz", delta_k=modes[:-1], **header)
    assert "(n, n, n // 2 + 1)" in refusal(lambda: zeldo.initial_conditions(ics=tmp_path / "bad.npz"))


def test_modes_of_fastpm_are_found_in_a_directory(shared):
    place = shared / "foreign" / "fastpm" / "linear_density_k"
    around, inside = (
        zeldo.initial_conditions(ics=path, cosmology="quijote") for path in (place, place / "lineark")
    )
    np.testing.assert_array_equal(around.delta_lin, inside.delta_lin)


def test_modes_of_fastpm(shared):
    from test_foreign_phases import bigfile

    folder = shared / "foreign" / "fastpm" / "linear_density_k" / "lineark" / "LinearDensityK"
    found = field_of_modes(bigfile(folder).reshape(32, 32, 17))
    table = shared / "foreign" / "common" / "pk_lin_z0.txt"
    assert error(found, ours(table, seed=5001, nyquist="filled")) < 3e-4


@pytest.mark.parametrize(
    ("case", "file", "options", "limit"),
    [
        ("2lptic/2lpt_z49_single", "ics", {}, 2e-4),
        ("2lptic/2lpt_z127_kpc_sphere", "ics", {"sphere": True}, 2e-4),
        ("2lptpng/2lpt_z127_two_files", "ics", {}, 2e-4),
        ("mpgenic/z49_mesh_n", "IC", {"nyquist": "filled"}, 1e-4),
        ("monofonic/gadget_za_z49_two_files", "ics", {}, 1e-4),
        ("monofonic/grafic_za_z49", "", {}, 1e-4),
        ("lpicola/gadget_z9", "picola_z9p000", {}, 1e-3),
        ("fastpm/linear_density_k", "lineark", {"nyquist": "filled"}, 3e-4),
        ("fastpm/z9", "fastpm_0.1000", {"nyquist": "filled"}, 1e-3),
    ],
)
@pytest.mark.filterwarnings("ignore:.*are wrapped")
def test_files_of_other_codes_are_initial_conditions(shared, case, file, options, limit):
    folder = shared / "foreign" / case
    truth = json.loads((folder / "truth.json").read_text())
    found = zeldo.initial_conditions(ics=folder / file if file else folder, cosmology="quijote")
    table = shared / "foreign" / "common" / "pk_lin_z0.txt"
    expected = low(inside(ours(table, n=found.n, seed=truth["seed"], **options)))
    assert (low(found.delta_lin) - expected).std() < limit * expected.std()


def test_a_lattice_at_half_cells_has_the_field_of_whole_ones(field):
    from dataclasses import replace

    # the same universe, on points between ours: displacements by a plain sum over modes
    (start,) = zeldo.run(ics=field, engine="zeldovich", redshift=49)
    k = np.fft.fftfreq(32, 1 / 32)
    phase = np.exp(1j * np.pi / 32 * (k[:, None, None] + k[:, None] + k[:17]))
    aside = [
        np.fft.irfftn(np.fft.rfftn(one) * phase)
        for one in (*start.psi.astype(float), *start.vel.astype(float))
    ]
    moved = replace(start, psi=np.array(aside[:3]), vel=np.array(aside[3:]), offset=(0.5, 0.5, 0.5))
    assert error(zeldo.initial_conditions_of(moved).delta_lin, field.delta_lin) < 1e-5


def test_a_universe_without_structure_has_a_field_of_zeros():
    still = zeldo.Snapshot(
        np.zeros((3, 8, 8, 8), np.float32), None, 50.0, Cosmology.preset("quijote"), 49.0, "x"
    )
    assert not zeldo.initial_conditions_of(still).delta_lin.any()


def test_a_cosmology_may_be_the_name_of_a_preset(tmp_path):
    (snapshot,) = zeldo.run(box=50, n=8, power="eisenstein-hu", engine="2lpt", redshift=49)
    path = zeldo.write(snapshot, tmp_path / "ics.gadget2")
    assert zeldo.initial_conditions_of(path, "quijote").cosmology == snapshot.cosmology
    assert "'quixote'" in refusal(lambda: zeldo.initial_conditions_of(path, "quixote"))


def test_a_cosmology_that_contradicts_a_snapshot_is_refused():
    ics = zeldo.initial_conditions(box=50, n=8, power="eisenstein-hu")
    (snapshot,) = zeldo.run(ics=ics, engine="2lpt", redshift=49)
    for source in (ics, snapshot):
        line = refusal(lambda source=source: zeldo.initial_conditions_of(source, {"omega_m": 0.25}))
        assert "omega_m = 0.3175, and 0.25 is given" in line
    assert "order = 7" in refusal(lambda: zeldo.initial_conditions_of(ics, order=7))


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("order", [1, 2])
def test_velocities_a_few_per_cent_off_still_tell_the_order(seed, order):
    """A share of the field itself is no second order: on few modes the two are not orthogonal."""
    field = initial_conditions(QUIJOTE, 250.0, 8, seed, power="eisenstein-hu")
    psi, vel = lpt_state(field, 1 / 128, order)
    for unit in (0.95, 1.05):
        assert recover_linear_field(psi, np.float32(unit) * vel, 250.0, QUIJOTE, 127).order == order
