"""Runs into a universe on disk: what is in it, and how they go on after kills, damage and full disks."""

import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.commands import main
from zeldo.errors import DamagedFileError
from zeldo.files import open_particles
from zeldo.files.universe_zarr import UniverseZarr, tile_of
from zeldo.store.universe import run_into

SMALL = {"n": 32, "box": 64, "power": "eisenstein-hu"}
COMMAND = ["run", "-n", "32", "--box", "64", "--power", "eisenstein-hu"]


@pytest.fixture
def tiles(monkeypatch):
    """Many tiles in a small lattice."""
    monkeypatch.setattr("zeldo.files.universe_zarr.LARGEST_TILE", 16)


def test_it_holds_what_a_run_gives(tmp_path, tiles):
    import zarr

    out = tmp_path / "u.zarr"
    made = zeldo.run(engine="cola:steps=3", redshift=[1, 0.5, 0], output=out, **SMALL)
    plain = zeldo.run(engine="cola:steps=3", redshift=[1, 0.5, 0], **SMALL)
    for a, b in zip(made, plain, strict=True):
        np.testing.assert_array_equal(a.psi, b.psi)
        np.testing.assert_array_equal(a.vel, b.vel)
        assert (a.seed, a.redshift, a.engine, a.cosmology) == (b.seed, b.redshift, b.engine, b.cosmology)
    group = zarr.open_group(out, mode="r")
    array = group["z0"]["vel"]
    assert array.metadata.dimension_names == ("component", "x", "y", "z") and array.shards == (3, 16, 16, 16)
    np.testing.assert_array_equal(UniverseZarr(out).snapshot().psi, plain[-1].psi)
    assert not list((out / ".zeldo").glob("*.npz"))


def test_its_suffix_may_be_in_capitals(tmp_path, capsys):
    out = tmp_path / "u.ZARR"
    assert main([*COMMAND, "--engine", "2lpt", "-o", str(out)]) == 0
    assert f"{out}: " in capsys.readouterr().out
    assert UniverseZarr(out).complete() == {"0": ["psi", "vel"]}


def test_it_keeps_what_an_emulator_says_of_its_work(tmp_path, monkeypatch):
    from dataclasses import replace

    from zeldo.engines.lpt import SecondOrder

    error = {"k": [0.1, 1.0], "density power": [0.01, 0.2]}
    run = SecondOrder.run

    def telling(*given):
        for made in run(*given):
            yield replace(made, expected_error=error, correction={"displacement": 0.1 + made.redshift})

    monkeypatch.setattr(SecondOrder, "run", telling)
    out = tmp_path / "u.zarr"
    arguments = {"engine": "2lpt", "redshift": [1, 0], "output": out, **SMALL}
    for made in (zeldo.run(**arguments), zeldo.run(**arguments)):
        for snapshot in made:
            assert snapshot.expected_error == error
            assert snapshot.correction == {"displacement": 0.1 + snapshot.redshift}
    assert zeldo.read(out).correction == {"displacement": 0.1}
    zeldo.convert(out, tmp_path / "u.npz")
    assert zeldo.read(tmp_path / "u.npz").expected_error == error


