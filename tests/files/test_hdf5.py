"""Snapshots as Gadget-style HDF5: round trip, pynbody as an outside judge, other codes' files, bad files."""

import dataclasses
import warnings

import h5py
import numpy as np
import pytest

from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import DamagedFileError, InputError
from zeldo.files import open_particles, read, write
from zeldo.particles.lattice import header_of
from zeldo.particles.particles import Particles


@pytest.fixture
def path(snapshot, tmp_path):
    return write(snapshot, tmp_path / "out.hdf5")


def header(path, **attributes):
    """Change attributes of /Header (None: delete)."""
    with h5py.File(path, "r+") as file:
        for name, value in attributes.items():
            if value is None:
                del file["Header"].attrs[name]
            else:
                file["Header"].attrs[name] = value


def particles(path, **datasets):
    """Replace datasets of /PartType1 (None: delete)."""
    with h5py.File(path, "r+") as file:
        for name, value in datasets.items():
            attributes = dict(file["PartType1"][name].attrs)
            del file["PartType1"][name]
            if value is not None:
                file["PartType1"][name] = value
                file["PartType1"][name].attrs.update(attributes)


def test_what_is_written_is_read_back(snapshot, path):
    again = read(path)
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-6)
    np.testing.assert_allclose(again.vel, snapshot.vel, rtol=3e-7)  # the factor sqrt(a) rounds
    for name in ("box", "cosmology", "redshift", "engine", "seed", "settings", "version"):
        assert getattr(again, name) == getattr(snapshot, name)
    assert (again.fixed, again.flip, again.power) == (True, False, "camb")


def test_a_snapshot_without_velocities_and_seed_stays_so(snapshot, tmp_path):
    unsaid = dict.fromkeys(("vel", "seed", "fixed", "flip", "power"))
    again = read(write(dataclasses.replace(snapshot, **unsaid), tmp_path / "out.h5"))
    assert again.vel is None
    assert again.seed is again.fixed is again.flip is again.power is None


