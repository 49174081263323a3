"""What an emulator says of its own work: the errors to expect, and the share of the network."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

import zeldo
from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.emulator import Emulator
from zeldo.engines.parsing import parse_engine
from zeldo.engines.pm import ParticleMesh
from zeldo.engines.streamed_emulator import StreamedEmulator, _Crops
from zeldo.engines.trained import shipped_weights
from zeldo.errors import InputError
from zeldo.files import universe_zarr
from zeldo.files.universe_zarr import UniverseZarr
from zeldo.mesh.numba_gravity import NumbaGravity
from zeldo.networks.weights import load, save
from zeldo.store.universe import run_into


@pytest.fixture(scope="module")
def ics():
    return zeldo.initial_conditions(box=62.5, n=32, seed=3, power="eisenstein-hu")


@pytest.mark.parametrize("preset", ["accurate", "fast"])
def test_the_shipped_presets_say_what_errors_to_expect(ics, preset):
    now, early = (next(iter(Emulator(preset=preset).run(ics, [z]))) for z in (0.0, 3.0))
    expected = now.expected_error
    nyquist = np.pi * 32 / 62.5
    assert 0.9 * nyquist < max(expected["k"]) <= nyquist
    for field in ("density", "displacement", "velocity"):
        for figure in ("power", "one_minus_r2"):
            assert len(expected[f"{field} {figure}"]) == len(expected["k"])
    assert np.all(np.diff(expected["density one_minus_r2"]) > 0)
    assert early.expected_error["density one_minus_r2"][6] < 0.3 * expected["density one_minus_r2"][6]


def test_beyond_its_ranges_it_does_not_say(ics):
    outside, inside = Emulator(extrapolate=True).run(ics, [4.0, 3.0])
    assert outside.expected_error is None and inside.expected_error is not None


@pytest.mark.parametrize(("parameter", "value"), [("n_s", 0.6), ("h", 0.4), ("omega_b", 0.1)])
def test_cosmologies_unlike_those_of_its_training_are_refused(parameter, value):
    with pytest.raises(
        InputError, match=f"{parameter} = {value} is outside the range that the network's card"
    ):
        zeldo.run(n=16, box=32, **{parameter: value})


def test_dynamics_that_have_changed_since_the_training_are_refused(ics, monkeypatch):
    monkeypatch.setattr(ParticleMesh, "revision", 2)
    with pytest.raises(
        InputError, match="learned to correct revision 1 of pm, which has revision 2 now: train it"
    ):
        list(Emulator().run(ics, [0.0]))
    (snapshot,) = Emulator(extrapolate=True).run(ics, [0.0])
    assert snapshot.expected_error is None and snapshot.correction is not None
    assert snapshot.settings["dynamics_revision"] == 2


def test_progress_never_falls_and_ends_at_its_total():
    small, told = zeldo.initial_conditions(box=31.25, n=16, power="eisenstein-hu"), []
    list(Emulator(preset="fast").run(small, [1.0, 0.0], lambda done, total, text: told.append(done / total)))
    assert told == sorted(told) and told[0] == 0 and told[-1] == 1
    assert told.count(0.25) == 1 == told.count(0.75)  # where the dynamics end


def test_nothing_of_a_redshift_is_kept_while_the_dynamics_run_to_the_next(ics, monkeypatch):
    from zeldo.engines import emulator
    from zeldo.networks import field

    alive, kept = [], []

    def run_dynamics(*arguments, **options):
        gc.collect()
        kept.extend(array() is not None for array in alive)
        run = carried(*arguments, **options)
        alive.extend(weakref.ref(array) for array in (run.snapshot.psi, run.snapshot.vel, run.force))
        return run

    def predict(*arguments, **options):
        made = predicted(*arguments, **options)
        alive.extend(weakref.ref(array) for array in (made.psi, made.vel))
        return made

    carried, predicted = emulator.run_dynamics, field.predict
    monkeypatch.setattr(emulator, "run_dynamics", run_dynamics)
    monkeypatch.setattr(field, "predict", predict)
    for snapshot in Emulator().run(ics, [1.0, 0.0]):
        del snapshot
    assert kept == 5 * [False]


def test_a_network_whose_output_is_not_finite_leaves_no_file(ics, tmp_path):
    net = load(Emulator().path)
    with torch.no_grad():
        net.last_convolutions()[0].bias[:] = 3e38
    save(net, tmp_path / "net.safetensors", net.card)
    with pytest.raises(zeldo.ZeldoError, match="output is not finite"):
        zeldo.run(engine=tmp_path / "net.safetensors", ics=ics, output=tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_the_share_of_the_network_is_that_of_what_it_added(ics):
    emulator = Emulator()
    (made,) = emulator.run(ics, [0.0])
    (carried,) = parse_engine(str(emulator.settings["dynamics"])).run(ics, [0.0])
    for name, ours, theirs in (
        ("displacement", made.psi, carried.psi),
        ("velocity", made.vel, carried.vel),
    ):
        share = np.sqrt(((ours - theirs) ** 2).sum() / (ours**2).sum())
        assert made.correction[name] == pytest.approx(share, rel=0.01)
        assert 0 < share < 1
    assert made.correction["displacement"] < 0.1


@pytest.mark.parametrize("preset", ["accurate", "fast"])
def test_with_its_particles_on_disk_it_says_the_same(ics, tmp_path, preset, monkeypatch):
    """Also when it is killed between two blocks, so that what it says comes from two processes."""
    monkeypatch.setattr(universe_zarr, "LARGEST_TILE", 16)
    engine, redshifts, path = Emulator(preset=preset), [1.0, 0.0], tmp_path / "u.zarr"
    write, left = UniverseZarr.write_tile, 13

    def killed(self, *values):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        write(self, *values)

    monkeypatch.setattr(UniverseZarr, "write_tile", killed)
    with pytest.raises(KeyboardInterrupt):
        run_into(path, engine, ics, redshifts, streamed=True)
    for made, whole in zip(
        run_into(path, engine, ics, redshifts, streamed=True), engine.run(ics, redshifts), strict=True
    ):
        assert np.abs(made.psi - whole.psi).max() < 0.02 * np.abs(whole.psi).max()
        assert made.correction == pytest.approx(whole.correction, rel=0.006)
        assert made.expected_error.keys() == whole.expected_error.keys()
        for name, values in whole.expected_error.items():
            assert made.expected_error[name] == pytest.approx(values, rel=0.006)


def test_the_mesh_of_the_dynamics_is_gone_before_the_density_takes_one(ics, tmp_path, monkeypatch):
    meshes, density = [], StreamedEmulator._density

    def count():
        return sum(type(thing) is NumbaGravity for thing in gc.get_objects())

    def watched(*given):
        meshes.append(count())
        density(*given)

    gc.collect()
    before = count()

    monkeypatch.setattr(StreamedEmulator, "_density", watched)
    run_into(tmp_path / "u.zarr", Emulator(preset="fast"), ics, [0.0], streamed=True)
    assert meshes == [before]


def test_blocks_that_no_tiles_fill_are_not_planned_on_disk():
    """The tiles of a universe of 250^3 have 125 cells a side, and those of the network an even number."""
    fast = Emulator(preset="fast")
    assert fast.plan_streamed(250) is None
    assert fast.plan_streamed(252) is not None


def test_with_its_particles_on_disk_it_has_the_tiles_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(universe_zarr, "LARGEST_TILE", 8)
    read, encoded = [], _Crops.encoded
    monkeypatch.setattr(_Crops, "encoded", lambda *given: read.append(given[-1]) or encoded(*given))
    small = zeldo.initial_conditions(box=31.25, n=16, seed=3, power="eisenstein-hu")
    engine = Emulator(preset="fast", tiles=4)
    assert engine.plan_streamed(16).tiles == 4
    run_into(tmp_path / "u.zarr", engine, small, [0.0], streamed=True)
    assert read == 64 * [4 + 2 * 8]  # with the halo
    for tiles in (1, 3, 16):
        with pytest.raises(InputError, match=f"tiles = {tiles} .* leave tiles out, .* give one of 2, 4, 8$"):
            Emulator(tiles=tiles).plan_streamed(16)


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".zarr"])
def test_files_keep_it(ics, tmp_path, suffix):
    (snapshot,) = zeldo.engine("2lpt").run(ics, [0.0])
    told = {"k": [0.1, 0.2], "density power": [0.01, 0.02]}
    marked = replace(snapshot, expected_error=told, correction={"displacement": 0.01})
    back = zeldo.read(zeldo.write(marked, tmp_path / f"out{suffix}"))
    assert back.expected_error == told and back.correction == {"displacement": 0.01}
    bare = zeldo.read(zeldo.write(snapshot, tmp_path / f"bare{suffix}"))
    assert bare.expected_error is None and bare.correction is None


def test_a_comparison_carries_it(ics):
    (snapshot,) = zeldo.engine("2lpt").run(ics, [0.0])
    told = {"k": [0.1], "density power": [0.01]}
    compared = zeldo.compare_snapshots(replace(snapshot, expected_error=told), snapshot)
    assert compared.expected_error == told == compared.to_dict()["expected_error"]


def test_the_card_says_on_which_runs_it_was_measured():
    card = load(Emulator().path).card
    assert "test runs" in card.accuracy["expected"]["runs"]


def test_a_field_of_another_redshift_or_unit_has_no_expected_error():
    ics = zeldo.initial_conditions(box=32, n=16, power="eisenstein-hu")
    loud = replace(ics, delta_lin=30 * ics.delta_lin)
    with pytest.warns(zeldo.errors.ZeldoWarning, match="in the right units"):
        (snapshot,) = zeldo.run(ics=loud, engine="emulator")
    assert snapshot.expected_error is None and snapshot.correction is not None


def test_a_universe_without_structure_is_no_reason_to_warn(recwarn):
    ics = zeldo.initial_conditions(box=32, n=16, power="eisenstein-hu")
    (snapshot,) = zeldo.run(ics=replace(ics, delta_lin=0 * ics.delta_lin), engine="emulator")
    assert snapshot.expected_error is None and not recwarn.list


def test_every_redshift_must_be_in_the_range_of_the_card(monkeypatch):
    engine = zeldo.engine("emulator")
    (card,) = engine._cards
    late = [replace(card, redshift=(1.0, 3.0))]
    monkeypatch.setattr(type(engine), "_cards", property(lambda _: late))
    spacing = sum(card.spacing) / 2
    engine.check_universe(PRESETS["quijote"], spacing, [3.0, 1.0])
    for redshifts in ([3.5, 2.0], [2.0, 0.5]):
        with pytest.raises(InputError, match="redshift"):
            engine.check_universe(PRESETS["quijote"], spacing, redshifts)


def test_a_file_that_is_replaced_brings_its_own_dynamics(tmp_path):
    net, path = load(shipped_weights("emulator")), tmp_path / "own.safetensors"
    options = net.card.options["engine_options"]
    fewer = replace(net.card, options={**net.card.options, "engine_options": {**options, "steps": 5}})
    save(net, path, fewer)
    engine = zeldo.engine(str(path))
    assert "steps=5" in engine.settings["dynamics"]
    save(net, path, net.card)
    assert "steps=13" in engine.settings["dynamics"]