def test_the_same_command_again_makes_nothing(tmp_path, monkeypatch):
    out = tmp_path / "u.zarr"
    zeldo.run(engine="2lpt", output=out, **SMALL)
    monkeypatch.setattr("zeldo.engines.lpt.SecondOrder.run", lambda *given: pytest.fail("made again"))
    (again,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    assert again.psi.shape == (3, 32, 32, 32)


def test_a_damaged_tile_is_seen_and_made_again(tmp_path, tiles):
    out = tmp_path / "u.zarr"
    (made,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    psi = made.psi
    shard = out / "z0" / "psi" / "c" / "0" / "1" / "0" / "1"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(DamagedFileError):
        UniverseZarr(out).whole(0, "psi")
    others = {p: p.stat().st_mtime_ns for p in (out / "z0").rglob("*") if p.is_file() and p != shard}
    (again,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    np.testing.assert_array_equal(again.psi, psi)
    assert others == {p: p.stat().st_mtime_ns for p in others}
    shard.unlink()
    zeldo.run(engine="2lpt", output=out, **SMALL)
    np.testing.assert_array_equal(again.psi, psi)


def test_another_run_is_refused_and_says_what_differs(tmp_path, monkeypatch):
    arguments = {"engine": "cola:steps=2", "output": tmp_path / "u.zarr", **SMALL}
    zeldo.run(**arguments)
    for name, value in {"seed": 8, "box": 65, "redshift": 1, "engine": "2lpt", "n": 16}.items():
        word = "redshifts" if name == "redshift" else name
        assert f"was begun with {word} = " in refusal(
            lambda n=name, v=value: zeldo.run(**{**arguments, n: v})
        )
    assert "was begun with steps = 2, not 3" in refusal(
        lambda: zeldo.run(**{**arguments, "engine": "cola:steps=3"})
    )
    monkeypatch.setattr("zeldo.engines.cola.Cola.revision", 99)
    assert "revision" in refusal(lambda: zeldo.run(**arguments))
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "mine").write_text("kept")
    assert "not a universe" in refusal(lambda: zeldo.run(**{**arguments, "output": tmp_path / "other.zarr"}))


def test_a_damaged_checkpoint_is_begun_afresh(tmp_path, monkeypatch):
    from zeldo.store.checkpoint import Checkpoint

    arguments = {"engine": "cola:steps=6,checkpoint_minutes=0", "output": tmp_path / "u.zarr", **SMALL}
    save = Checkpoint.save

    def stop(checkpoint, done, psi, v):
        save(checkpoint, done, psi, v)
        if done == 3:
            raise RuntimeError("stopped")

    monkeypatch.setattr(Checkpoint, "save", stop)
    with pytest.raises(RuntimeError):
        zeldo.run(**arguments)
    monkeypatch.setattr(Checkpoint, "save", save)
    (checkpoint,) = (tmp_path / "u.zarr" / ".zeldo").glob("*.npz")
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 255
    checkpoint.write_bytes(data)
    (made,) = zeldo.run(**arguments)
    (plain,) = zeldo.run(engine="cola:steps=6", **SMALL)
    np.testing.assert_array_equal(made.psi, plain.psi)


def test_a_resumed_run_begins_at_its_checkpoint(tmp_path, monkeypatch):
    from zeldo.store.checkpoint import Checkpoint

    arguments = {"engine": "cola:steps=6,checkpoint_minutes=0", "redshift": [2, 0], **SMALL}
    arguments["output"] = tmp_path / "u.zarr"
    save = Checkpoint.save

    def stop(checkpoint, done, psi, v):
        save(checkpoint, done, psi, v)
        if done == 4:
            raise RuntimeError("stopped")

    monkeypatch.setattr(Checkpoint, "save", stop)
    with pytest.raises(RuntimeError):
        zeldo.run(**arguments)
    monkeypatch.setattr(Checkpoint, "save", save)
    seen = []
    made = zeldo.run(**arguments, observers=[lambda view: seen.append(view.step)])
    assert seen and min(seen) >= 4
    for a, b in zip(made, zeldo.run(engine="cola:steps=6", redshift=[2, 0], **SMALL), strict=True):
        np.testing.assert_array_equal(a.psi, b.psi)
        np.testing.assert_array_equal(a.vel, b.vel)


def test_a_network_goes_on_at_the_next_tile(tmp_path, monkeypatch):
    from zeldo.store.resume import KeptTiles

    arguments = {"engine": "vnet:tiles=2", "output": tmp_path / "u.zarr", "n": 32, "box": 62.5}
    saved = []
    save = KeptTiles.save

    def stop(kept, origin, outputs):
        save(kept, origin, outputs)
        saved.append(origin)
        if len(saved) == 5:
            raise RuntimeError("stopped")

    monkeypatch.setattr(KeptTiles, "save", stop)
    with pytest.raises(RuntimeError):
        zeldo.run(**arguments)
    monkeypatch.setattr(KeptTiles, "save", lambda kept, origin, outputs: saved.append(origin))
    damaged = next((tmp_path / "u.zarr" / ".zeldo").rglob("0-0-16.tile"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (made,) = zeldo.run(**arguments)
    assert len(saved) == 5 + 3 + 1 and saved[5] == (0, 0, 16)
    (plain,) = zeldo.run(engine="vnet:tiles=2", n=32, box=62.5)
    np.testing.assert_array_equal(made.psi, plain.psi)
    assert not list((tmp_path / "u.zarr" / ".zeldo").glob("network*"))


def test_a_full_disk_ends_with_one_line_and_a_universe_that_goes_on(tmp_path, monkeypatch, capsys, tiles):
    import errno

    out = tmp_path / "u.zarr"
    command = [*COMMAND, "--engine", "2lpt", "-o", str(out)]
    array = UniverseZarr.array
    written = []

    def full(universe, redshift, field, *, create=False):
        written.append(field)
        if create and len(written) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        return array(universe, redshift, field, create=create)

    monkeypatch.setattr(UniverseZarr, "array", full)
    assert main(command) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "no space left" in err and "resumes" in err
    monkeypatch.setattr(UniverseZarr, "array", array)
    assert 0 < len(UniverseZarr(out).done()) < 16
    assert main(command) == 0
    (plain,) = zeldo.run(engine="2lpt", **SMALL)
    np.testing.assert_array_equal(UniverseZarr(out).whole(0, "vel"), plain.vel)


@pytest.mark.parametrize(
    ("n", "side"),
    [(8, 8), (128, 128), (256, 128), (250, 125), (1024, 128), (262, 131), (514, 257), (266, 38)],
)
def test_tiles_divide_the_lattice(n, side):
    assert tile_of(n) == side


def test_what_a_kill_leaves_of_a_new_universe_is_no_obstacle(tmp_path):
    out = tmp_path / "u.zarr"
    (out / ".zeldo").mkdir(parents=True)
    zeldo.run(engine="2lpt", output=out, **SMALL)
    (out / ".zeldo" / "done.jsonl").open("a").write('["z0/psi/0')
    zeldo.run(engine="2lpt", output=out, **SMALL)


def test_it_is_read_as_any_file_is(tmp_path):
    out = tmp_path / "u.zarr"
    zeldo.run(engine="2lpt", redshift=[1, 0], output=out, **SMALL)
    (plain,) = zeldo.run(engine="2lpt", **SMALL)
    made = zeldo.read(out)
    np.testing.assert_allclose(made.psi, plain.psi, atol=1e-5)
    assert made.redshift == 0 and made.seed == plain.seed


def test_its_particles_are_read_some_planes_at_a_time(tmp_path, monkeypatch):
    path = tmp_path / "u.zarr"
    zeldo.run(engine="2lpt", output=path, **SMALL)
    whole, calls, planes = UniverseZarr(path).snapshot(), [], UniverseZarr.planes

    def counted(universe, redshift, field, first, end):
        calls.append((field, first, end))
        return planes(universe, redshift, field, first, end)

    monkeypatch.setattr(UniverseZarr, "planes", counted)
    with open_particles(path) as particles:
        assert len(particles) == 32**3 and not calls
        for field in ("positions", "velocities"):
            rows = [particles.read(field, *slice) for slice in particles.slices()]
            np.testing.assert_array_equal(np.concatenate(rows), getattr(whole, field)())
    assert calls == [(field, first, first + 16) for field in ("psi", "vel") for first in (0, 16)]


def test_a_run_that_is_refused_leaves_the_name_free(tmp_path, capsys):
    out = tmp_path / "u.zarr"
    refused = [*COMMAND, "--engine", "emulator:tiles=100", "-o", str(out)]
    assert main(refused) == 2
    assert "tiles = 100 is not allowed" in capsys.readouterr().err and not out.exists()
    assert main([*COMMAND, "--engine", "2lpt", "-o", str(out)]) == 0
    assert main(refused) == 2
    assert out.exists()


READERS = {
    "info": lambda out: main(["info", str(out)]),
    "measure": lambda out: main(["measure", str(out), "-s", "power"]),
    "convert": lambda out: main(["convert", str(out), str(out.with_suffix(".npz"))]),
    "show": lambda out: main(["show", str(out), "-o", str(out.with_suffix(".png"))]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("after", [1, 8, 11])  # tiles: within psi, before vel is begun, and within it
def test_an_unfinished_universe_is_not_read(tmp_path, monkeypatch, capsys, tiles, reader, after):
    from zeldo.store import universe

    out, write, written = tmp_path / "u.zarr", universe._write, []

    def stopped(*given):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(write(*given))

    command = [*COMMAND, "--engine", "2lpt", "-z", "1", "-z", "0", "-o", str(out)]
    monkeypatch.setattr(universe, "_write", stopped)
    assert main(command) == 130
    capsys.readouterr()
    assert READERS[reader](out) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "is not finished at z = 0: run the command" in said.err


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", ["shard", "field", "shard of a copy"])
def test_a_universe_that_lacks_data_is_not_read(tmp_path, capsys, tiles, reader, what):
    out = tmp_path / "u.zarr"
    zeldo.run(engine="2lpt", output=out, **SMALL)
    if what == "field":
        shutil.rmtree(out / "z0" / "vel")
    else:
        (out / "z0" / "psi" / "c" / "0" / "1" / "0" / "1").unlink()
    if what == "shard of a copy":
        shutil.rmtree(out / ".zeldo")
    assert READERS[reader](out) in (1, 2)
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and str(out) in said.err
    assert ("has no vel" if what == "field" else "lacks tiles of psi") in said.err


def test_of_two_processes_one_makes_it_and_the_other_waits(tmp_path, monkeypatch):
    from zeldo.engines.lpt import SecondOrder

    out, run, making, texts = tmp_path / "u.zarr", SecondOrder.run, [], []
    given = {"engine": "2lpt", "output": out, **SMALL}

    def slow(*given):
        making.append(1)
        if len(making) == 1:
            other.start()
            while not texts and len(making) == 1 and other.is_alive():
                time.sleep(0.01)
        yield from run(*given)

    other = threading.Thread(
        target=lambda: zeldo.run(progress=lambda *said: texts.append(said[2]), **given), daemon=True
    )
    monkeypatch.setattr(SecondOrder, "run", slow)
    zeldo.run(**given)
    other.join(timeout=60)
    assert not other.is_alive() and len(making) == 1
    assert texts[0] == "waiting for the process that makes it"
    assert {path.name for path in (out / ".zeldo").iterdir()} == {"done.jsonl", "complete.json"}


def test_of_two_processes_that_begin_a_field_at_once_both_write_it(tmp_path, monkeypatch, tiles):
    """One looks for an array just before the other makes it."""
    import zarr

    (made,) = zeldo.run(engine="2lpt", output=tmp_path / "u.zarr", **SMALL)
    there = UniverseZarr(tmp_path / "u.zarr")
    psi, look, looks = made.psi, zarr.open_array, []

    def early(*given, **named):
        looks.append(None)
        if len(looks) == 1:
            raise FileNotFoundError
        return look(*given, **named)

    monkeypatch.setattr(zarr, "open_array", early)
    monkeypatch.setattr(zarr.Group, "__contains__", lambda *given: False)
    there.write_tile(0.0, "psi", there.tiles[1], psi[:, *there.tiles[1].inside])
    np.testing.assert_array_equal(there.whole(0.0, "psi"), psi)


def test_a_universe_without_structure_has_all_its_tiles(tmp_path, tiles):
    flat = zeldo.InitialConditions(
        64.0, 32, zeldo.Cosmology.preset("quijote"), np.zeros((32, 32, 32), np.float32)
    )
    (made,) = zeldo.run(engine="2lpt", ics=flat, output=tmp_path / "u.zarr")
    assert not made.psi.any() and not made.vel.any()


@pytest.mark.parametrize("text", ["", "{}", '{"zarr_format": 3, "node_type": "array"}'])
def test_a_damaged_description_of_an_array_is_made_again(tmp_path, tiles, text):
    out = tmp_path / "u.zarr"
    (made,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    psi, description = made.psi, out / "z0" / "psi" / "zarr.json"
    whole, shard = description.read_text(), out / "z0" / "psi" / "c" / "0" / "1" / "0" / "1"
    written = shard.stat().st_mtime_ns
    description.write_text(text)
    (again,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    np.testing.assert_array_equal(again.psi, psi)
    assert description.read_text() == whole and shard.stat().st_mtime_ns == written


def test_a_universe_that_was_copied_without_hidden_files_is_made_again(tmp_path):
    out = tmp_path / "u.zarr"
    (made,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    psi = made.psi
    shutil.rmtree(out / ".zeldo")
    (again,) = zeldo.run(engine="2lpt", output=out, **SMALL)
    np.testing.assert_array_equal(again.psi, psi)


def test_a_changed_description_is_seen(tmp_path):
    path = tmp_path / "u.zarr"
    zeldo.run(engine="zeldovich", n=8, box=20, power="eisenstein-hu", output=path)
    file = path / "zarr.json"
    whole = file.read_text()
    for old, new in (('"box": 20', '"box": 21'), ('"sigma_8"', '"sigma8"')):
        assert old in whole
        file.write_text(whole.replace(old, new))
        assert "description is not the one that was written" in refusal(lambda: zeldo.read(path))
    file.write_text(whole)
    assert zeldo.read(path).box == 20


def test_a_universe_of_another_linear_field_is_not_gone_on_with(tmp_path):
    """Of initial conditions that somebody gave, no seed tells one field from another."""
    ics = replace(zeldo.initial_conditions(n=8, box=20, power="eisenstein-hu"), seed=None)
    engine, path = zeldo.engine("zeldovich"), tmp_path / "u.zarr"
    run_into(path, engine, ics, [0.0])
    run_into(path, engine, ics, [0.0])
    assert "linear field" in refusal(
        lambda: run_into(path, engine, replace(ics, delta_lin=-ics.delta_lin), [0.0])
    )


def test_what_was_made_before_a_run_went_wrong_is_kept(tmp_path, monkeypatch):
    from zeldo.engines.lpt import SecondOrder

    run = SecondOrder.run

    def wrong(*given):
        for made in run(*given):
            yield made if made.redshift else replace(made, psi=np.full_like(made.psi, np.nan))

    out = tmp_path / "u.zarr"
    monkeypatch.setattr(SecondOrder, "run", wrong)
    line = refusal(lambda: zeldo.run(engine="2lpt", redshift=[1, 0], output=out, **SMALL))
    assert "psi at z = 0 is not finite" in line
    assert UniverseZarr(out).complete() == {"1": ["psi", "vel"]}
