"""Reference runs and initial conditions on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zeldo.cosmology.parameters import PRESETS
from zeldo.cosmology.power import linear_power
from zeldo.errors import DamagedFileError, InputError, ZeldoWarning
from zeldo.files import read
from zeldo.files.reference import (
    is_reference,
    read_initial_conditions,
    read_reference,
    reference_path,
    write_initial_conditions,
)
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import field_of_modes, initial_conditions
from zeldo.linear_fields import initial_conditions_of

REFERENCES = Path(__file__).parents[2].parent / "shared" / "reference"


def test_how_the_field_was_drawn_is_kept(ics, tmp_path):
    path = tmp_path / "ics.npz"
    assert read_initial_conditions(write_initial_conditions(ics, path)).fixed is None
    given = replace(ics, fixed=False, flip=True, power="table.txt")
    again = read_initial_conditions(write_initial_conditions(given, path))
    assert (again.fixed, again.flip, again.power) == (False, True, "table.txt")


@pytest.fixture
def ics():
    field = np.random.default_rng(5).normal(0, 1.5, (8, 8, 8)).astype(np.float32)
    return InitialConditions(box=20.0, n=8, cosmology=PRESETS["planck2018"], delta_lin=field, seed=11)


def rounded(path, ics, **arrays):
    """A reference file of random particles, some arrays changed (None: left out)."""
    rng = np.random.default_rng(6)
    values = {name: getattr(ics.cosmology, name) for name in ("omega_m", "omega_b", "h", "n_s", "sigma_8")}
    values |= {
        "n": ics.n,
        "box": ics.box,
        "seed": ics.seed,
        "delta_step": 0.001,
        "psi_step": 0.01,
        "vel_step": 4.0,
    }
    values |= {
        "meta": '{"code": "some N-body"}',
        "delta_lin": np.rint(ics.delta_lin / 0.001).astype(np.int16),
    }
    for name in ("psi_z0", "vel_z0", "psi_z0.5"):
        values[name] = rng.integers(-500, 500, (3, 8, 8, 8)).astype(np.int16)
    values |= arrays
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    return path


def test_the_shipped_reference_is_a_universe():
    """Quijote's at z = 1 and 0: linear field of the right variance, growing displacements that follow it."""
    ics, snapshots = read_reference(reference_path("small"))
    assert is_reference(reference_path())
    assert (ics.n, ics.box, ics.cosmology) == (64, 125.0, PRESETS["quijote"])
    assert list(snapshots) == [1.0, 0.0]
    assert abs(ics.delta_lin.mean()) < 1e-4
    for redshift, snapshot in snapshots.items():
        assert (snapshot.engine, snapshot.redshift, snapshot.seed) == ("mp-gadget", redshift, ics.seed)
        assert abs(snapshot.psi.mean()) < 0.05  # momentum
        assert abs(snapshot.vel.mean()) < 5
    # on the largest scales -div psi = D delta with D(z = 1) = 0.61
    kx = 2 * np.pi * np.fft.fftfreq(64, 125 / 64)
    wave = np.stack(np.meshgrid(kx, kx, kx, indexing="ij"))
    large = ((wave**2).sum(axis=0) > 0) & ((wave**2).sum(axis=0) < 0.1**2)
    linear = np.fft.fftn(ics.delta_lin)[large]
    for redshift, growth in ((0.0, 1.0), (1.0, 0.61)):
        divergence = sum(-1j * wave[c] * np.fft.fftn(snapshots[redshift].psi[c]) for c in range(3))[large]
        assert (divergence * linear.conj()).sum().real / (abs(linear) ** 2).sum() == pytest.approx(
            growth, rel=0.03
        )


def test_the_shipped_reference_is_the_one_that_was_run():
    original = REFERENCES / "small.npz"
    if not original.is_file():
        pytest.skip(f"needs {original}, which is not part of the package")
    with np.load(original) as theirs, np.load(reference_path()) as ours:
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_steps_and_redshifts_of_a_reference_are_applied(ics, tmp_path):
    again, snapshots = read_reference(rounded(tmp_path / "ref.npz", ics))
    np.testing.assert_allclose(again.delta_lin, ics.delta_lin, rtol=0, atol=0.00051)
    assert (again.box, again.n, again.seed, again.cosmology) == (ics.box, ics.n, ics.seed, ics.cosmology)
    assert list(snapshots) == [0.5, 0.0]
    assert snapshots[0.5].vel is None
    with np.load(tmp_path / "ref.npz") as file:
        np.testing.assert_allclose(snapshots[0.0].psi, file["psi_z0"] * 0.01, rtol=1e-6)
        np.testing.assert_allclose(snapshots[0.0].vel, file["vel_z0"] * 4.0, rtol=1e-6)
    assert snapshots[0.0].settings == {"code": "some N-body"}


@pytest.mark.parametrize("seed", [-5, 2.0**70])
def test_a_seed_that_no_run_can_have_is_damage(ics, tmp_path, seed):
    with pytest.raises(DamagedFileError, match=r"seed = .* is not allowed"):
        read_reference(rounded(tmp_path / "ref.npz", ics, seed=seed))


def test_initial_conditions_come_back_bit_by_bit(ics, tmp_path):
    again = read_initial_conditions(write_initial_conditions(ics, tmp_path / "ics.npz"))
    np.testing.assert_array_equal(again.delta_lin, ics.delta_lin)
    assert (again.box, again.n, again.seed, again.cosmology) == (ics.box, ics.n, ics.seed, ics.cosmology)
    assert not is_reference(tmp_path / "ics.npz")
    with pytest.raises(InputError, match=r"written as \.npz"):
        write_initial_conditions(ics, tmp_path / "ics.hdf5")


