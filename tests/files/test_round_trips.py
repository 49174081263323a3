"""Every format that is written: exact to its precision, ids to 2^63, in one file or several, of a lattice or not."""

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.files import create_particles, open_particles, read, registry, write, zarr_particles
from zeldo.files.converting import convert
from zeldo.particles.lattice import particles_of
from zeldo.particles.particles import Header, Particles

# name, suffix, options, relative precision of positions and velocities
FORMATS = [
    ("gadget-hdf5", ".hdf5", {}, 0, 1e-15),
    ("gadget-hdf5", ".hdf5", {"files": 3}, 0, 1e-15),
    ("gadget-binary", ".gadget", {}, 1e-7, 2e-7),
    ("gadget-binary", ".gadget", {"files": 2, "precision": "double"}, 0, 1e-15),
    ("gadget-binary-2", ".gadget2", {}, 1e-7, 2e-7),
    ("gadget-binary-2", ".gadget2", {"files": 2, "unit": "kpc/h"}, 1e-7, 2e-7),
    ("swift", ".hdf5", {}, 4e-16, 0),
    ("swift", ".hdf5", {"files": 2}, 4e-16, 0),
    ("bigfile", ".bigfile", {}, 0, 0),
    ("bigfile", ".bigfile", {"files": 3}, 0, 0),
    ("zarr", ".zarr", {}, 0, 0),
    ("npz", ".npz", {}, 0, 0),
]
EVERY = pytest.mark.parametrize(
    ("name", "suffix", "options", "positions", "velocities"),
    FORMATS,
    ids=[f"{name}{'-' if options else ''}{'-'.join(options)}" for name, _, options, _, _ in FORMATS],
)
COUNT, BOX = 70_001, 50.0


@pytest.fixture(scope="module")
def crowd():
    """More particles than a chunk holds, with ids up to 2^63 - 1 in no order."""
    rng = np.random.default_rng(8)
    cosmology = zeldo.Cosmology.preset("quijote")
    mass = 27.7536627 * cosmology.omega_m * BOX**3 / COUNT
    header = Header(COUNT, BOX, 0.25, cosmology, engine="subsample", seed=4, particle_mass=mass)
    ids = np.uint64(2**63 - 1) - rng.permutation(COUNT).astype(np.uint64)
    velocities = rng.normal(0, 300, (COUNT, 3))
    return Particles(header, rng.uniform(0, BOX, (COUNT, 3)), velocities, ids)


@EVERY
def test_particles_come_back(crowd, tmp_path, name, suffix, options, positions, velocities):
    path = write(crowd, tmp_path / f"out{suffix}", name, **options)
    with open_particles(path, crowd.header.cosmology) as again:
        assert registry.format_of(path).name == name
        assert again.header.count == COUNT
        assert again.header.box == pytest.approx(BOX, rel=1e-14)
        assert again.header.redshift == pytest.approx(0.25, rel=1e-14)
        assert again.header.cosmology == crowd.header.cosmology
        if "masses" in again.fields:
            np.testing.assert_allclose(again.masses, crowd.header.particle_mass, rtol=1e-7)
        else:
            assert again.header.particle_mass == pytest.approx(crowd.header.particle_mass, rel=1e-14)
        np.testing.assert_array_equal(again.ids, crowd.ids)
        for start, stop in ((0, COUNT), (17, 1700), (32_000, 66_000), (COUNT - 1, COUNT)):
            wanted = crowd.read("positions", start, stop)
            np.testing.assert_allclose(again.read("positions", start, stop), wanted, rtol=positions)
            wanted = crowd.read("velocities", start, stop)
            np.testing.assert_allclose(again.read("velocities", start, stop), wanted, rtol=velocities)
    assert isinstance(read(path, crowd.header.cosmology), Particles)


def test_positions_in_single_precision_stay_inside_the_box(crowd, tmp_path):
    below = np.full((COUNT, 3), np.nextafter(BOX, 0))
    path = write(Particles(crowd.header, below, 0 * below, crowd.ids), tmp_path / "out.gadget")
    with open_particles(path, crowd.header.cosmology) as again:
        assert not again.positions.any()


