"""Snapshots that stay in their files: the same numbers, and no memory."""

import copy
import pickle
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.errors import InputError
from zeldo.files import open_particles, read, write
from zeldo.files.saved import SavedSnapshot, saved
from zeldo.particles.snapshot import Snapshot

UNIVERSE = {"n": 16, "box": 60, "power": "eisenstein-hu", "engine": "2lpt"}


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_what_run_returns_has_the_fields_of_its_files_and_holds_none(tmp_path, suffix):
    outputs = zeldo.run(**UNIVERSE, redshift=[2, 0], output=tmp_path / f"out{suffix}")
    kept = zeldo.run(**UNIVERSE, redshift=[2, 0])
    for ours, theirs in zip(outputs, kept, strict=True):
        assert isinstance(ours, Snapshot) and isinstance(ours, SavedSnapshot)
        assert not any(isinstance(value, np.ndarray) for value in vars(ours).values())
        np.testing.assert_allclose(ours.psi, theirs.psi, rtol=0, atol=4e-6)
        np.testing.assert_allclose(ours.vel, theirs.vel, rtol=3e-7)
        np.testing.assert_allclose(ours.positions(), theirs.positions(), rtol=0, atol=1e-5)
        assert np.array_equal(ours.psi, read(ours.path).psi)
        for name in ("n", "box", "redshift", "engine", "seed", "cosmology", "particle_mass", "power"):
            assert getattr(ours, name) == getattr(theirs, name)
    assert type(kept[0]) is Snapshot


def test_fields_live_as_long_as_somebody_holds_them(snapshot, tmp_path):
    ours = saved(snapshot, write(snapshot, tmp_path / "out.npz"))
    psi = ours.psi
    assert ours.psi is psi
    alive = ours._alive["psi"]
    del psi
    assert alive() is None
    (tmp_path / "out.npz").unlink()
    assert (ours.n, ours.redshift) == (snapshot.n, snapshot.redshift)
    with pytest.raises(InputError, match="does not exist"):
        _ = ours.psi


def test_a_changed_copy_is_a_plain_snapshot(snapshot, tmp_path):
    ours = saved(snapshot, write(snapshot, tmp_path / "out.npz"))
    still = replace(ours, vel=None, engine="other")
    assert type(still) is Snapshot
    assert (still.vel, still.engine, still.seed) == (None, "other", snapshot.seed)
    np.testing.assert_array_equal(still.psi, ours.psi)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.vel, snapshot.vel)
    assert "out.npz" in repr(again)
    without = replace(snapshot, vel=None)
    assert saved(without, write(without, tmp_path / "still.npz")).vel is None


@pytest.mark.parametrize("name", ["out.hdf5", "out.zarr"])
def test_a_snapshot_is_read_from_another_working_directory(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (made,) = zeldo.run(**UNIVERSE, output=name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert made.psi.shape == (3, *3 * [made.n])
    assert pickle.loads(pickle.dumps(made)).vel is not None


@pytest.mark.parametrize("name", ["out.npz", "out.hdf5", "out.bigfile", "out.zarr"])
def test_a_file_that_a_second_run_replaced_is_not_read_for_the_first(tmp_path, name):
    path = tmp_path / name
    (first,) = zeldo.run(**UNIVERSE, seed=1, output=path)
    copies = [first, copy.copy(first), pickle.loads(pickle.dumps(first))]
    kept = first.psi
    assert all(np.array_equal(one.psi, kept) for one in copies for _ in range(2))
    del kept
    if name == "out.zarr":  # where others are refused
        shutil.rmtree(path)
    (second,) = zeldo.run(**UNIVERSE, seed=2, output=path)
    for one in copies:
        for use in (
            lambda one=one: one.psi,
            lambda one=one: one.vel,
            lambda one=one: zeldo.power_spectrum(one),
        ):
            line = refusal(use)
            assert f"{path} was written again since this run" in line and "zeldo.read" in line
    assert np.array_equal(second.psi, read(path).psi)


def test_a_snapshot_that_another_process_gets_is_of_the_file_that_was_written(snapshot, tmp_path):
    ours = saved(snapshot, write(snapshot, tmp_path / "out.npz"))
    write(replace(snapshot, psi=-snapshot.psi), ours.path)
    there = pickle.loads(pickle.dumps(ours))
    assert "was written again since this run" in refusal(lambda: there.psi)


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(snapshot, tmp_path, monkeypatch):
    ours = saved(snapshot, write(snapshot, tmp_path / "out.npz"))

    @contextmanager
    def replaced(*arguments):
        write(snapshot, ours.path)
        with open_particles(*arguments) as particles:
            yield particles

    monkeypatch.setattr("zeldo.files.saved.open_particles", replaced)
    with pytest.raises(InputError, match="was written again"):
        _ = ours.psi


def test_writing_what_is_in_a_file_reads_each_field_once_for_all_slices(tmp_path, monkeypatch):
    ours = zeldo.run(**UNIVERSE, output=tmp_path / "out.npz")[0]
    opened = []

    def counted(*given, **named):
        opened.append(given)
        return open_particles(*given, **named)

    monkeypatch.setattr("zeldo.files.saved.open_particles", counted)
    monkeypatch.setattr("zeldo.files.WRITTEN", UNIVERSE["n"] ** 2)
    again = read(write(ours, tmp_path / "again.npz"))
    assert len(opened) <= 4  # to check and to write each of two
    np.testing.assert_array_equal(again.psi, ours.psi)
    np.testing.assert_array_equal(again.vel, ours.vel)
