"""Runs whose particles are on disk, held against runs in memory, and against themselves after kills."""

import errno
import io

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.errors import DamagedFileError, ZeldoError
from zeldo.files import universe_zarr
from zeldo.files.universe_zarr import STATE, UniverseZarr
from zeldo.store.resume import Resume
from zeldo.store.slabs import SlabStore, _fill
from zeldo.store.universe import run_into

REDSHIFTS = [1.0, 0.3, 0.0]  # the middle ones lie between two steps


class KilledError(BaseException):
    """What no handler of the package catches."""


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr(universe_zarr, "LARGEST_TILE", 8)


@pytest.fixture
def ics():
    return zeldo.initial_conditions(n=16, box=40, power="eisenstein-hu")


def streamed(path, engine, ics, redshifts=REDSHIFTS):
    run_into(path, engine, ics, redshifts, streamed=True)
    universe = UniverseZarr(path)
    return {(z, field): universe.whole(z, field) for z in redshifts for field in ("psi", "vel")}


def engine_of(name):
    return zeldo.engine(name, steps=3)


MESHES = [
    ("cola", 1),
    ("pm", 1),
    ("pm", 2),
]  # coarse ones put their potential on disk, fine ones the old slabs


@pytest.mark.parametrize(("name", "mesh_factor"), MESHES)
def test_it_is_the_run_in_memory_to_rounding(name, mesh_factor, ics, tmp_path):
    engine = zeldo.engine(name, steps=3, mesh_factor=mesh_factor, nbody_start=49.0)
    # the first two lie within one step, which in cola begins without a force; one lies on a step
    redshifts = [4.0, 2.0, 1.0, 1 / 0.7 - 1, 0.3, 0.0]
    made = streamed(tmp_path / "u.zarr", engine, ics, redshifts)
    for snapshot in engine.run(ics, redshifts):
        for field in ("psi", "vel"):
            whole = getattr(snapshot, field)
            difference = made[snapshot.redshift, field] - whole
            assert difference.std() < 3e-6 * whole.std()
            assert np.abs(difference).max() < 1e-4 * whole.std()


def test_it_leaves_nothing_but_the_universe(ics, tmp_path):
    streamed(tmp_path / "u.zarr", engine_of("cola"), ics)
    assert {path.name for path in tmp_path.iterdir()} == {"u.zarr"}
    assert {path.name for path in (tmp_path / "u.zarr" / STATE).iterdir()} == {"done.jsonl", "complete.json"}


@pytest.mark.parametrize(("name", "mesh_factor"), MESHES)
def test_killed_anywhere_it_goes_on_to_the_same_bits(name, mesh_factor, ics, tmp_path, monkeypatch):
    """Killed at a write of every kind: before the journal counts a slab, and after it."""
    engine, redshifts = zeldo.engine(name, steps=3, mesh_factor=mesh_factor), [0.3, 0.0]
    whole = streamed(tmp_path / "whole.zarr", engine, ics, redshifts)
    note = SlabStore._note
    left, after = 0, False

    def killed(self, state):
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise KilledError
        note(self, state)
        if left == 0:
            raise KilledError

    monkeypatch.setattr(SlabStore, "_note", killed)
    kills, every = 0, 37  # more than 2LPT writes, which is begun afresh
    while True:
        left, after = every, kills % 2 == 1
        try:
            made = streamed(tmp_path / "killed.zarr", engine, ics, redshifts)
            break
        except KilledError:
            kills += 1
    assert kills > 1
    assert all(np.array_equal(made[key], whole[key]) for key in whole)


def test_a_killed_output_goes_on_at_its_block(ics, tmp_path, monkeypatch):
    engine = engine_of("cola")
    whole = streamed(tmp_path / "whole.zarr", engine, ics, [0.0])
    write = UniverseZarr.write_tile
    for stop in (1, 5, 9, 13):
        count = 0

        def killed(self, *values, stop=stop):
            nonlocal count
            count += 1
            if count == stop:
                raise KilledError
            write(self, *values)

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(UniverseZarr, "write_tile", killed)
            streamed(tmp_path / f"{stop}.zarr", engine, ics, [0.0])
        made = streamed(tmp_path / f"{stop}.zarr", engine, ics, [0.0])
        assert all(np.array_equal(made[key], whole[key]) for key in whole)


def test_a_damaged_slab_is_made_again(ics, tmp_path, monkeypatch):
    engine = engine_of("cola")
    whole = streamed(tmp_path / "whole.zarr", engine, ics, [0.0])
    monkeypatch.setattr(UniverseZarr, "write_tile", lambda *values: exec("raise KilledError", globals()))
    with pytest.raises(KilledError):
        streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    monkeypatch.undo()
    monkeypatch.setattr(universe_zarr, "LARGEST_TILE", 8)
    slab = next((tmp_path / "u.zarr" / STATE / "slabs").glob("psi-3.*"))
    numbers = bytearray(slab.read_bytes())
    numbers[100] ^= 1
    slab.write_bytes(numbers)
    made = streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    assert all(np.array_equal(made[key], whole[key]) for key in whole)