@EVERY
def test_a_snapshot_comes_back(snapshot, tmp_path, name, suffix, options, positions, velocities):
    shifted = replace(snapshot, offset=(0.5, 0.5, 0.5))
    path = write(shifted, tmp_path / f"out{suffix}", name, **options)
    if name.startswith("gadget-binary"):  # which know nothing of a lattice
        with open_particles(path, snapshot.cosmology) as again:
            x = again.positions - shifted.positions()
            assert np.abs(x - snapshot.box * np.rint(x / snapshot.box)).max() <= 1e-7 * snapshot.box
            np.testing.assert_allclose(again.velocities, snapshot.velocities(), rtol=3e-7)
        return
    again = read(path, snapshot.cosmology)
    assert again.offset == (0.5, 0.5, 0.5)
    assert (again.engine, again.seed, again.settings) == (snapshot.engine, snapshot.seed, snapshot.settings)
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=2e-6)
    np.testing.assert_allclose(again.vel, snapshot.vel, rtol=3e-7)


@EVERY
def test_a_write_that_fails_leaves_nothing(crowd, tmp_path, name, suffix, options, positions, velocities):
    velocities = crowd.velocities.copy()
    velocities[60_000, 1] = np.nan
    bad = Particles(crowd.header, crowd.positions, velocities, crowd.ids)
    assert "not all finite" in refusal(lambda: write(bad, tmp_path / f"out{suffix}", name, **options))
    assert not list(tmp_path.iterdir())
    if "files" in options:
        line = refusal(lambda: write(crowd, tmp_path / f"out{suffix}", name, files=0))
        assert "files = 0 is not allowed" in line


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".zarr", ".bigfile"])
def test_convert_sorts_a_lattice_or_by_id(crowd, tmp_path, suffix):
    result = convert(write(crowd, tmp_path / "in.hdf5"), tmp_path / f"out{suffix}")
    assert (result.order, result.wrapped) == ("by id", 0)
    order = np.argsort(crowd.ids)
    with open_particles(result.path) as again:
        np.testing.assert_array_equal(again.ids, crowd.ids[order])
        np.testing.assert_array_equal(again.positions, crowd.positions[order])


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".bigfile", ".zarr"])
def test_where_a_lattice_begins_and_a_long_seed_come_back(snapshot, tmp_path, suffix):
    """Also where it is shifted along some axes only; a float would round the seed."""
    shifted = replace(snapshot, offset=(0.5, 0.0, 0.25), seed=2**63 - 3)
    again = read(write(shifted, tmp_path / f"a{suffix}"))
    assert (again.offset, again.seed) == (shifted.offset, shifted.seed)
    np.testing.assert_allclose(again.psi, shifted.psi, rtol=0, atol=2e-6)


