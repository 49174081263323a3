"""Sources and the memory that a user gives: what does not fit is refused before the work, in one line."""

from __future__ import annotations

import re

import pytest

import zeldo
from refusals import refusal
from test_docs import ROOT
from zeldo import measures, sources
from zeldo.commands import main
from zeldo.measuring import memory
from zeldo.measuring.memory import size_in_bytes


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same particles in a file, in a set of files, and as a universe."""
    folder = tmp_path_factory.mktemp("sources")
    made = zeldo.run(engine="2lpt", n=16, box=32, power="eisenstein-hu", output=folder / "u.zarr")
    zeldo.write(made[0], folder / "set.hdf5", files=2)
    return {
        "file": zeldo.write(made[0], folder / "file.npz"),
        "set": folder / "set.hdf5",
        "universe": folder / "u.zarr",
    }


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """Tests before this one hold more than a command does."""
    for module in (memory, sources):
        monkeypatch.setattr(module, "resident", lambda: 0.3e9)


@pytest.mark.parametrize("command", ["measure", "halos", "show"])
@pytest.mark.parametrize("kind", ["file", "set", "universe"])
def test_too_little_memory_is_refused_and_what_it_names_works(places, tmp_path, capsys, command, kind):
    arguments = [command, str(places[kind]), *(["-o", str(tmp_path / "d.png")] if command == "show" else [])]
    assert main([*arguments, "--memory", "1KB"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and str(places[kind]) in line and "1KB is available" in line
    assert not list(tmp_path.iterdir())
    enough = re.search(r"give (\w[\w.]*) or more", line)[1]
    assert main([*arguments, "--memory", enough]) == 0


def test_a_universe_that_stays_on_disk_needs_memory_for_its_mesh(places):
    """Twice as fine as the lattice by default; halos alone need none."""
    line = refusal(lambda: zeldo.measure(places["universe"], memory="1KB"))
    assert "a mesh need about 502MB" in line and "give 510MB or more, or a smaller mesh" in line
    line = refusal(lambda: zeldo.measure(places["universe"], mesh=8, memory="1KB"))
    assert "a mesh need about 500MB" in line
    line = refusal(lambda: zeldo.measure(places["universe"], "mass-function", memory="1KB"))
    assert "planes at a time need" in line and "mesh" not in line


@pytest.mark.parametrize(("mesh", "finest"), [(16, 24), (None, 32)])
def test_the_mesh_on_which_triangles_close_counts_too(places, mesh, finest):
    """Half as fine again as the lattice. With enough memory, these particles are too few."""

    def words(share):
        enough = sources.LIBRARY_BYTES + 1000 * 16**2 + sources.POINT_BYTES * finest**3
        return refusal(
            lambda: zeldo.measure(places["universe"], "bispectrum", mesh=mesh, memory=share * enough / 1e9)
        )

    assert "planes at a time and a mesh need" in words(1 - 1e-6)
    assert "too few for bispectra" in words(1 + 1e-6)


@pytest.mark.parametrize("kind", ["file", "set"])
def test_the_particles_that_the_header_counts_are_held_against_the_memory(places, kind, monkeypatch):
    """Before any of them is read. The millionth part of a limit decides."""
    monkeypatch.setattr(zeldo.Particles, "read", lambda *rows: pytest.fail("particles were read"))
    whole = sources.LIBRARY_BYTES + 400 * 16**3
    with pytest.raises(pytest.fail.Exception, match="particles were read"):
        zeldo.measure(places[kind], memory=whole / 1e9)
    line = refusal(lambda: zeldo.measure(places[kind], memory=whole * (1 - 1e-6) / 1e9))
    assert "4096 particles need about 502MB" in line and "give 510MB or more" in line


def test_one_of_several_files_is_enough_and_outputs_stay(places, tmp_path):
    output = tmp_path / "m.json"
    output.write_text("old")
    several = [zeldo.read(places["file"]), places["file"]]
    assert "file.npz" in refusal(lambda: zeldo.measure(several, output=output, memory="1MB"))
    assert output.read_text() == "old"


def test_without_a_limit_nothing_is_refused(places, monkeypatch):
    """What is free is a guess: a file that was measured before is measured still."""
    monkeypatch.setattr(memory, "available", lambda: 0.0)
    (measured,) = zeldo.measure(places["file"], "power")
    assert measured.count == 16**3
    (given,) = zeldo.measure(zeldo.read(places["file"]), "power", memory="1KB")
    assert given.count == 16**3


def test_a_fine_mesh_and_many_pixels_count(places, tmp_path):
    words = refusal(lambda: zeldo.measure(places["file"], "power", mesh=512, memory="3GB"))
    assert "4096 particles and a mesh need" in words and "or a smaller mesh" in words
    words = refusal(lambda: zeldo.show(places["file"], tmp_path / "a.png", pixels=8192, memory="3GB"))
    assert "but only 3GB is available" in words and not (tmp_path / "a.png").exists()
    assert "4096 particles and the pixels need" in words and words.endswith("or more, or fewer pixels")


@pytest.mark.parametrize("mesh", ["100000", "3000000", "1e9"])
def test_a_mesh_that_fits_nowhere_is_refused_without_a_limit(places, capsys, mesh):
    assert main(["measure", str(places["file"]), "--mesh", mesh]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"a mesh of {int(float(mesh))} points a side needs" in line
    assert "give a smaller mesh, or more memory" in line


def test_a_mesh_is_held_against_the_memory_for_particles_in_memory_too(places):
    given = zeldo.read(places["file"])
    line = refusal(lambda: zeldo.measure(given, "power", mesh=512, memory="3GB"))
    assert "a mesh of 512 points a side needs" in line and "3GB is available" in line
    assert zeldo.measure(given, "mass-function", mesh=512, memory="1GB")


def test_pixels_that_do_not_fit_are_refused_without_a_limit(places, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_machine", lambda: 1e9)
    line = refusal(lambda: zeldo.show(places["file"], tmp_path / "a.png", pixels=8192))
    assert "8192 pixels a side need" in line and "give fewer pixels, or more memory" in line


@pytest.mark.parametrize("size", [1.0, 999.0, 1e6, 451638400.0, 9.96e8, 1.2345e12])
def test_the_memory_that_is_named_is_enough(size):
    assert size <= size_in_bytes(sources._enough(size)) <= 1.1 * size


def test_the_page_says_what_is_counted():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"Each mesh point counts as {sources.POINT_BYTES} bytes" in page
    assert f"{8 * sources.POINT_BYTES} bytes per particle for\nthe default mesh, twice as fine" in page
    assert f"`measure` and `halos` allow {sources.BYTES} bytes, and `show` {measures.PICTURE_BYTES}." in page
