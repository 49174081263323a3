"""The store gives back what it was given, to its stated rounding, whole or not at all."""

import errno
import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import DamagedFileError, InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot
from zeldo.store.claims import OWNER, identity
from zeldo.store.runs import PSI_STEP, VEL_STEP, RunStore
from zeldo.version import __version__

SHARED = Path(__file__).parents[2].parent / "shared" / "reference" / "small.npz"
QUIJOTE = PRESETS["quijote"]
EH = {"power": "eisenstein-hu"}


@pytest.fixture
def ics():
    return initial_conditions(QUIJOTE, 32.0, 16, 11, **EH)


def snapshot(redshift=0.0, scale=5.0, seed=1):
    rng = np.random.default_rng(seed)
    psi, vel = (rng.standard_normal((3, 16, 16, 16)).astype("f4") for _ in range(2))
    return Snapshot(
        scale * psi, 300 * vel, 32.0, QUIJOTE, redshift, "stand-in", seed=11, settings={"steps": 3}
    )


def test_fields_come_back_within_half_a_step(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    given = snapshot()
    store.add("a", ics, [given], regenerate=EH)
    _, psi, vel = store.read("a", 0.0)
    for got, want, step in ((psi, given.psi, PSI_STEP), (vel, given.vel, VEL_STEP)):
        error = np.abs(got - want)
        assert error.max() <= 0.501 * step + 1e-6 * np.abs(want).max()
        assert np.sqrt((error**2).mean()) == pytest.approx(step / np.sqrt(12), rel=0.05)


def test_each_redshift_comes_back_as_its_own(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    given = [snapshot(z, seed=i) for i, z in enumerate((1.0, 0.5, 0.49, 0.0))]
    store.add("a", ics, given, regenerate=EH)
    for one in given:
        back = store.snapshot("a", one.redshift)
        assert back.redshift == one.redshift
        assert np.abs(back.psi - one.psi).max() < PSI_STEP and np.abs(back.vel - one.vel).max() < VEL_STEP


def test_the_largest_number_that_fits_comes_back_and_a_larger_one_is_refused(tmp_path, ics):
    store, given = RunStore(tmp_path / "s.zarr"), snapshot()
    given.psi[0, 0, 0, 0] = -32766 * PSI_STEP
    store.add("a", ics, [given])
    assert store.snapshot("a").psi[0, 0, 0, 0] == pytest.approx(-32766 * PSI_STEP)
    given.psi[0, 0, 0, 0] = 32769 * PSI_STEP  # as 16 bits it would change its sign
    with pytest.raises(InputError, match=r"psi reaches 163\.845"):
        store.add("b", ics, [given])
    assert "b" not in store


def test_velocities_are_read_only_where_they_are_wanted(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [snapshot()])
    assert store.snapshot("a", velocity=False).vel is None


def test_without_steps_fields_come_back_to_the_bit(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr", psi_step=0, vel_step=0)
    given = snapshot()
    store.add("a", ics, [given], regenerate=EH)
    np.testing.assert_array_equal(store.read("a")[1], given.psi)
    np.testing.assert_array_equal(store.read("a")[2], given.vel)


def test_a_flipped_bit_and_a_missing_chunk_are_seen(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("one", ics, [snapshot()])
    chunk = tmp_path / "s.zarr" / "one" / "z0" / "psi" / "c" / "1" / "0" / "0" / "0"
    whole, rng = chunk.read_bytes(), np.random.default_rng(2)
    for _ in range(20):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        chunk.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="psi cannot be read"):
            store.snapshot("one")
    chunk.unlink()
    with pytest.raises(DamagedFileError, match="chunks are missing"):
        store.snapshot("one")


def test_a_field_of_zeros_comes_back(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("one", ics, [snapshot(scale=0.0)])
    assert not store.snapshot("one").psi.any()


def test_the_linear_field_is_regenerated_to_the_bit(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [snapshot()], regenerate=EH)
    again = store.initial("a")
    np.testing.assert_array_equal(again.delta_lin, ics.delta_lin)
    assert (again.seed, again.box, again.cosmology) == (11, 32.0, QUIJOTE)


@pytest.mark.parametrize("phases", ["ngenic:sphere=true", "quijote:fiducial/17"])
def test_phases_of_other_codes_are_regenerated_too(tmp_path, phases):
    box = 1000.0 if phases.startswith("quijote") else 32.0
    ics = initial_conditions(QUIJOTE, box, 16, phases=phases, **EH)
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [replace(snapshot(), box=box)], regenerate=EH)
    again = store.initial("a")
    np.testing.assert_array_equal(again.delta_lin, ics.delta_lin)
    assert again.phases == store.snapshot("a").phases == phases


def test_runs_say_how_their_field_was_drawn(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [snapshot()], regenerate=EH)
    store.add("b", ics, [snapshot()])
    for one in (store.snapshot("a"), store.initial("a")):
        assert (one.fixed, one.flip, one.power, one.phases) == (False, False, "eisenstein-hu", "native")
    for one in (store.snapshot("b"), store.initial("b")):
        assert one.fixed is one.flip is one.power is one.phases is None


def test_a_linear_field_without_a_seed_is_stored(tmp_path, ics):
    foreign = InitialConditions(ics.box, ics.n, QUIJOTE, ics.delta_lin)
    store = RunStore(tmp_path / "s.zarr")
    with pytest.raises(InputError, match="no seed"):
        store.add("a", foreign, [snapshot()], regenerate={})
    store.add("a", foreign, [snapshot()])
    assert np.abs(store.initial("a").delta_lin - ics.delta_lin).max() < 2e-5 * np.abs(ics.delta_lin).max()


def test_another_linear_field_from_the_same_seed_is_found_out(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", replace(ics, delta_lin=ics.delta_lin * 1.01), [snapshot()], regenerate=EH)
    with pytest.raises(DamagedFileError, match="another linear field"):
        store.initial("a")


def test_other_phases_of_the_same_amplitudes_are_found_out(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", replace(ics, delta_lin=np.roll(ics.delta_lin, 1, 0)), [snapshot()], regenerate=EH)
    with pytest.raises(DamagedFileError, match="another linear field"):
        store.initial("a")


def test_the_manifest_has_one_row_a_run(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    store.add("b", ics, [snapshot(1.0), snapshot(0.0)], regenerate=EH, part="test", wall_seconds=4.5)
    store.add("a", ics, [snapshot()], regenerate=EH)
    rows = RunStore(tmp_path / "s.zarr", create=False).runs()
    assert [row["run_id"] for row in rows] == ["a", "b"]
    expected = {
        "seed": 11,
        "box": 32.0,
        "n": 16,
        "redshifts": [1.0, 0.0],
        "engine": "stand-in",
        "part": "test",
    }
    expected |= {"settings": {"steps": 3}, "wall_seconds": 4.5, "status": "complete"}
    assert {key: rows[1][key] for key in expected} == expected
    store.write_manifest(tmp_path / "m.jsonl")
    assert [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()] == rows


def test_snapshots_of_another_cosmology_than_the_linear_field_are_refused(tmp_path, ics):
    store, other = RunStore(tmp_path / "s.zarr"), replace(QUIJOTE, omega_m=0.3)
    with pytest.raises(InputError, match="of another lattice or cosmology than the initial conditions"):
        store.add("a", ics, [replace(snapshot(), cosmology=other)], regenerate=EH)
    assert "a" not in store


def test_a_run_that_breaks_off_leaves_nothing(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")

    def broken():
        yield snapshot(1.0)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        store.add("a", ics, broken(), regenerate=EH)
    assert "a" not in store
    assert [p.name for p in (tmp_path / "s.zarr").iterdir()] == ["zarr.json"]


def test_what_a_killed_process_left_is_removed_and_never_listed(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    left = tmp_path / "s.zarr" / ".partial-a-99999-1"
    zarr.open_group(left, mode="w")
    assert len(store) == 0
    store.add("a", ics, [snapshot()], regenerate=EH)
    assert not left.exists()
    assert store.run_ids() == ["a"]


def test_what_another_process_writes_of_a_run_with_a_longer_name_is_kept(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    theirs = tmp_path / "s.zarr" / ".partial-a-1-99999-1"
    zarr.open_group(theirs, mode="w")
    store.add("a", ics, [snapshot()], regenerate=EH)
    assert theirs.exists()


def test_of_two_that_make_a_run_the_first_counts(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")

    def slow():
        RunStore(tmp_path / "s.zarr").add("a", ics, [snapshot()], regenerate=EH, part="test")
        yield snapshot()

    assert store.add("a", ics, slow(), regenerate=EH, part="train")["part"] == "test"
    assert store.run_ids() == ["a"] and not list((tmp_path / "s.zarr").glob(".partial*"))


def test_a_claimed_run_is_made_once(tmp_path):
    store = RunStore(tmp_path / "s.zarr")
    with store.claim("a") as mine, RunStore(tmp_path / "s.zarr").claim("a") as theirs:
        assert (mine, theirs) == (True, False)
    with store.claim("a") as mine:
        assert mine


def test_a_run_is_claimed_on_a_disk_without_locks(tmp_path, monkeypatch):
    def refuses(*given):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuses)
    store = RunStore(tmp_path / "s.zarr")
    with store.claim("a") as ours, store.claim("a") as theirs:
        assert (ours, theirs) == (True, False)


def test_any_zarr_reader_opens_it(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    given = snapshot(0.5)
    store.add("a", ics, [given], regenerate=EH)
    array = zarr.open_group(tmp_path / "s.zarr", mode="r")["a"]["z0.5"]["psi"]
    assert array.dtype == np.int16
    np.testing.assert_allclose(array[...] * array.attrs["step"], given.psi, atol=0.6 * PSI_STEP)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s, i: s.add("a", i, [snapshot()], regenerate=EH), "already"),
        (lambda s, i: s.add("b/c", i, [snapshot()]), "not a name for a run"),
        (lambda s, i: s.add("b", i, []), "no snapshot"),
        (lambda s, i: s.add("b", i, [snapshot(scale=100)]), "choose larger steps"),
        (lambda s, i: s.add("b", i, [replace(snapshot(), box=33.0)]), "another lattice"),
        (lambda s, i: s.read("a", 2.0), "no redshift 2: choose one of 0"),
        (lambda s, i: s.read("aa"), "did you mean 'a'"),
        (lambda s, i: RunStore(s.path.parent), "not a store of runs"),
        (lambda s, i: RunStore(s.path.parent / "x", create=False), "zeldo dataset"),
        (lambda s, i: RunStore(s.path, psi_step=-1), "psi_step"),
    ],
)
def test_bad_input_is_named(tmp_path, ics, call, words):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [snapshot()], regenerate=EH)
    with pytest.raises(InputError, match=words):
        call(store, ics)


@pytest.mark.skipif(not SHARED.exists(), reason="the reference runs are not here")
def test_rounding_and_compression_save_two_thirds_on_a_real_run(tmp_path):
    file = np.load(SHARED)
    # the file's own steps are coarse: what they cut off is filled up, or compression would look too good
    fields = {}
    for name in ("psi", "vel"):
        step = float(file[f"{name}_step"])
        noise = np.random.default_rng(0).random((3, 64, 64, 64), dtype="f4") - 0.5
        fields[name] = ((file[f"{name}_z0"] + noise) * step).astype("f4")
    ics = InitialConditions(125.0, 64, QUIJOTE, np.zeros((64, 64, 64), "f4"), 1)
    run = Snapshot(fields["psi"], fields["vel"], 125.0, QUIJOTE, 0.0, "reference")
    size = {}
    for label, steps in (("rounded", {}), ("float32", {"psi_step": 0, "vel_step": 0})):
        store = RunStore(tmp_path / label, **steps)
        size[label] = store.add("a", ics, [run], regenerate={})["bytes"]
    raw = 6 * 4 * 64**3
    assert size["rounded"] < 0.36 * raw  # 0.33 measured, float32 0.84
    assert size["rounded"] < 0.45 * size["float32"]


def test_a_component_beyond_the_largest_chunk_is_divided(tmp_path, ics, monkeypatch):
    monkeypatch.setattr("zeldo.store.fields.MOST_BYTES", 3 * 2 * ics.n**2)  # three planes of int16
    store = RunStore(tmp_path / "s.zarr")
    store.add("one", ics, [snapshot()])
    assert (tmp_path / "s.zarr" / "one" / "z0" / "psi" / "c" / "1" / "1" / "0" / "0").exists()
    whole = RunStore(tmp_path / "t.zarr")
    monkeypatch.undo()
    whole.add("one", ics, [snapshot()])
    np.testing.assert_array_equal(store.snapshot("one").psi, whole.snapshot("one").psi)


def test_a_run_says_what_made_it(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    given = replace(snapshot(), revision=3, weights="abc", version=__version__)
    row = store.add("a", ics, [given], regenerate=EH, teacher="dynamics")
    assert (row["revision"], row["weights"]) == (3, "abc")
    back = store.snapshot("a")
    assert (back.revision, back.weights, back.version) == (3, "abc", __version__)
    for engine in ("stand-in", "dynamics"):
        store.check_provenance(engine, Provenance(__version__, 3, "abc"))
        for other in (Provenance(__version__, 4, "abc"), Provenance(__version__, 3, "abd")):
            with pytest.raises(InputError, match=f"holds runs of {engine} that others may not join"):
                store.check_provenance(engine, other)
    store.check_provenance("another", Provenance(__version__, 4, "abd"))


def test_what_ended_processes_left_is_removed_and_no_more(tmp_path):
    store = RunStore(tmp_path / "s.zarr")
    if identity()["machine"] is None:
        pytest.skip("the system does not tell processes apart")
    ours, theirs = (store.path / f".partial-{run}-{os.getpid() + i}-1" for i, run in enumerate("ab"))
    claim = store.path / ".claims" / "a.0"
    for folder in (ours, theirs, claim):
        folder.mkdir(parents=True)
    (claim / OWNER).write_text(json.dumps({**identity(), "started": "0"}))
    store.tidy([os.getpid()])
    assert (ours.exists(), theirs.exists(), claim.exists()) == (False, True, False)


def test_a_run_of_another_revision_or_of_other_weights_is_not_added(tmp_path, ics):
    store = RunStore(tmp_path / "s.zarr")
    given = replace(snapshot(), revision=3, weights="abc")
    store.add("a", ics, [given])
    for other in (replace(given, revision=4), replace(given, weights="abd")):
        with pytest.raises(InputError, match="holds runs of stand-in that others may not join"):
            store.add("b", ics, [other])
    assert store.run_ids() == ["a"]