@pytest.mark.parametrize("chunk", [7, 40, 1000])
def test_chunks_of_zarr_need_not_be_the_slices(crowd, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(zarr_particles, "CHUNK", chunk)
    path, count = tmp_path / "a.zarr", 101
    few = {field: crowd.read(field, 0, count) for field in ("positions", "ids")}
    kinds = {field: values.dtype for field, values in few.items()}
    with create_particles(path, replace(crowd.header, count=count), kinds) as sink:
        for field in kinds:
            for start, stop in pairwise([0, 3, 10, 11, 60, count]):
                sink.write(field, start, few[field][start:stop])
    with open_particles(path) as particles:
        for start, stop in ((0, count), (5, 9), (6, 22), (41, 43), (count - 1, count), (4, 4)):
            for field, values in few.items():
                np.testing.assert_array_equal(particles.read(field, start, stop), values[start:stop])


def test_parts_of_a_set_may_be_empty(crowd, tmp_path):
    few = Particles(replace(crowd.header, count=2), crowd.positions[:2], crowd.velocities[:2])
    path = write(few, tmp_path / "few.hdf5", files=3)
    with open_particles(path) as particles:
        np.testing.assert_array_equal(particles.in_memory().positions, few.positions)


SETS = pytest.mark.parametrize(
    ("name", "suffix"), [("gadget-hdf5", ".hdf5"), ("swift", ".hdf5"), ("gadget-binary-2", ".gadget2")]
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@SETS
def test_a_set_replaces_what_had_its_name(crowd, tmp_path, name, suffix):
    """Parts of a larger set would be read with the new ones, and a single file in place of them."""
    path = tmp_path / f"out{suffix}"
    for files in (1, 2):
        write(crowd, path, name, files=files)
    expected = names_in(tmp_path)
    assert len(expected) == 2 and path.name not in expected
    for files in (5, 2):
        write(crowd, path, name, files=files)
    assert names_in(tmp_path) == expected
    with open_particles(path, crowd.header.cosmology) as again:
        np.testing.assert_array_equal(again.ids, crowd.ids)


@SETS
def test_a_set_that_fails_leaves_the_former_one(crowd, tmp_path, name, suffix):
    path = write(crowd, tmp_path / f"out{suffix}", name, files=4)
    before = {part: part.read_bytes() for part in tmp_path.iterdir()}
    bad = Particles(crowd.header, crowd.positions * np.nan, crowd.velocities, crowd.ids)
    assert "not all finite" in refusal(lambda: write(bad, path, name, files=2))
    assert {part: part.read_bytes() for part in tmp_path.iterdir()} == before


@SETS
def test_files_that_are_of_no_larger_set_stay(crowd, tmp_path, name, suffix):
    """Snapshots whose names end in numbers say that they are alone; what cannot be read says nothing."""
    write(crowd, tmp_path / f"out{suffix}", name, files=3)
    other = max(tmp_path.iterdir())
    write(crowd, other, name)
    for content in (other.read_bytes(), b"notes"):
        other.write_bytes(content)
        write(crowd, tmp_path / f"out{suffix}", name, files=2)
        assert other.read_bytes() == content


@SETS
def test_what_is_no_snapshot_of_the_format_stays_beside_a_set(crowd, tmp_path, name, suffix):
    (tmp_path / f"out{suffix}").write_text("notes")
    write(crowd, tmp_path / f"out{suffix}", name, files=2)
    assert (tmp_path / f"out{suffix}").read_text() == "notes"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_part_that_is_written_through_a_link_stays(crowd, tmp_path):
    write(crowd, tmp_path / "out.hdf5")
    (tmp_path / "out.0.hdf5").symlink_to("out.hdf5")
    write(crowd, tmp_path / "out.hdf5", files=2)
    with open_particles(tmp_path / "out.0.hdf5") as again:
        np.testing.assert_array_equal(again.ids, crowd.ids)


@pytest.mark.parametrize(
    ("source", "output", "files"),
    [
        ("one.hdf5", "one.hdf5", 1),  # of which other types of particles would be lost
        ("one.hdf5", "one.hdf5", 2),
        ("set/s", "set/s.hdf5", 2),
        ("set/s", "set/s.3.hdf5", 1),
        ("set/s.1.hdf5", "set/s.hdf5", 2),
        ("set", "set/s.hdf5", 2),
        ("set", "set/s.0.hdf5", 1),
        ("lattice.zarr", "lattice.zarr", 1),
    ],
)
def test_files_that_are_read_are_not_written_over(crowd, tmp_path, source, output, files):
    (tmp_path / "set").mkdir()
    zeldo.run(engine="zeldovich", n=8, box=50, power="eisenstein-hu", output=tmp_path / "lattice.zarr")
    write(crowd, tmp_path / "one.hdf5")
    write(crowd, tmp_path / "set" / "s.hdf5", files=4)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.hdf5")}
    options = {"files": files} if files > 1 else {}
    words = refusal(lambda: convert(tmp_path / source, tmp_path / output, write_options=options))
    assert "would take the place of files that are read" in words
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.hdf5")} == before


def few(**kinds):
    """Few particles, whose masses differ though their header gives one."""
    rng = np.random.default_rng(2)
    cosmology = zeldo.Cosmology.preset("quijote")
    mass = 27.7536627 * cosmology.omega_m * BOX**3 / 20
    header = Header(20, BOX, 0.25, cosmology, particle_mass=mass)
    velocities = rng.normal(0, 300, (20, 3))
    given = {"ids": np.arange(20), "masses": mass * rng.uniform(0.5, 1.5, 20), **kinds}
    return Particles(header, rng.uniform(0, BOX, (20, 3)), velocities, **given)


@EVERY
def test_masses_that_differ_come_back(tmp_path, name, suffix, options, positions, velocities):
    varied = few()
    path = write(varied, tmp_path / f"out{suffix}", name, **options)
    again = zeldo.read(path, ids="none")
    assert again.header.particle_mass is None
    np.testing.assert_allclose(again.masses, varied.masses, rtol=1e-6)


@EVERY
def test_ids_below_0_are_kept_or_refused(tmp_path, name, suffix, options, positions, velocities):
    negative = few(ids=np.arange(20) - 5)
    path = tmp_path / f"out{suffix}"
    if name in ("gadget-binary", "gadget-binary-2", "bigfile"):
        assert "ids from row 0 on include -5" in refusal(lambda: write(negative, path, name, **options))
        assert not list(tmp_path.iterdir())
    else:
        write(negative, path, name, **options)
        np.testing.assert_array_equal(zeldo.read(path, ids="none").ids, negative.ids)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".bigfile", ".zarr"])
