"""Snapshots as npz: round trip, the form that scripts rely on, bad files."""

import dataclasses

import numpy as np
import pytest

from zeldo.errors import DamagedFileError, InputError
from zeldo.files import open_particles, read, write


@pytest.fixture
def changed(snapshot, tmp_path):
    """Write the snapshot with some arrays changed (None: left out) and return the path."""

    def change(**arrays):
        path = write(snapshot, tmp_path / "changed.npz")
        with np.load(path) as file:
            values = {**dict(file), **arrays}
        np.savez(path, **{name: value for name, value in values.items() if value is not None})
        return path

    return change


def test_what_is_written_is_read_back_exactly(snapshot, tmp_path):
    again = read(write(snapshot, tmp_path / "out.npz"))
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(again.vel, snapshot.vel)
    for name in ("box", "cosmology", "redshift", "engine", "seed", "settings", "version"):
        assert getattr(again, name) == getattr(snapshot, name)
    assert (again.fixed, again.flip, again.power) == (True, False, "camb")


def test_a_snapshot_without_velocities_and_seed_stays_so(snapshot, tmp_path):
    unsaid = dict.fromkeys(("vel", "seed", "fixed", "flip", "power"))
    again = read(write(dataclasses.replace(snapshot, **unsaid), tmp_path / "out.npz"))
    assert again.vel is None
    assert again.seed is again.fixed is again.flip is again.power is None


def test_rows_are_positions_and_velocities_in_lattice_order(snapshot, tmp_path):
    """The form that outside scripts read: row (i n + j) n + k, Mpc/h, km/s, no pickle."""
    with np.load(write(snapshot, tmp_path / "out.npz"), allow_pickle=False) as file:
        values = dict(file)
    n, (i, j, k) = snapshot.n, (2, 7, 5)
    row = (i * n + j) * n + k
    expected = (
        np.array([i, j, k]) * snapshot.box / n + snapshot.psi[:, i, j, k].astype(float)
    ) % snapshot.box
    assert values["pos"].shape == values["vel"].shape == (n**3, 3)
    np.testing.assert_allclose(values["pos"][row], expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(values["vel"][row], snapshot.vel[:, i, j, k])
    assert all(value.dtype.kind != "O" for value in values.values())


def test_a_truncated_file_is_damaged(snapshot, tmp_path):
    path = write(snapshot, tmp_path / "out.npz")
    content = path.read_bytes()
    for keep in (0, 100, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:keep])
        with pytest.raises(DamagedFileError, match="damaged or incomplete"):
            read(path)


def test_a_flipped_bit_is_damaged(snapshot, tmp_path):
    path = write(snapshot, tmp_path / "out.npz")
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError):
        read(path)


@pytest.mark.parametrize("name", ["pos", "box", "n", "redshift", "omega_m", "settings"])
def test_a_missing_array_is_named(changed, name):
    with pytest.raises(DamagedFileError, match=f"lacks {name}"):
        read(changed(**{name: None}))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"box": 40.0}, "contradicts|is not the"),
        (
            {"box": 40.0, "particle_mass": 2**3 * 27.7536627 * 0.31 * (20 / 8) ** 3},
            "header gives a box of 40",
        ),
        ({"box": 10.0, "particle_mass": 0.5**3 * 27.7536627 * 0.31 * (20 / 8) ** 3}, "leave the box of 10"),
        ({"box": -20.0}, "not positive"),
        ({"omega_m": 0.4}, "is not the"),
        ({"omega_m": 7.0}, "omega_m = 7.0 is not allowed"),
        ({"n": 9}, r"not \(729, 3\)"),
        ({"n": 8.5}, "not a whole number"),
        ({"redshift": np.nan}, "not finite"),
        ({"redshift": -2.0}, "not above -1"),
        ({"settings": "{"}, "not JSON"),
        ({"vel": np.zeros((7, 3))}, "velocities"),
    ],
)
def test_a_file_that_contradicts_itself_is_damaged(changed, arrays, message):
    with pytest.raises(DamagedFileError, match=message) as caught:
        read(changed(**arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["pos", "vel"])
def test_values_that_are_not_finite_are_damage(snapshot, changed, name, value):
    data = {"pos": snapshot.positions(), "vel": snapshot.velocities()}[name]
    data[5, 1] = value
    with pytest.raises(DamagedFileError, match="not finite, the first in row 5"):
        read(changed(**{name: data}))


@pytest.mark.parametrize("name", ["n", "version", "particle_mass"])
def test_a_users_own_arrays_may_have_names_of_ours(snapshot, tmp_path, name):
    own = {"pos": snapshot.positions(), "box": snapshot.box, "redshift": snapshot.redshift, name: 8}
    np.savez(tmp_path / "own.npz", **own)
    with open_particles(tmp_path / "own.npz") as particles:
        np.testing.assert_allclose(particles.read("positions"), snapshot.positions(), atol=1e-6)


def test_pickled_objects_are_not_loaded(changed):
    with pytest.raises(DamagedFileError, match="damaged"):
        read(changed(settings=np.array({"a": 1}, dtype=object)))


def test_an_unknown_suffix_or_a_missing_file_is_bad_input(snapshot, tmp_path):
    with pytest.raises(InputError, match=r"suffix '\.hdf': .*did you mean '\.hdf5'"):
        write(snapshot, tmp_path / "out.hdf")
    with pytest.raises(InputError, match="has no suffix"):
        write(snapshot, tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "out.npz")
    with pytest.raises(InputError, match="does not exist"):
        write(snapshot, tmp_path / "missing" / "out.npz")


@pytest.mark.parametrize("name", ["out.npz", "out.hdf5"])
@pytest.mark.parametrize("field", ["psi", "vel"])
def test_what_no_reader_would_take_is_not_written(snapshot, tmp_path, name, field):
    bad = getattr(snapshot, field).copy()
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match=f"{field} of the snapshot .* not finite"):
        write(dataclasses.replace(snapshot, **{field: bad}), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("redshift", [-1.0, -2.0, float("nan"), float("inf")])
def test_a_redshift_is_above_minus_one(snapshot, redshift):
    with pytest.raises(InputError, match=r"redshift = .* give a number above -1"):
        dataclasses.replace(snapshot, redshift=redshift)


def test_an_archive_that_python_cannot_open_is_damaged(snapshot, tmp_path):
    path = write(snapshot, tmp_path / "s.npz")
    good = bytearray(path.read_bytes())
    central, local = good.index(b"PK\x01\x02"), good.index(b"PK\x03\x04")
    newer, locked = good.copy(), good.copy()
    newer[central + 6] = 193  # the version of zip that is needed to read it
    locked[central + 8] |= 1
    locked[local + 6] |= 1
    for content in (newer, locked):
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match="not a readable npz file"):
            read(path)


