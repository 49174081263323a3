"""Samples: linear fields grown to their redshift, turned and cut like their targets, seen in the units of the card."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from teachers import second_order
from zeldo.configuration import load
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.files import write
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import linear_displacement
from zeldo.initial.recovery import shifted
from zeldo.networks.tasks import make_task
from zeldo.networks.tasks.units import lcdm
from zeldo.networks.vnet import VNet
from zeldo.store.runs import RunStore
from zeldo.training.config import DataConfig, NetworkConfig
from zeldo.training.players import make_network
from zeldo.training.sample import collate
from zeldo.training.samples import Samples
from zeldo.training.validation import predict, score

TASK = make_task("deoliveira2020", loss_weight=2.0)


def test_linear_displacements_have_grown_to_the_redshifts_of_the_data(tmp_path):
    """In units of 6 D of the reference cosmology, at each redshift of a run."""
    drawn = {"power": "eisenstein-hu"}
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, **drawn)
    store = RunStore(tmp_path / "runs.zarr")
    store.add("a", ics, second_order(ics, [1.0, 0.0]), regenerate=drawn)
    samples = Samples(load({"store": store.path, "redshifts": [0.0, 1.0]}, DataConfig), TASK)
    assert samples.keys("train") == [("a", 1.0), ("a", 0.0)]
    for key in samples.keys("train"):
        a = 1 / (1 + key[1])
        d1, unit = growth(ics.cosmology).d1(a), 6 * growth(lcdm(0.31)).d1(a)
        sample = samples.get(key)
        np.testing.assert_allclose(unit * sample.inputs, d1 * linear_displacement(ics), rtol=1e-6)
        np.testing.assert_array_equal(sample.psi, store.read(*key)[1])
        assert (sample.redshift, sample.spacing) == (key[1], 4.0)


def test_inputs_are_made_where_the_particles_of_the_target_set_out(tmp_path):
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, power="eisenstein-hu")
    between = replace(ics, delta_lin=shifted(ics.delta_lin, (-0.5, -0.5, -0.5)))
    (target,) = engine("zeldovich").run(between, [1.0])
    path = write(replace(target, offset=(0.5, 0.5, 0.5)), tmp_path / "z1.npz")
    given = {"snapshots": [{"path": path}], "redshifts": [1.0]}
    sample = Samples(load(given, DataConfig), TASK).get((str(path), 1.0))
    unit = 6 * growth(lcdm(0.31)).d1(0.5)
    np.testing.assert_allclose(unit * sample.inputs, sample.psi, atol=1e-4 * target.psi.std())
    given["snapshots"][0]["linear"] = write(target, tmp_path / "linear.npz")
    with pytest.raises(InputError, match=r"has its lattice at .* give `initial`"):
        Samples(load(given, DataConfig), TASK).get((str(path), 1.0))


def test_particles_at_the_start_of_a_run_are_initial_conditions_of_its_end(tmp_path):
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, power="eisenstein-hu")
    start, end = engine("zeldovich").run(ics, [49.0, 0.0])
    paths = {"path": write(end, tmp_path / "end.hdf5"), "initial": write(start, tmp_path / "start.hdf5")}
    sample = Samples(load({"snapshots": [paths]}, DataConfig), TASK).get((str(paths["path"]), 0.0))
    unit = 6 * growth(lcdm(0.31)).d1(1.0)
    np.testing.assert_allclose(unit * sample.inputs, end.psi, atol=1e-4 * end.psi.std())


def test_files_that_lack_their_cosmology_and_directories_are_read(tmp_path):
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, power="eisenstein-hu")
    start, end = engine("zeldovich").run(ics, [49.0, 0.0])
    write(start, tmp_path / "start", format="bigfile")  # says neither sigma_8 nor n_s
    pair = {"path": write(end, tmp_path / "end", format="gadget-binary"), "initial": tmp_path / "start"}
    pair["cosmology"] = PRESETS["quijote"].to_dict()
    sample = Samples(load({"snapshots": [pair]}, DataConfig), TASK).get((str(pair["path"]), 0.0))
    assert sample.setting.cosmology == PRESETS["quijote"]
    with pytest.raises(InputError, match="pass the cosmology"):
        Samples(load({"snapshots": [pair | {"cosmology": None}]}, DataConfig), TASK).get(
            (str(pair["path"]), 0.0)
        )
    with pytest.raises(InputError, match="absent does not exist"):
        Samples(load({"snapshots": [pair | {"initial": tmp_path / "absent"}]}, DataConfig), TASK)


@pytest.mark.parametrize("kind", ["initial", "linear"])
@pytest.mark.parametrize(
    "change", [{"n": 8}, {"box": 128.0}, {"cosmology": replace(PRESETS["quijote"], sigma_8=0.5)}]
)
def test_a_linear_field_of_another_universe_with_the_same_phases_is_refused(tmp_path, kind, change):
    universe = {"cosmology": PRESETS["quijote"], "box": 64.0, "n": 16, "seed": 3, "power": "eisenstein-hu"}
    (end,) = engine("zeldovich").run(initial_conditions(**universe), [0.0])
    (start,) = engine("zeldovich").run(initial_conditions(**universe | change), [49.0])
    pair = {"path": write(end, tmp_path / "end.hdf5"), kind: write(start, tmp_path / "start.hdf5")}
    samples = Samples(load({"snapshots": [pair]}, DataConfig), TASK)
    with pytest.raises(
        InputError, match=rf"start\.hdf5 has {next(iter(change))} = .*both must be one universe"
    ):
        samples.get((str(pair["path"]), 0.0))


def test_a_target_of_other_phases_is_refused_where_its_largest_waves_are_alike(tmp_path):
    ics, other = (
        initial_conditions(PRESETS["quijote"], 64.0, 16, seed, power="eisenstein-hu") for seed in (3, 4)
    )
    (end,), (start,) = engine("zeldovich").run(ics, [0.0]), engine("zeldovich").run(other, [49.0])
    modes, largest = np.fft.rfftn(start.psi, axes=(1, 2, 3)), np.fft.rfftn(end.psi, axes=(1, 2, 3))
    for shift in ((0, 0), (0, 1), (1, 0), (-1, 0), (0, -1)):  # those of one or two waves across the box
        modes[:, shift[0], shift[1], :2] = largest[:, shift[0], shift[1], :2] * growth(ics.cosmology).d1(0.02)
    start = replace(start, psi=np.fft.irfftn(modes, s=3 * [16], axes=(1, 2, 3)).astype(np.float32))
    assert np.corrcoef(start.psi.ravel(), end.psi.ravel())[0, 1] > 0.3
    pair = {"path": write(end, tmp_path / "end.npz"), "linear": write(start, tmp_path / "start.npz")}
    with pytest.raises(InputError, match="correlate by"):
        Samples(load({"snapshots": [pair]}, DataConfig), TASK).get((str(pair["path"]), 0.0))


def test_the_card_names_all_engines_that_made_the_runs(tmp_path):
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, power="eisenstein-hu")
    store = RunStore(tmp_path / "runs.zarr")
    for name in ("zeldovich", "2lpt"):
        store.add(name, ics, list(engine(name).run(ics, [0.0])), regenerate={"power": "eisenstein-hu"})
    samples = Samples(load({"store": store.path}, DataConfig), TASK)
    assert samples.described(samples.keys("train"))["engine"] == "2lpt and zeldovich"


@pytest.fixture
def equal(store, tmp_path):
    """Makes the samples of a file whose target is its linear displacement: six times the input."""
    path = write(store.snapshot("s100"), tmp_path / "s100.npz")
    return lambda **options: Samples(DataConfig(snapshots=[{"path": path, "linear": path}], **options), TASK)


@pytest.mark.parametrize("side", [0, 8])
def test_input_and_target_are_turned_moved_and_cut_alike(equal, side):
    samples, halo = equal(crop=side), 3
    (key,) = samples.keys("train")
    box = samples.get(key).psi
    around = halo if side else 0
    seen = set()
    for seed in range(8):
        drawn = samples.draw(key, np.random.default_rng(seed), halo)
        x, y = drawn.inputs, drawn.psi
        assert y.shape == (3, *3 * [side or 16]) and x.shape == (3, *3 * [(side or 16) + 2 * around])
        inside = slice(around, x.shape[-1] - around)
        np.testing.assert_allclose(6 * x[:, inside, inside, inside], y, rtol=1e-5)
        seen.add(y[:, 0, 0, 0].tobytes())
        if not side:  # all that is there, elsewhere
            np.testing.assert_array_equal(np.sort(np.abs(y), axis=None), np.sort(np.abs(box), axis=None))
    assert len(seen) == 8


def test_without_augmentation_a_box_is_as_it_is_and_a_crop_is_cut_out_of_it(equal):
    whole = equal(augment=False)
    (key,) = whole.keys("train")
    sample = whole.get(key)
    drawn = whole.draw(key, np.random.default_rng(1), 3)
    np.testing.assert_array_equal(drawn.inputs, sample.inputs)
    np.testing.assert_array_equal(drawn.psi, sample.psi)
    crop = equal(augment=False, crop=8).draw(key, np.random.default_rng(1), 3).psi
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(sample.psi, [(0, 0), *3 * [(0, 7)]], "wrap"), (3, 8, 8, 8)
    )
    assert (windows == crop).all((-1, -2, -3, -4)).sum() == 1


def test_a_box_predicted_in_tiles_is_the_box_predicted_at_once(store):
    torch.manual_seed(1)
    net = VNet(4, 2).eval()
    sample = Samples(DataConfig(store=store.path), TASK).get(("s100", 0.0))
    whole, batch = predict(net, TASK, sample)
    torch.testing.assert_close(predict(net, TASK, sample, tile=8)[0], whole, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(whole, net(batch.inputs, periodic=True), rtol=1e-4, atol=1e-4)


def test_scores_are_those_of_linear_theory_for_a_network_that_adds_nothing(store):
    net = make_network(NetworkConfig(channels=4, levels=2), TASK)
    samples = Samples(DataConfig(store=store.path), TASK)
    key = ("s104", 0.0)
    (found,) = score(net.eval(), TASK, samples, [key])
    batch = collate([samples.get(key)], torch.device("cpu"))
    assert found.loss == pytest.approx(TASK.loss(batch.inputs, batch).total.item(), rel=1e-4)
    error = (6 * batch.inputs - batch.psi).square().mean().item()
    assert found.parts["l_psi"] == pytest.approx(error, rel=1e-4)
    # from the fundamental mode, 0.1 h/Mpc, to the Nyquist frequency of the lattice, pi / 4
    for name in ("density transfer", "displacement one_minus_r2"):
        assert list(found.at[name]) == [0.1, 0.2, 0.3, 0.5, 0.7]