def test_initial_conditions_of_a_reference_are_the_references(ics, tmp_path):
    path = rounded(tmp_path / "ref.npz", ics)
    np.testing.assert_array_equal(read_initial_conditions(path).delta_lin, read_reference(path)[0].delta_lin)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"delta_lin": None}, "lacks delta_lin"),
        ({"psi_step": None}, "lacks psi_step"),
        ({"sigma_8": None}, "lacks sigma_8"),
        ({"psi_z0": None, "psi_z0.5": None}, "lacks psi_z0"),
        ({"psi_z0": np.zeros((3, 6, 6, 6), np.int16)}, "psi_z0 has shape"),
        ({"delta_lin": np.zeros((6, 6, 6), np.int16)}, "delta_lin has shape"),
        ({"delta_step": 0.0}, "not positive"),
        ({"vel_step": np.nan}, "not finite"),
        ({"psi_z0": np.full((3, 8, 8, 8), np.nan)}, "psi_z0 holds values that are not finite"),
        ({"delta_lin": np.full((8, 8, 8), np.inf)}, "not finite"),
        ({"box": -1.0}, "box = -1.0 is not allowed"),
        ({"omega_m": 3.0}, "omega_m = 3.0 is not allowed"),
        ({"meta": "not JSON"}, "meta is not JSON"),
        ({"delta_lin": np.full((8, 8, 8), "a")}, "where numbers belong"),
    ],
)
def test_a_bad_reference_is_refused_in_one_line(ics, tmp_path, arrays, message):
    with pytest.raises(DamagedFileError, match=message) as caught:
        read_reference(rounded(tmp_path / "ref.npz", ics, **arrays))
    assert "\n" not in str(caught.value)


def test_a_truncated_reference_is_damaged(ics, tmp_path):
    path = rounded(tmp_path / "ref.npz", ics)
    path.write_bytes(path.read_bytes()[:-1000])
    for reader in (read_reference, read_initial_conditions):
        with pytest.raises(DamagedFileError, match="damaged or incomplete"):
            reader(path)


def test_what_is_not_there_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_reference(tmp_path / "none.npz")
    with pytest.raises(InputError, match="did you mean 'small'"):
        reference_path("smal")
    with pytest.raises(InputError, match="no snapshot: use it as --reference or --ics"):
        read(reference_path())


@pytest.mark.parametrize(("name", "factor"), [("box", 1.5), ("p_lin", 1.5), ("p_lin", 0.7)])
def test_a_box_or_a_power_that_is_not_the_fields_is_noticed(tmp_path, name, factor):
    power = linear_power(PRESETS["quijote"], "eisenstein-hu")
    ics = initial_conditions(PRESETS["quijote"], 20.0, 8, 11, power=power, fixed=True)
    table = {"k": power.k, "p_lin": power.p}
    read_reference(rounded(tmp_path / "ref.npz", ics, **table))
    values = {"box": ics.box, **table}
    with pytest.raises(DamagedFileError, match="variance of delta_lin is"):
        read_reference(rounded(tmp_path / "ref.npz", ics, **{**table, name: factor * values[name]}))


def test_a_field_without_a_cosmology_takes_the_one_of_its_run(ics, tmp_path):
    path = tmp_path / "field.npz"
    np.savez(path, delta_lin=ics.delta_lin, box=ics.box)
    with pytest.raises(InputError, match=r"does not say omega_m, .*: give the cosmology of the run"):
        initial_conditions_of(path)
    with pytest.raises(InputError, match="does not say omega_b, h, n_s, sigma_8: give"):
        initial_conditions_of(path, {"omega_m": 0.3})
    read = initial_conditions_of(path, ics.cosmology)
    assert (read.cosmology, read.n, read.box) == (ics.cosmology, ics.n, ics.box)
    np.testing.assert_array_equal(read.delta_lin, ics.delta_lin)
    modes = np.fft.rfftn(ics.delta_lin) / ics.n**3
    np.savez(path, delta_k=modes, box=ics.box)
    np.testing.assert_array_equal(initial_conditions_of(path, "quijote").delta_lin, field_of_modes(modes))


def test_a_field_with_a_cosmology_keeps_it(ics, tmp_path):
    path = write_initial_conditions(ics, tmp_path / "field.npz")
    assert initial_conditions_of(path, ics.cosmology).cosmology == ics.cosmology
    with pytest.raises(InputError, match=r"has omega_m = .*, and 0.25 is given: leave it out"):
        initial_conditions_of(path, {"omega_m": 0.25})


def test_a_linear_field_of_another_redshift_or_amplitude_is_noticed(ics, tmp_path):
    path = tmp_path / "field.npz"
    parameters = ics.cosmology.to_dict()
    np.savez(path, delta_lin=ics.delta_lin / 39, box=ics.box, redshift=49.0, **parameters)
    with pytest.raises(InputError, match="holds a linear field at z = 49: divide it by D1"):
        initial_conditions_of(path)
    np.savez(path, delta_lin=ics.delta_lin / 39, box=ics.box, **parameters)
    with pytest.warns(ZeldoWarning, match=r"rms is 0\.\d+ times what sigma_8 = .* and the box \d+ Mpc/h"):
        initial_conditions_of(path)
