"""Formats: known by content, added by one class, read and written by slices."""

import json
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace

import h5py
import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.errors import InputError, ZeldoError
from zeldo.files import check_writable, create_particles, open_particles, read, registry, write
from zeldo.files.atomic import writing_directory
from zeldo.files.formats import Format, Sink
from zeldo.files.registry import format_of, register_format
from zeldo.particles.particles import Header, Particles, Source
from zeldo.particles.snapshot import Snapshot

WRITTEN = [("npz", ".npz"), ("gadget-hdf5", ".hdf5")]


class Folder(Format):
    """A whole format: a directory with JSON and one raw file a field, in parts of some rows."""

    name = "folder"
    suffixes = (".d",)

    def sniff(self, path):
        return (path / "about.json").is_file()

    @contextmanager
    def open(self, path, cosmology=None):
        about = json.loads((path / "about.json").read_text())
        types = {name: np.dtype(kind) for name, kind in about.pop("fields").items()}
        rows = about.pop("rows")

        class Parts(Source):
            def rows(self, field, start, stop):
                pieces = [np.load(path / f"{field}.{i}.npy") for i in range(-(-self.header.count // rows))]
                return np.concatenate(pieces)[start:stop]

        yield Parts(str(path), Header(cosmology=cosmology, **about), types)

    @contextmanager
    def create(self, path, header, fields, rows=1000):
        with writing_directory(path) as temporary:
            about = {"count": header.count, "box": header.box, "redshift": header.redshift, "rows": rows}
            about["fields"] = {name: dtype.str for name, dtype in fields.items()}
            (temporary / "about.json").write_text(json.dumps(about))

            kept = {name: [] for name in fields}

            class Parts(Sink):
                def put(self, field, start, values):
                    kept[field].append(values)
                    if start + len(values) == header.count:
                        whole = np.concatenate(kept[field])
                        for i in range(0, header.count, rows):
                            np.save(temporary / f"{field}.{i // rows}.npy", whole[i : i + rows])

            yield Parts(header, fields)

    def check_writable(self, path):
        return path


@pytest.fixture
def folder(monkeypatch):
    monkeypatch.setattr(registry, "_registered", registry.formats())
    return zeldo.register_format(Folder)


@pytest.fixture
def crowd():
    """Particles of an odd number, float32, with ids in no order and a mass each."""
    rng = np.random.default_rng(8)
    count = 3001
    header = Header(count, 50.0, 0.25, zeldo.Cosmology.preset("quijote"), engine="subsample", seed=4)
    return Particles(
        header,
        rng.uniform(0, 50, (count, 3)).astype(np.float32),
        rng.normal(0, 300, (count, 3)).astype(np.float32),
        rng.permutation(10**6)[:count].astype(np.uint32),
        rng.uniform(1, 2, count),
    )


def test_a_format_is_one_class_and_a_snapshot_may_be_a_directory_of_parts(folder, snapshot, tmp_path):
    path = write(snapshot, check_writable(tmp_path / "out.d"), rows=200)
    assert len(list(path.glob("positions.*.npy"))) == 3
    again = read(path, snapshot.cosmology)
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(again.vel, snapshot.vel)
    assert read(write(snapshot, path), snapshot.cosmology).n == snapshot.n  # a directory is replaced too
    assert [p.name for p in tmp_path.iterdir()] == ["out.d"]
    elsewhere = write(snapshot, tmp_path / "anything", format="folder")
    assert format_of(elsewhere).name == "folder"
    assert zeldo.describe(elsewhere)["format"] == "folder"


def test_a_name_belongs_to_one_format(folder):
    class Other(Folder):
        pass

    assert "format 'folder' is Folder already" in refusal(lambda: register_format(Other))
    register_format(Folder)  # the same again, as in a notebook


def test_a_special_case_goes_before_the_general_one(folder, snapshot, tmp_path):
    class Labelled(Folder):
        name, narrows = "labelled folder", ("folder",)

    register_format(Labelled)
    assert format_of(write(snapshot, tmp_path / "out.d")).name == "labelled folder"


@pytest.mark.parametrize(("name", "suffix"), WRITTEN)
def test_content_decides_and_not_the_name(snapshot, tmp_path, name, suffix):
    for other in ({".npz", ".hdf5"} - {suffix}).pop(), ".snapshot", "":
        path = write(snapshot, tmp_path / f"out{other}", format=name)
        assert format_of(path).name == name
        np.testing.assert_allclose(read(path).psi, snapshot.psi, rtol=0, atol=1e-6)


def test_what_no_format_knows_is_refused(snapshot, tmp_path):
    (tmp_path / "a.txt").write_text("1 2 3")
    assert "has no format that zeldo knows: it reads bigfile, gadget-binary, gadget-binary-2, " in refusal(
        lambda: read(tmp_path / "a.txt")
    )
    assert "has no format" in refusal(lambda: read(tmp_path))
    assert "format 'gadget-hdf' is not known" in refusal(
        lambda: write(snapshot, tmp_path / "o", format="gadget-hdf")
    )
    assert "format npz has no option 'rows': it has none" in refusal(
        lambda: write(snapshot, tmp_path / "o.npz", rows=3)
    )
    assert "'reference' is read and not written: give one of" in refusal(
        lambda: write(snapshot, tmp_path / "o", format="reference")
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_particles_of_any_number_come_back(crowd, tmp_path, suffix):
    with open_particles(write(crowd, tmp_path / f"out{suffix}")) as again:
        assert (len(again), again.header.box, again.header.redshift) == (3001, 50.0, 0.25)
        assert (again.header.engine, again.header.seed) == ("subsample", 4)
        assert again.header.cosmology == crowd.header.cosmology
        assert again.fields == crowd.fields
        for field in crowd.fields:
            tolerance = 2e-7 if field == "velocities" else 0
            for start, stop in ((0, 3001), (17, 1700), (0, 10), (3000, 3001)):
                wanted = crowd.read(field, start, stop)
                np.testing.assert_allclose(again.read(field, start, stop), wanted, rtol=tolerance)
    alone = read(tmp_path / f"out{suffix}")  # the file may go
    (tmp_path / f"out{suffix}").unlink()
    np.testing.assert_array_equal(alone.positions, crowd.positions)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".bigfile", ".zarr"])
def test_the_array_of_a_slice_may_be_used_again(crowd, tmp_path, suffix):
    path, room = (
        tmp_path / f"out{suffix}",
        {name: np.empty_like(crowd.read(name, 0, 100)) for name in crowd.fields},
    )
    with create_particles(path, crowd.header, crowd.fields) as sink:
        for name in crowd.fields:
            for start in range(0, 3001, 100):
                rows = crowd.read(name, start, min(start + 100, 3001))
                room[name][: len(rows)] = rows
                sink.write(name, start, room[name][: len(rows)])
    with open_particles(path, crowd.header.cosmology) as again:
        for name in crowd.fields:
            np.testing.assert_allclose(again.read(name), crowd.read(name), rtol=3e-7)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_a_file_is_there_when_all_rows_are(crowd, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"

    def fill(*pieces, fields=("positions",)):
        with create_particles(path, crowd.header, {name: crowd.fields[name] for name in fields}) as sink:
            for field, start, stop in pieces:
                sink.write(field, start, crowd.read(field, start, stop))

    assert "2000 rows of positions were written, not 3001" in refusal(lambda: fill(("positions", 0, 2000)))
    line = refusal(lambda: fill(("positions", 0, 100), ("positions", 200, 300)))
    assert "row 200 of positions is given, row 100 of positions is due" in line
    assert "is due" in refusal(lambda: fill(("ids", 0, 1), fields=("positions", "ids")))
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), create_particles(path, crowd.header, crowd.fields):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    fill(("positions", 0, 100), ("positions", 100, 3001))
    with open_particles(path) if suffix == ".npz" else _coordinates(path) as again:
        np.testing.assert_array_equal(again.read("positions", 0, 3001), crowd.positions)


@contextmanager
def _coordinates(path):
    """zeldo asks HDF5 files for ids."""
    import h5py

    with h5py.File(path) as file:
        yield Particles(Header(3001, 50.0, 0.25), file["PartType1/Coordinates"][:])


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_particles_that_are_not_finite_are_not_written(crowd, tmp_path, suffix):
    positions = crowd.positions.copy()
    positions[2500, 1] = np.nan
    bad = Particles(crowd.header, positions, ids=crowd.ids)
    assert "positions from row" in refusal(lambda: write(bad, tmp_path / f"out{suffix}"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_what_is_known_of_a_cosmology_is_kept(crowd, tmp_path, suffix):
    known = {"omega_m": 0.3, "h": 0.7}
    partly = Particles(replace(crowd.header, cosmology=None, parameters=known), crowd.positions)
    with open_particles(write(partly, tmp_path / f"out{suffix}")) as again:
        assert again.header.cosmology is None
        assert again.header.parameters == pytest.approx(known)
    whole = {**known, "sigma_8": 0.8, "n_s": 0.96, "omega_b": 0.05}
    with open_particles(tmp_path / f"out{suffix}", {"sigma_8": 0.8, "n_s": 0.96, "omega_b": 0.05}) as again:
        assert again.header.cosmology == zeldo.Cosmology(**whole)
    assert "h = 0.7 in the file, 0.6 is given" in refusal(lambda: read(tmp_path / f"out{suffix}", {"h": 0.6}))
    assert "no parameter 'omega'" in refusal(lambda: read(tmp_path / f"out{suffix}", {"omega": 0.6}))


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".zarr", ".bigfile"])
def test_another_cosmology_than_the_files_is_not_left_unused(crowd, tmp_path, suffix):
    path = write(crowd, tmp_path / f"out{suffix}")
    own = crowd.header.cosmology
    for given in (replace(own, sigma_8=0.7), {"sigma_8": 0.7}, {"w0": -0.9}, "planck2018"):
        assert " in the file, " in refusal(lambda given=given: read(path, given))
    for same in (own, {"sigma_8": own.sigma_8}, "quijote"):
        assert read(path, same).header.cosmology == own


def test_what_a_code_of_initial_conditions_says_may_be_replaced(crowd, tmp_path):
    """Gadget-4's Sigma8 is that of the particles only where it made them itself."""
    path = write(crowd, tmp_path / "out.hdf5")
    with h5py.File(path, "r+") as file:
        del file["Zeldo"]
        assert file["Parameters"].attrs["Sigma8"] == crowd.header.cosmology.sigma_8
    assert read(path, {"sigma_8": 0.7}).header.cosmology == replace(crowd.header.cosmology, sigma_8=0.7)
    assert "omega_m = 0.3175 in the file, 0.3 is given" in refusal(lambda: read(path, {"omega_m": 0.3}))


@pytest.mark.parametrize("suffix", [".npz", ".zarr"])
@pytest.mark.parametrize(
    "option", [{"box": 9.0}, {"redshift": 3.0}, {"length": "kpc"}, {"velocities": "gadget"}]
)
def test_options_for_files_of_others_are_not_left_unused(crowd, tmp_path, suffix, option):
    path = write(crowd, tmp_path / f"out{suffix}")
    message = refusal(lambda: read(path, **option))
    assert message.endswith(f"already records this: leave out {next(iter(option))}")


def test_a_redshift_that_swifts_file_contradicts_is_refused(crowd, tmp_path):
    path = write(crowd, tmp_path / "out.hdf5", "swift")
    assert read(path, redshift=0.25).header.redshift == pytest.approx(0.25)
    assert "has redshift 0.25, and 7 is given" in refusal(lambda: read(path, redshift=7.0))


def test_dark_energy_that_a_file_of_swift_contradicts_is_refused(crowd, tmp_path):
    known = replace(crowd.header.cosmology, w0=-0.8, wa=0.2)
    particles = Particles(replace(crowd.header, cosmology=known), crowd.positions)
    path = write(particles, tmp_path / "out.hdf5", "swift")
    with h5py.File(path, "r+") as file:
        del file["Zeldo"]
    assert read(path, known).header.cosmology == known
    assert "w0 = -0.8 in the file, -1 is given" in refusal(
        lambda: read(path, replace(known, w0=-1.0, wa=0.0))
    )


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_writing_takes_the_memory_of_a_plane(tmp_path, suffix):
    n = 192
    psi = np.zeros((3, n, n, n), np.float32)
    snapshot = Snapshot(psi, psi, 100.0, zeldo.Cosmology.preset("quijote"), 0.0, "test")
    write(snapshot, tmp_path / f"warm{suffix}")
    tracemalloc.start()
    try:
        write(snapshot, tmp_path / f"out{suffix}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    plane = n * n * (24 + 12 + 4)
    assert peak < 2 * plane + 200_000 < n**3 * 24 / 10


def test_a_directory_is_whole_or_not_there(tmp_path):
    path = tmp_path / "set"
    for error in (KeyboardInterrupt(), OSError(5, "input/output error")):
        with (
            pytest.raises((KeyboardInterrupt, ZeldoError)) as caught,
            writing_directory(path) as temporary,
        ):
            (temporary / "part.0").write_text("half")
            raise error
        assert not isinstance(caught.value, OSError) and not list(tmp_path.iterdir())
    with writing_directory(path) as temporary:
        (temporary / "part.0").write_text("whole")
    assert (path / "part.0").read_text() == "whole"
    with pytest.raises(InputError, match="is a file"), writing_directory(path / "part.0"):
        pytest.fail("the work was begun")


@pytest.mark.parametrize("suffix", [".zarr", ".bigfile"])
def test_a_directory_of_something_else_is_not_replaced(tmp_path, suffix):
    """Such as a universe with all its redshifts, or a store of runs."""
    small = {"n": 8, "box": 25, "power": "eisenstein-hu", "engine": "2lpt"}
    universe, mine = tmp_path / f"u{suffix}", tmp_path / f"mine{suffix}"
    zeldo.run(output=tmp_path / "u.zarr", redshift=[1, 0], **small)
    (tmp_path / "u.zarr").rename(universe)
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    for place in (universe, mine):
        with pytest.raises(InputError, match="directory of something else"):
            zeldo.write(zeldo.read(universe), place)
    with pytest.raises(InputError, match="directory of something else"):
        zeldo.convert(universe, mine)
    with pytest.raises(InputError, match="files that are read: give the output another name"):
        zeldo.convert(universe, universe)
    assert (universe / "z1").is_dir() and (mine / "thesis.tex").exists()
    new = tmp_path / f"new{suffix}"
    for _ in range(2):
        zeldo.convert(universe, new)
    (new / "notes.txt").write_text("years of work")
    with pytest.raises(InputError, match="directory of something else"):
        zeldo.convert(universe, new)
    assert (new / "notes.txt").exists()


def test_permissions_that_forbid_to_read_are_said(tmp_path, monkeypatch):
    (made,) = zeldo.run(n=8, box=25, power="eisenstein-hu", engine="2lpt", redshift=0)
    for name in ("s.npz", "s.hdf5", "s.zarr"):
        zeldo.write(made, tmp_path / name)
        with monkeypatch.context() as patched:
            patched.setattr("zeldo.files.archive.os.access", lambda path, mode: False)
            assert f"{name} may not be read" in refusal(lambda: zeldo.read(tmp_path / name))  # noqa: B023
