"""Catalogues of halos, also of bare particles."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.commands import main
from zeldo.particles.lattice import particles_of
from zeldo.statistics import friends_of_friends
from zeldo.statistics.catalogue import read_halos, write_halos
from zeldo.statistics.overdensity import halos


@pytest.fixture(scope="module")
def snapshot():
    (made,) = zeldo.run(engine="zeldovich", n=16, box=16.0, power="eisenstein-hu", redshift=0)
    return made


def test_halos_of_bare_particles_move_as_those_of_their_lattice(snapshot):
    lattice = friends_of_friends(snapshot, 0.3, 8)
    assert len(lattice.count)
    for order in (slice(None), np.random.default_rng(1).permutation(16**3)):
        particles = particles_of(snapshot)
        bare = friends_of_friends(
            zeldo.Particles(particles.header, particles.positions[order], particles.velocities[order]), 0.3, 8
        )
        np.testing.assert_allclose(
            np.sort(bare.velocity, axis=0), np.sort(lattice.velocity, axis=0), rtol=1e-5
        )


def test_a_catalogue_says_the_units_of_its_columns(snapshot, tmp_path):
    path = write_halos(halos(snapshot, 0.3, 8), tmp_path / "halos.hdf5")
    with h5py.File(path) as file:
        units = {
            name: (data.attrs["to_cgs"], data.attrs["h_scaling"]) for name, data in file["Halos"].items()
        }
    cm, gram = pytest.approx(3.0856776e24), pytest.approx(1.98841e43)
    assert units["count"] == (1.0, 0.0) and units["velocity"] == (1e5, 0.0)
    assert all(units[name] == (gram, -1.0) for name in ("mass", "m200c", "m200m", "mvir"))
    assert all(units[name] == (cm, -1.0) for name in ("centre", "centre_of_mass", "r200c", "r200m", "rvir"))


@pytest.fixture(scope="module")
def found(snapshot):
    return halos(snapshot, 0.3, 8)


def fields_of(catalogue):
    """All values of a catalogue but the halo of each particle, which no file has."""
    return {**vars(catalogue.friends), **vars(catalogue.spherical), "cosmology": catalogue.cosmology} | {
        "group": None
    }


def test_a_catalogue_is_read_as_it_was_found(snapshot, found, tmp_path):
    path = write_halos(found, tmp_path / "halos.hdf5")
    read = zeldo.read_halos(path)
    np.testing.assert_equal(fields_of(read), fields_of(found))
    assert read.friends.group.size == 0 and read.cosmology == snapshot.cosmology
    again, tracers = read.tracers(read.friends.count > 10), found.tracers(found.friends.count > 10)
    assert vars(again.header) == vars(tracers.header)
    np.testing.assert_array_equal(again.positions, tracers.positions)
    np.testing.assert_array_equal(again.velocities, tracers.velocities)
    np.testing.assert_array_equal(zeldo.mass_function(read).count, zeldo.mass_function(found).count)


def test_a_catalogue_without_velocities_and_with_part_of_a_cosmology_is_read(snapshot, tmp_path):
    header = zeldo.Header(16**3, 16.0, 1.0, parameters={"omega_m": 0.3}, particle_mass=8.0)
    particles = zeldo.Particles(header, snapshot.positions())
    found = zeldo.halos(particles, 0.3, 8, output=tmp_path / "halos.hdf5")
    read = zeldo.read_halos(tmp_path / "halos.hdf5")
    np.testing.assert_equal(fields_of(read), fields_of(found))
    assert read.friends.velocity is None and read.cosmology is None


def test_a_catalogue_says_how_its_particles_were_made(snapshot, found, tmp_path, capsys):
    settings = {"preset": "fast", "extrapolate": True}
    made = replace(
        snapshot, engine="emulator", settings=settings, weights="ab12", fixed=True, phases="ngenic", seed=3
    )
    made = replace(made, expected_error={"k": [1.0], "density power": [0.1]}, correction={"velocity": 0.1})
    path = write_halos(found, tmp_path / "halos.hdf5", snapshot=made)
    told = zeldo.describe(path)
    assert told["settings"] == settings and told["weights"] == "ab12"
    assert told["seed"] == 3 and told["fixed"] is True and told["phases"] == "ngenic"
    assert "expected_error" not in told and "correction" not in told  # of the matter, not of its halos
    assert main(["info", str(path)]) == 0
    assert "settings     preset fast, extrapolate on" in capsys.readouterr().out
    bare = write_halos(found, tmp_path / "bare.hdf5")
    assert not {"settings", "seed", "weights"} & set(zeldo.describe(bare))


def test_a_catalogue_says_how_it_was_found_and_what_its_snapshot_knows(snapshot, found, tmp_path):
    unknown = replace(found, cosmology=None, parameters={})
    write_halos(unknown, tmp_path / "h.hdf5", snapshot=snapshot, settings={"linking_length": 0.3})
    with h5py.File(tmp_path / "h.hdf5") as file:
        assert file["Header"].attrs["linking_length"] == 0.3
    assert read_halos(tmp_path / "h.hdf5").cosmology == snapshot.cosmology


def test_halos_are_of_the_redshift_of_their_particles(snapshot, tmp_path):
    found = halos(replace(snapshot, redshift=1.5), 0.3, 8)
    assert found.friends.redshift == found.tracers().header.redshift == 1.5
    with h5py.File(write_halos(found, tmp_path / "halos.hdf5")) as file:
        assert file["Header"].attrs["Redshift"] == 1.5
        assert file["Header"].attrs["Time"] == pytest.approx(0.4)


def test_what_is_no_catalogue_is_refused(snapshot, found, tmp_path):
    zeldo.write(snapshot, tmp_path / "snapshot.hdf5")
    (tmp_path / "text.hdf5").write_text("halos")
    for name in ("snapshot.hdf5", "text.hdf5"):
        line = refusal(lambda name=name: zeldo.read_halos(tmp_path / name))
        assert line.endswith("is no halo catalogue: give a file that zeldo halos or zeldo.write_halos wrote")
    assert "does not exist" in refusal(lambda: zeldo.read_halos(tmp_path / "none.hdf5"))


def test_a_damaged_catalogue_is_refused(found, tmp_path):
    def damaged(change):
        path = write_halos(found, tmp_path / "halos.hdf5")
        with h5py.File(path, "r+") as file:
            change(file)
        return refusal(lambda: zeldo.read_halos(path))

    def cut(file):
        values = file["Halos/mass"][1:]
        del file["Halos/mass"]
        file["Halos/mass"] = values

    assert "lacks mvir in /Halos; copy or make it again" in damaged(
        lambda file: file.__delitem__("Halos/mvir")
    )
    assert "halos and mass has the shape" in damaged(cut)
    assert "BoxSize is missing" in damaged(lambda file: file["Header"].attrs.__delitem__("BoxSize"))
    assert "lacks /Header" in damaged(lambda file: file.__delitem__("Header"))
    path = write_halos(found, tmp_path / "halos.hdf5")
    path.write_bytes(path.read_bytes()[:-500])
    assert "is not a readable HDF5 file" in refusal(lambda: zeldo.read_halos(path))


def test_info_describes_a_catalogue_and_other_commands_say_how_to_read_it(snapshot, found, tmp_path, capsys):
    path = str(write_halos(found, tmp_path / "halos.hdf5", snapshot=snapshot))
    assert main(["info", path]) == 0
    text = capsys.readouterr().out
    for words in (
        "halo catalogue of zeldo",
        "zeldovich",
        "of 8 particles or more",
        "omega_m = 0.3175",
        "m200c",
    ):
        assert words in text
    assert main(["info", path, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["count"] == found.friends.count.size and answer["columns"]["mvir"] == "1e10 Msun/h"
    for command in (["measure", path], ["convert", path, "a.npz"], ["halos", path], ["show", path]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "halos.hdf5 is a halo catalogue and holds no particles" in err
        assert "zeldo.read_halos" in err and "tracers()" in err