def test_pynbody_finds_box_masses_and_velocities(snapshot, path):
    pynbody = pytest.importorskip("pynbody")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it takes the masses from the header
        theirs = pynbody.load(str(path))
        pos = np.asarray(theirs.dm["pos"].in_units("Mpc a h^-1"))
        vel = np.asarray(theirs.dm["vel"].in_units("km s^-1"))
        mass = np.asarray(theirs.dm["mass"].in_units("Msol h^-1"))
        physical = np.asarray(theirs.dm["pos"].in_units("kpc"))
    properties = theirs.properties
    box = properties["boxsize"].in_units("Mpc a h^-1", **theirs.conversion_context())
    assert len(theirs) == len(theirs.dm) == snapshot.n**3
    assert float(box) == pytest.approx(snapshot.box, rel=1e-6)
    assert properties["a"] == pytest.approx(0.4)
    assert properties["omegaM0"] == pytest.approx(0.31)
    assert properties["omegaL0"] == pytest.approx(0.69)
    assert properties["h"] == pytest.approx(0.68)
    np.testing.assert_allclose(pos, snapshot.positions(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(physical, snapshot.positions() * 1e3 * 0.4 / 0.68, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(vel, snapshot.velocities(), rtol=1e-5)
    # all matter of the box: 3 H0^2 / (8 pi G) = 2.77536627e11 h^2 Msun / Mpc^3
    assert mass.sum() == pytest.approx(2.77536627e11 * 0.31 * snapshot.box**3, rel=1e-4)


def test_velocities_are_stored_over_the_root_of_a(snapshot, path):
    with h5py.File(path) as file:
        stored = file["PartType1/Velocities"][:]
        assert file["PartType1/Coordinates"].dtype == np.float64
        assert file["PartType1/ParticleIDs"].dtype == np.uint32
        assert file["PartType1/Velocities"].attrs["a_scaling"] == 0.5
        assert file["Header"].attrs["MassTable"][1] == pytest.approx(27.7536627 * 0.31 * (20 / 8) ** 3)
    np.testing.assert_allclose(stored * np.sqrt(0.4), snapshot.velocities(), rtol=1e-6)


def test_rows_in_any_order_are_sorted_by_id(snapshot, path):
    order = np.random.default_rng(1).permutation(snapshot.n**3)
    with h5py.File(path) as file:
        shuffled = {name: data[:][order] for name, data in file["PartType1"].items()}
    particles(path, **shuffled)
    again = read(path)
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-6)
    np.testing.assert_allclose(again.vel, snapshot.vel, rtol=3e-7)


@pytest.mark.parametrize("said", ["in /Parameters", "in the header", "nowhere"])
def test_a_gadget_file_in_kpc_is_read(snapshot, path, said):
    """Another code's file: kpc/h, float32, no /Zeldo, units where Gadget-4 or Gadget-2 has them, or none."""
    with h5py.File(path, "r+") as file:
        del file["Zeldo"]
        for group in ("Header", "Parameters"):
            file[group].attrs["BoxSize"] = 20000.0
            file[group].attrs["UnitLength_in_cm"] = 3.085678e21
        if said != "in /Parameters":
            del file["Parameters"]
        if said == "nowhere":
            for name in ("UnitLength_in_cm", "UnitMass_in_g", "UnitVelocity_in_cm_per_s"):
                del file["Header"].attrs[name]
        coordinates = (file["PartType1/Coordinates"][:] * 1000).astype(np.float32)
    particles(path, Coordinates=coordinates)
    again = read(path, cosmology=snapshot.cosmology)
    assert again.box == pytest.approx(20.0)
    assert again.engine == "gadget"
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-5)
    np.testing.assert_allclose(again.vel, snapshot.vel, rtol=3e-7)
    if said == "in /Parameters":
        assert read(path).cosmology.sigma_8 == 0.81  # Sigma8 and PrimordialIndex are Gadget-4's
    else:
        with pytest.raises(InputError, match="does not say sigma_8, n_s: pass the cosmology"):
            read(path)
    with pytest.raises(InputError, match=r"omega_m = 0\.31 in the file, 0\.3175 is given"):
        read(path, cosmology=PRESETS["quijote"])


@pytest.mark.parametrize("dataset", [False, True])
def test_masses_and_velocities_are_read_in_the_files_units(snapshot, path, dataset):
    """Masses in 10^12 Msun/h and velocities in 10 km/s."""
    with h5py.File(path, "r+") as file:
        for group in ("Header", "Parameters"):
            file[group].attrs["UnitMass_in_g"] = 1.98841e45
            file[group].attrs["UnitVelocity_in_cm_per_s"] = 1e6
        velocities = file["PartType1/Velocities"][:] / 10
        if dataset:
            file["PartType1/Masses"] = np.full(snapshot.n**3, snapshot.particle_mass / 100)
    particles(path, Velocities=velocities)
    header(path, MassTable=np.array([0, 0 if dataset else snapshot.particle_mass / 100, 0, 0, 0, 0]))
    np.testing.assert_allclose(read(path).vel, snapshot.vel, rtol=1e-6)
    with open_particles(path) as found:
        mass = found.masses[0] if dataset else found.header.particle_mass
    assert mass == pytest.approx(snapshot.particle_mass, rel=1e-6)


def test_fields_say_how_they_scale_with_a_and_h(snapshot, tmp_path):
    """Comoving Mpc/h, km/s over the root of a, and 10^10 Msun/h: Gadget-4's attributes and older ones alike."""
    mass = np.full(snapshot.n**3, snapshot.particle_mass)
    ids = np.arange(1, snapshot.n**3 + 1)
    whole = Particles(header_of(snapshot), snapshot.positions(), snapshot.velocities(), ids, mass)
    expected = {
        "Coordinates": (1, -1, 1, 0, 0, 3.085678e24),
        "Velocities": (0.5, 0, 0, 0, 1, 1e5),
        "Masses": (0, -1, 0, 1, 0, 1.98841e43),
    }
    with h5py.File(write(whole, tmp_path / "all.hdf5")) as file:
        for name, wanted in expected.items():
            said = file[f"PartType1/{name}"].attrs
            scalings = [said[f"{x}_scaling"] for x in ("a", "h", "length", "mass", "velocity")]
            assert (*scalings, said["to_cgs"]) == pytest.approx(wanted)
            assert said["aexp-scale-exponent"] == wanted[0] and said["h-scale-exponent"] == wanted[1]
            assert said["CGSConversionFactor"] == said["to_cgs"]


def test_masses_in_a_dataset_do_as_well(snapshot, path):
    mass = snapshot.particle_mass
    header(path, MassTable=np.zeros(6))
    with h5py.File(path, "r+") as file:
        file["PartType1/Masses"] = np.full(snapshot.n**3, mass, dtype=np.float32)
    np.testing.assert_allclose(read(path).psi, snapshot.psi, rtol=0, atol=1e-6)
    with h5py.File(path, "r+") as file:
        file["PartType1/Masses"][3] = 2 * mass
    with pytest.raises(InputError, match="different masses"):
        read(path)


def test_a_truncated_file_is_damaged(path):
    content = path.read_bytes()
    for keep in (0, 100, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:keep])
        with pytest.raises(DamagedFileError, match="damaged or incomplete") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Header", "PartType1", "PartType1/Coordinates", "PartType1/ParticleIDs"])
