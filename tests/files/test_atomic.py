"""Files are whole under their name or not there: full disk, interruption, missing directory."""

import errno
import os
import subprocess
import sys

import pytest

import zeldo
from zeldo.commands import main
from zeldo.errors import InputError, ZeldoError
from zeldo.files import atomic, write
from zeldo.files.atomic import check_writable, directory, writing


def test_a_file_appears_when_it_is_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "out.npz"
    path.write_text("old")
    with writing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path  # a rename is atomic within one file system only
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        with writing(tmp_path / "out") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), InputError("no"), OSError(errno.EIO, "input/output error")]
)
def test_nothing_stands_there_after_a_failure(tmp_path, error):
    path = tmp_path / "out.npz"
    path.write_text("old")
    with pytest.raises((KeyboardInterrupt, ZeldoError)) as caught, writing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert not isinstance(caught.value, OSError)


def test_a_full_disk_is_one_line_and_no_bad_input(tmp_path):
    full = pytest.raises(ZeldoError, match=r"no space left in .* for out\.npz: 75MB needed")
    with full as caught, writing(tmp_path / "out.npz", 75_000_000) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not isinstance(caught.value, InputError)  # exit status 1, not 2
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "free", "words"),
    [
        (75_000_000, 10_000_000, "75MB needed, 10MB free"),
        (1_050_000, 1_020_000, "1.05MB needed, 1.02MB free"),
        (300_000, 0, "300KB needed, 0B free"),
    ],
)
def test_too_little_space_is_found_before_the_work(tmp_path, monkeypatch, size, free, words):
    monkeypatch.setattr(atomic, "free_space", lambda directory: free)
    with (
        pytest.raises(ZeldoError, match=words),
        writing(tmp_path / "out.npz", size),
    ):
        pytest.fail("the work was begun")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_a_write_that_the_system_cuts_off_leaves_nothing(tmp_path, suffix):
    """For real: the process may write 100 kB, the snapshot needs 150 kB."""
    code = """
import resource
import sys
import numpy as np
from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import InputError, ZeldoError
from zeldo.files import Snapshot, write
zero = np.zeros((3, 16, 16, 16), dtype=np.float32)
snapshot = Snapshot(psi=zero, vel=zero, box=16.0, cosmology=PRESETS["quijote"], redshift=0.0, engine="test")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    write(snapshot, sys.argv[1])
except ZeldoError as error:
    assert not isinstance(error, InputError)
    print(error)
"""
    path = tmp_path / f"out{suffix}"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no space left in ") and done.stdout.count("\n") == 1
    assert "needed" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_is_known_before_the_work(tmp_path):
    assert check_writable(tmp_path / "out.npz") == tmp_path / "out.npz"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="does not exist: make it first"):
        check_writable(tmp_path / "missing" / "out.npz")
    with pytest.raises(InputError, match="is a directory"):
        check_writable(tmp_path)


def test_a_directory_without_permission_is_bad_input(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(atomic.tempfile, "TemporaryFile", refuse)  # root may write anywhere
    with pytest.raises(InputError, match="is not writable"):
        check_writable(tmp_path / "out.npz")


def test_a_directory_that_stays_empty_is_not_left(tmp_path):
    new = tmp_path / "a" / "b"
    with pytest.raises(KeyboardInterrupt), directory(new):
        assert new.is_dir()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with directory(new):
        (new / "file").touch()
    with directory(new.parent):
        pass
    assert (new / "file").exists()
    with pytest.raises(InputError, match="is a file"), directory(new / "file"):
        pass


def test_a_link_stays_a_link_to_what_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.npz"
    link.symlink_to(tmp_path / "disk" / "real.npz")
    with writing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.npz").read_text() == "new"


LONG = "n" * 252  # with its suffix more than the 255 bytes that a name may have


def commands(output, file):
    universe = ["-n", "8", "--box", "16", "--power", "eisenstein-hu", "--engine", "2lpt", "-o", output]
    return {
        "run": ["run", *universe],
        "plan": ["plan", *universe],
        "measure": ["measure", file, "-o", output],
        "halos": ["halos", file, "-o", output],
        "convert": ["convert", file, output],
    }


@pytest.mark.parametrize("suffix", [".hdf5", ".zarr", ".bigfile"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("loop", "(Too many levels of symbolic links): give another name"),
        ("long", "(File name too long): give another name"),
        ("missing", "gone does not exist: make it first or write elsewhere"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_before_the_work(
    snapshot, tmp_path, monkeypatch, capsys, kind, said, suffix
):
    monkeypatch.chdir(tmp_path)
    write(snapshot, "in.npz")
    output = f"{LONG if kind == 'long' else kind}{suffix}"
    if kind != "long":
        os.symlink(output if kind == "loop" else f"gone/out{suffix}", output)
    before = sorted(os.listdir())
    monkeypatch.setattr("zeldo.api.universe_of", lambda arguments: pytest.fail("the work was begun"))
    for name, arguments in commands(output, "in.npz").items():
        if name in ("run", "plan", "convert") or suffix == ".hdf5":
            status = main(arguments)
            line = capsys.readouterr().err
            assert (status, line.count("\n")) == (2, 1), line
            assert said in line
    assert sorted(os.listdir()) == before


def test_a_directory_that_cannot_have_its_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="too long"), directory(tmp_path / LONG / (4 * LONG)):
        pytest.fail("the work was begun")
    with pytest.raises(InputError, match="too long"):
        atomic.make_directory(tmp_path / (4 * LONG))


def test_a_name_of_letters_of_four_bytes_is_written(tmp_path):
    path = tmp_path / (62 * "\N{MILKY WAY}" + ".npz")
    with writing(check_writable(path)) as temporary:
        temporary.write_text("new")
    assert [path] == list(tmp_path.iterdir())


def test_what_fails_after_the_check_is_one_line(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(atomic.tempfile, "mkstemp", refuse)
    with pytest.raises(InputError, match="is not writable"), writing(tmp_path / "out.npz"):
        pytest.fail("the work was begun")


def test_a_universe_of_zarr_arrays_is_written_where_its_link_leads(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.zarr"
    link.symlink_to(tmp_path / "disk" / "real.zarr")
    (made,) = zeldo.run(n=8, box=16, power="eisenstein-hu", engine="2lpt", output=link)
    assert link.is_symlink() and (tmp_path / "disk" / "real.zarr" / "zarr.json").exists()
    assert made.psi.shape == (3, 8, 8, 8)


def test_a_directory_that_could_not_be_replaced_is_still_there(tmp_path, monkeypatch):
    path = tmp_path / "old.bigfile"
    path.mkdir()
    (path / "data").write_text("precious")
    real, calls = os.replace, []

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(atomic.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic.writing_directory(path) as temporary:
        (temporary / "data").write_text("new")
    assert (path / "data").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