def test_no_particles_are_not_converted(tmp_path, suffix):
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    output = tmp_path / f"out{suffix}"
    words = refusal(lambda: convert(tmp_path / "none.npy", output, box=50.0, redshift=0.0))
    assert "none.npy has no particles" in words and not output.exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"box": 0.0}, "box = 0 is not allowed: give a number above 0"),
        ({"box": np.nan}, "box = nan is not allowed"),
        ({"redshift": -2.0}, "redshift = -2 is not allowed: give a number above -1"),
    ],
)
def test_wrong_options_are_not_blamed_on_the_file(tmp_path, option, words):
    np.save(tmp_path / "p.npy", np.ones((5, 3)))
    given = {"box": 50.0, "redshift": 0.0} | option
    assert words in refusal(lambda: convert(tmp_path / "p.npy", tmp_path / "p.npz", **given))


def test_swift_needs_the_whole_cosmology_and_says_what_lacks(tmp_path):
    np.save(tmp_path / "p.npy", np.ones((5, 3)))
    given = {"box": 50.0, "redshift": 0.0, "cosmology": {"omega_m": 0.3, "h": 0.7}, "format": "swift"}
    words = refusal(lambda: convert(tmp_path / "p.npy", tmp_path / "p.hdf5", **given))
    assert "omega_b, n_s, sigma_8" in words


def test_a_set_becomes_one_file_of_its_name(crowd, tmp_path):
    write(crowd, tmp_path / "s.hdf5", files=4)
    convert(tmp_path / "s.0.hdf5", tmp_path / "s.hdf5")
    convert(tmp_path / "s.hdf5", tmp_path / "t.hdf5", write_options={"files": 2})
    assert names_in(tmp_path) == [*(f"s.{i}.hdf5" for i in range(4)), "s.hdf5", "t.0.hdf5", "t.1.hdf5"]


def test_converted_lattices_are_rows_in_lagrangian_order(snapshot, tmp_path):
    """Rows shuffled, positions unwrapped, in kpc/h: the npz has pos, vel and ids in order, inside the box."""
    particles = particles_of(snapshot)
    order = np.random.default_rng(1).permutation(len(particles))
    unwrapped = particles.positions + snapshot.box * (particles.positions < 0.3)
    header = replace(particles.header, n=None)
    mixed = Particles(header, unwrapped[order], particles.velocities[order], particles.ids[order])
    result = convert(write(mixed, tmp_path / "in.hdf5"), tmp_path / "out.npz")
    assert result.order == "Lagrangian"
    assert result.wrapped == np.count_nonzero(particles.positions < 0.3)
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_allclose(file["pos"], particles.positions, rtol=0, atol=1e-14)
        np.testing.assert_allclose(file["vel"], particles.velocities, rtol=3e-7)
        np.testing.assert_array_equal(file["ids"], particles.ids)
    np.testing.assert_allclose(read(tmp_path / "out.npz").psi, snapshot.psi, rtol=0, atol=1e-6)
    assert "no option 'files'" in refusal(
        lambda: convert(tmp_path / "in.hdf5", tmp_path / "o.npz", write_options={"files": 2})
    )


def test_bigfiles_sums_are_those_of_all_bytes(crowd, tmp_path):
    """As Unix `sum` has them, modulo 2^32, by component files that end inside a slice."""
    path = write(crowd, tmp_path / "out.bigfile", files=3)
    for block in ("Position", "Velocity", "ID"):
        lines = (path / "1" / block / "header").read_text().splitlines()[3:]
        for line in lines:
            name, _, total, _ = (word.strip() for word in line.split(":"))
            content = np.fromfile(path / "1" / block / name, np.uint8)
            assert int(total) == int(content.sum(dtype=np.uint64)) % 2**32
        assert len(lines) == 3


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".zarr", ".bigfile"])
def test_what_an_emulator_says_of_itself_may_be_numbers_of_numpy(tmp_path, suffix):
    snapshot = zeldo.run(n=8, box=32, seed=1, engine="zeldovich")[0]
    told = replace(
        snapshot,
        expected_error={"k": np.arange(3.0)},
        correction={"displacement": np.float32(0.5), "velocity": 0.25},
    )
    back = read(write(told, tmp_path / f"told{suffix}"))
    assert back.expected_error == {"k": [0.0, 1.0, 2.0]}
    assert back.correction == {"displacement": 0.5, "velocity": 0.25}