@pytest.mark.parametrize("journal", ["journal.0", "journal.1"])
def test_a_damaged_journal_has_another_beside_it(journal, ics, tmp_path, monkeypatch):
    engine = engine_of("cola")
    whole = streamed(tmp_path / "whole.zarr", engine, ics, [0.0])
    puts = 0
    put = SlabStore.put

    def killed(self, *values, **state):
        nonlocal puts
        puts += 1
        if puts == 90:
            raise KilledError
        put(self, *values, **state)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(SlabStore, "put", killed)
        streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    path = tmp_path / "u.zarr" / STATE / "slabs" / journal
    path.write_bytes(path.read_bytes()[:-9])
    assert SlabStore(path.parent, engine.key(ics, [0.0])).state["row"] > 0
    made = streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    assert all(np.array_equal(made[key], whole[key]) for key in whole)


def test_files_of_slabs_are_written_over(tmp_path):
    store = SlabStore(tmp_path / "slabs", "key")
    first, second = np.arange(6, dtype=np.float32), np.full(6, 7, np.float32)
    store.put({"psi": first}, 0)
    for values in (second, first, second):
        store.put({"psi": values}, 0)
        assert np.array_equal(store.get("psi", 0), values)
        assert np.array_equal(store.get("psi", 0, np.empty(6, np.float32)), values)
    assert len(list((tmp_path / "slabs").glob("psi*"))) == 2
    assert np.array_equal(SlabStore(tmp_path / "slabs", "key").get("psi", 0), second)
    assert len(list((tmp_path / "slabs").glob("psi*"))) == 1


def test_a_store_that_is_gone_on_with_writes_over_no_file_that_counts(tmp_path, monkeypatch):
    def full(store, state):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = SlabStore(tmp_path / "slabs", "key")
    for value in (1, 2):
        store.put({"psi": np.full(3, value, np.float32)}, 0)
    again = SlabStore(tmp_path / "slabs", "key")
    again.put({"vel": np.ones(5, np.float32)}, 0)
    monkeypatch.setattr(SlabStore, "_note", full)
    with pytest.raises(ZeldoError, match="no space left"):
        again.put({"psi": np.full(3, 3, np.float32)}, 0)
    assert again.get("psi", 0).tolist() == [2, 2, 2]
    monkeypatch.undo()
    assert SlabStore(tmp_path / "slabs", "key").get("psi", 0).tolist() == [2, 2, 2]