def test_a_missing_group_is_named(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(DamagedFileError, match=f"lacks /{name}"):
        read(path)


@pytest.mark.parametrize("name", ["BoxSize", "MassTable", "NumPart_ThisFile", "NumPart_Total", "Redshift"])
def test_a_missing_entry_of_the_header_is_named(path, name):
    with h5py.File(path, "r+") as file:
        for group, entry in (("Header", name), ("Parameters", name), ("Header", "Time")):
            file[group].attrs.pop(entry, None)  # nothing else says it
    with pytest.raises(DamagedFileError, match=f"lacks {name} in /Header"):
        read(path)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (7, 9, "id 8 is missing and id 9 is there 2 times"),
        (7, 0, "id 0 is out of range"),
        (3, 600, "id 600 is out"),
    ],
)
def test_missing_and_double_ids_are_named(path, first, second, message):
    ids = np.arange(1, 513, dtype=np.uint32)
    ids[first] = second
    particles(path, ParticleIDs=ids)
    with pytest.raises(DamagedFileError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["Coordinates", "Velocities"])
def test_values_that_are_not_finite_are_damage(path, name):
    with h5py.File(path, "r+") as file:
        file["PartType1"][name][5, 1] = np.nan
    with pytest.raises(DamagedFileError, match=r"1 of the .* are not finite, the first in row 5"):
        read(path)


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({"BoxSize": 25.0}, DamagedFileError, "BoxSize is 25 in /Header and 20 in /Parameters"),
        ({"Omega0": 0.5}, DamagedFileError, r"Omega0 is 0\.5 in /Header and 0\.31 in /Parameters"),
        ({"HubbleParam": 0.7}, DamagedFileError, r"HubbleParam is 0\.7 in /Header and 0\.68 in /Parameters"),
        ({"OmegaLambda": 0.6}, DamagedFileError, r"OmegaLambda is 0\.6 in /Header and 0\.69 in"),
        ({"UnitLength_in_cm": 3.0e21}, DamagedFileError, r"UnitLength_in_cm is 3e\+21 in /Header"),
        ({"BoxSize": np.nan}, DamagedFileError, "BoxSize = nan is not finite"),
        ({"MassTable": np.array([0, 1.0, 0, 0, 0, 0])}, DamagedFileError, "particle mass of 1 "),
        ({"NumPart_ThisFile": np.array([0, 511, 0, 0, 0, 0])}, DamagedFileError, "says 511 particles"),
        ({"NumPart_Total": np.array([0, 1024, 0, 0, 0, 0])}, DamagedFileError, "says 1024 particles"),
        ({"NumPart_Total": np.array([64, 512, 0, 0, 0, 0])}, DamagedFileError, "says 64 particles of type 0"),
        ({"NumFilesPerSnapshot": 4}, InputError, "one of 4 files"),
        ({"Redshift": 0.0}, DamagedFileError, "contradict each other"),
        ({"Redshift": -3.0}, DamagedFileError, "not above -1"),
    ],
)
def test_a_header_that_contradicts_the_rest_is_refused(path, attributes, error, message):
    header(path, **attributes)
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factor", "message"), [(2.0, "header gives a box of 40"), (0.5, "leave the box of 10")]
)
def test_positions_of_another_box_are_refused(snapshot, path, factor, message):
    """The whole header agrees with itself, the particles do not."""
    mass = np.array([0, snapshot.particle_mass * factor**3, 0, 0, 0, 0])
    header(path, BoxSize=20 * factor, MassTable=mass)
    with h5py.File(path, "r+") as file:
        file["Parameters"].attrs["BoxSize"] = 20 * factor
    with pytest.raises(DamagedFileError, match=message):
        read(path)


@pytest.mark.parametrize(("name", "value"), [("Sigma8", 0.9), ("PrimordialIndex", 0.9)])
def test_parameters_that_contradict_the_rest_are_refused(path, name, value):
    with h5py.File(path, "r+") as file:
        file["Parameters"].attrs[name] = value
    with pytest.raises(DamagedFileError, match=rf"{name} = 0\.9 in the header contradicts"):
        read(path)


def test_a_number_of_particles_that_is_no_cube_is_read_as_particles(snapshot, path):
    with h5py.File(path) as file:
        cut = {name: data[:500] for name, data in file["PartType1"].items()}
    particles(path, **cut)
    header(
        path, NumPart_ThisFile=np.array([0, 500, 0, 0, 0, 0]), NumPart_Total=np.array([0, 500, 0, 0, 0, 0])
    )
    again = read(path)
    assert isinstance(again, Particles)
    np.testing.assert_array_equal(again.positions, snapshot.positions()[:500])
    np.testing.assert_array_equal(again.ids, np.arange(1, 501))


@pytest.mark.parametrize("dark", [0.5, 0.9])
def test_a_curved_universe_is_refused(path, dark):
    with h5py.File(path, "r+") as file:
        for group in ("Header", "Parameters"):
            file[group].attrs["OmegaLambda"] = dark
    with pytest.raises(InputError, match="no flat universe"):
        read(path)