def test_arrays_whose_columns_lie_together_are_read_by_slices(tmp_path):
    """As NumPy writes a transposed array."""
    x = np.random.default_rng(2).uniform(0, 10, (3, 3000)).T
    np.savez(tmp_path / "p.npz", pos=x, box=10.0, redshift=0.0)
    with open_particles(tmp_path / "p.npz") as particles:
        for start, stop in ((0, 100), (100, 1500), (1500, 3000), (7, 9)):
            np.testing.assert_array_equal(particles.read("positions", start, stop), x[start:stop])


def test_positions_along_the_other_axis_are_told(tmp_path):
    np.savez(tmp_path / "p.npz", pos=np.ones((3, 50)), box=10.0, redshift=0.0)
    with pytest.raises(InputError, match=r"pos has the shape \(3, 50\): give positions as \(N, 3\)"):
        read(tmp_path / "p.npz")


@pytest.mark.parametrize(
    ("convention", "power"), [("peculiar", 0), ("gadget", 0.5), ("momentum", -1), ("comoving", 1)]
)
def test_velocities_are_read_by_the_convention_that_is_given(tmp_path, convention, power):
    """Peculiar ones are a dx/dt: Gadget stores them over the root of a, momenta are a times them, comoving ones dx/dt."""
    x = np.random.default_rng(1).uniform(0, 10, (50, 3))
    np.savez(tmp_path / "own.npz", pos=x, vel=20 * x, box=10.0, redshift=1.5)
    with open_particles(tmp_path / "own.npz", velocities=convention) as particles:
        np.testing.assert_allclose(particles.velocities, 20 * x * 0.4**power, rtol=1e-6)


@pytest.mark.parametrize(("unit", "factor"), [("Mpc/h", 1), ("kpc/h", 1e-3), ("Mpc", 0.7), ("kpc", 7e-4)])
def test_lengths_are_read_in_the_unit_that_is_given(tmp_path, unit, factor):
    x = np.random.default_rng(1).uniform(0, 10, (50, 3))
    np.savez(tmp_path / "own.npz", pos=x, box=10.0, redshift=0.0, h=0.7)
    with open_particles(tmp_path / "own.npz", length=unit) as particles:
        assert particles.header.box == pytest.approx(10 * factor)
        np.testing.assert_allclose(particles.positions, x * factor, rtol=1e-12)


@pytest.mark.parametrize("lattice", [False, True])
def test_an_array_alone_is_in_the_unit_that_is_given(snapshot, tmp_path, lattice):
    np.save(tmp_path / "own.npy", 1e3 * (snapshot.psi if lattice else snapshot.positions()))
    options = {"box": 1e3 * snapshot.box, "redshift": 0.0, "length": "kpc/h"}
    with open_particles(tmp_path / "own.npy", **options) as particles:
        assert particles.header.box == pytest.approx(snapshot.box)
        np.testing.assert_allclose(particles.positions, snapshot.positions(), rtol=0, atol=1e-5)