@pytest.fixture
def foreign(tmp_path):
    """A snapshot of a code that says omega_m and h alone."""
    ics = zeldo.initial_conditions(box=32.0, n=8, power="eisenstein-hu")
    (snapshot,) = zeldo.run(ics=ics, engine="2lpt", redshift=9.0)
    path = tmp_path / "foreign.gadget"
    write(snapshot, path)
    return path, snapshot


WRITTEN = pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".zarr", ".bigfile"])


@WRITTEN
def test_particles_converted_without_a_cosmology_take_one_later(foreign, tmp_path, suffix):
    path, snapshot = foreign
    out = tmp_path / f"out{suffix}"
    convert(path, out)
    assert read(out, "quijote").cosmology == snapshot.cosmology
    assert "omega_m" in refusal(lambda: read(out, "planck2018"))


@WRITTEN
def test_dark_energy_given_at_a_conversion_stays(foreign, tmp_path, suffix):
    path, _ = foreign
    out = tmp_path / f"out{suffix}"
    convert(path, out, w0=-0.9, wa=0.1)
    again = read(out, {"omega_b": 0.049, "n_s": 0.9624, "sigma_8": 0.834})
    assert (again.cosmology.w0, again.cosmology.wa) == (-0.9, 0.1)
    assert "w0 = -0.9 in the file, -1 is given" in refusal(lambda: read(out, "quijote"))


@WRITTEN
@pytest.mark.parametrize(("given", "kept"), [(np.float16, np.float32), (np.longdouble, np.float64)])
def test_floats_of_other_widths_are_written_as_usual_ones(tmp_path, suffix, given, kept):
    x = np.random.default_rng(2).uniform(0, 9, (50, 3)).astype(given)
    np.savez(tmp_path / "p.npz", pos=x, vel=x, box=10.0, redshift=0.0)
    convert(tmp_path / "p.npz", tmp_path / f"out{suffix}")
    again = Particles(Header(50, 10.0, 0.0), x, x)
    with open_particles(tmp_path / f"out{suffix}") as particles:
        assert particles.fields["positions"] == again.fields["positions"] == kept
        np.testing.assert_allclose(particles.positions, x.astype(kept), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".zarr", ".bigfile"])
def test_a_lattice_that_nobody_has_looked_for_is_found_in_the_copy(suffix, tmp_path):
    """It begins at half a cell; a copy without that was read as one that begins at the corner."""
    (made,) = zeldo.run(engine="2lpt", n=8, box=16.0, power="eisenstein-hu", redshift=9)
    foreign = write(replace(made, offset=(0.5, 0.5, 0.5)), tmp_path / "foreign.gadget2")
    with open_particles(foreign, made.cosmology) as particles:
        copy = write(particles, tmp_path / f"copy{suffix}")
    again = read(copy)
    assert again.offset == (0.5, 0.5, 0.5)
    np.testing.assert_allclose(again.psi, made.psi, atol=1e-4)


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".zarr", ".bigfile"])
def test_a_lattice_without_ids_comes_back(suffix, tmp_path):
    (made,) = zeldo.run(engine="2lpt", n=8, box=16.0, power="eisenstein-hu", redshift=9)
    with open_particles(write(made, tmp_path / "first.npz")) as particles:
        assert "ids" not in particles.fields
        copy = write(particles, tmp_path / f"copy{suffix}")
    np.testing.assert_allclose(read(copy).psi, made.psi, atol=1e-6)


@EVERY
def test_no_particles_at_all_are_not_written(crowd, tmp_path, name, suffix, options, positions, velocities):
    nothing = Particles(replace(crowd.header, count=0), np.zeros((0, 3)))
    line = refusal(lambda: write(nothing, tmp_path / f"out{suffix}", name, **options))
    assert "there are no particles" in line and not any(tmp_path.iterdir())


@pytest.mark.parametrize("step", [1, 2])
def test_ids_that_skip_numbers_count_no_lattice(step, tmp_path):
    """Of 512 particles, as of a galaxy catalogue or a random subsample; in place of a lattice, `info` says why."""
    rng = np.random.default_rng(3)
    header = Header(512, BOX, 0.25, zeldo.Cosmology.preset("quijote"))
    ids = step * np.arange(512, dtype=np.uint64)
    path = write(Particles(header, rng.uniform(0, BOX, (512, 3)), ids=ids), tmp_path / "out.hdf5")
    answer = zeldo.describe(path)
    assert answer["lattice"]["n"] is None and "count no lattice" in answer["lattice"]["why"]
    if step == 2:
        assert zeldo.files.read(path).header.count == 512