class Short(io.BytesIO):
    """It gives five bytes at a time, as systems give 2 GB of a larger slab."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:5])


def test_a_full_disk_is_said_in_a_line_where_slabs_are_dropped_too(tmp_path, monkeypatch):
    def full(store, state):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = SlabStore(tmp_path / "slabs", "key")
    store.put({"psi": np.ones(3, np.float32)}, 0)
    monkeypatch.setattr(SlabStore, "_note", full)
    for change in (lambda: store.put({}, 0, row=1), lambda: store.drop("psi")):
        with pytest.raises(ZeldoError, match=r"no space left for .* the same command resumes"):
            change()
    monkeypatch.undo()
    assert SlabStore(tmp_path / "slabs", "key").get("psi", 0).sum() == 3


def test_a_slab_that_one_call_does_not_give_is_read_whole():
    values, out = np.arange(6, dtype=np.float32), np.empty(6, np.float32)
    _fill(Short(values.tobytes()), out)
    assert np.array_equal(out, values)
    with pytest.raises(ValueError, match="too short"):
        _fill(Short(values.tobytes()[:-1]), out)


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_slabs_that_are_only_read_are_whole_or_damaged(tmp_path, monkeypatch, platform):
    monkeypatch.setattr("zeldo.store.slabs.sys.platform", platform)
    store, room = SlabStore(tmp_path / "slabs", "key"), np.empty((2, 3), np.float32)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    store.put({"psi": values}, 0)
    there = store.shared("psi", 0, room)
    assert np.array_equal(there, values) and (there is room) == (platform == "win32")
    (path,) = (tmp_path / "slabs").glob("psi*")
    for left in (5, 0):
        path.write_bytes(values.tobytes()[:left])
        with pytest.raises(DamagedFileError, match="psi"):
            store.shared("psi", 0, room)


def test_memory_decides_and_the_plan_says_it(tmp_path, monkeypatch):
    plan = zeldo.plan(engine="cola", n=512, box=1000, output=tmp_path / "u.zarr", memory="3GB")
    assert plan.fits and plan.memory_gb < 3 and plan.scratch_gb > plan.disk_gb
    roomy = zeldo.plan(engine="cola", n=64, box=128, output=tmp_path / "u.zarr")
    assert roomy.scratch_gb == 0
    line = refusal(
        lambda: zeldo.run(engine="cola", n=512, box=1000, output=tmp_path / "u.hdf5", memory="3GB")
    )
    assert ".zarr" in line
    monkeypatch.setattr("zeldo.planning.free_space", lambda folder: 1e9)
    line = refusal(
        lambda: zeldo.run(engine="cola", n=512, box=1000, output=tmp_path / "u.zarr", memory="3GB")
    )
    assert "disk" in line and not (tmp_path / "u.zarr").exists()


def test_a_run_goes_on_as_it_began_or_says_why_not(tmp_path):
    on_disk, in_memory = (tmp_path / name / ".zeldo" for name in ("disk.zarr", "memory.zarr"))
    (on_disk / "slabs").mkdir(parents=True)
    in_memory.mkdir(parents=True)
    (in_memory / "checkpoint.npz").touch()
    disk, memory = (Resume(folder, "key", lambda number: None) for folder in (on_disk, in_memory))
    assert disk.streams(usually=False, observed=False) and disk.streams(usually=True, observed=False)
    assert not memory.streams(usually=False, observed=True)
    assert "disk.zarr was begun" in refusal(lambda: disk.streams(usually=False, observed=True))
    assert "give more memory" in refusal(lambda: memory.streams(usually=True, observed=False))


@pytest.mark.parametrize(
    ("name", "options"), [("cola", {"mesh_factor": 2}), ("pm", {"device": "torch"}), ("p3m", {})]
)
def test_engines_that_need_their_particles_in_memory_say_so(name, options, ics, tmp_path):
    engine = zeldo.engine(name, **options)
    assert engine.plan_streamed(ics.n) is None
    said = refusal(lambda: run_into(tmp_path / "u.zarr", engine, ics, [0.0], streamed=True))
    assert "needs its particles in memory" in said
    assert not (tmp_path / "u.zarr").exists()


@pytest.mark.parametrize(("name", "mesh_factor"), [("cola", 1), ("pm", 2)])
def test_forces_of_particles_on_disk_are_as_sharp_as_in_memory(name, mesh_factor, tmp_path):
    ics = zeldo.initial_conditions(n=16, box=40, power="eisenstein-hu")
    engine = zeldo.engine(name, steps=3, mesh_factor=mesh_factor, sharpening=1.5)
    run_into(tmp_path / "u.zarr", engine, ics, [0.0], streamed=True)
    (snapshot,) = engine.run(ics, [0.0])
    for field in ("psi", "vel"):
        whole = getattr(snapshot, field)
        difference = UniverseZarr(tmp_path / "u.zarr").whole(0.0, field) - whole
        assert difference.std() < 3e-6 * whole.std()


def test_a_run_that_goes_on_leaves_the_last_note_of_the_one_before(tmp_path):
    """It may be killed while it writes its own."""
    store = SlabStore(tmp_path, "key")
    for row in range(3):
        store.put({"psi": np.full(4, row, np.float32)}, 0, row=row)
    whole = {path: path.read_bytes() for path in tmp_path.glob("journal.*")}
    SlabStore(tmp_path, "key").put({}, 0, row=3)
    (written,) = (path for path, content in whole.items() if path.read_bytes() != content)
    written.write_bytes(b"torn")
    assert SlabStore(tmp_path, "key").state == {"row": 2}


def test_a_damaged_output_of_a_run_that_moved_on_is_made_again(ics, tmp_path, monkeypatch):
    engine, note = engine_of("cola"), SlabStore._note
    whole = streamed(tmp_path / "whole.zarr", engine, ics, [1.0, 0.0])

    def killed(self, state):
        note(self, state)
        if state.get("outputs") == 1:
            raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(SlabStore, "_note", killed)
        streamed(tmp_path / "u.zarr", engine, ics, [1.0, 0.0])
    shard = next(path for path in (tmp_path / "u.zarr" / "z1" / "psi" / "c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-9])
    made = streamed(tmp_path / "u.zarr", engine, ics, [1.0, 0.0])
    assert all(np.array_equal(made[key], whole[key]) for key in whole)


def test_a_damaged_block_whose_slabs_are_gone_begins_the_run_afresh(ics, tmp_path, monkeypatch):
    engine, write, written = engine_of("cola"), UniverseZarr.write_tile, []
    whole = streamed(tmp_path / "whole.zarr", engine, ics, [0.0])

    def killed(self, *values):
        if len(written) == 8:  # the tiles of both fields in the first of two blocks
            raise KilledError
        written.append(write(self, *values))

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(UniverseZarr, "write_tile", killed)
        streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    shard = next(path for path in (tmp_path / "u.zarr" / "z0" / "psi" / "c" / "0" / "0").rglob("*/0"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ZeldoError, match="damaged: the same command makes it again"):
        streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    made = streamed(tmp_path / "u.zarr", engine, ics, [0.0])
    assert all(np.array_equal(made[key], whole[key]) for key in whole)
