"""Dynamics with a network behind them: trained over runs and redshifts, better than the dynamics, and an engine."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zeldo.api import plan, run
from zeldo.configuration import load as load_config
from zeldo.cosmology.parameters import PRESETS
from zeldo.datasets.config import DatasetConfig
from zeldo.datasets.dataset import make_dataset
from zeldo.engines.emulator import Emulator
from zeldo.engines.network import Network
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import engine
from zeldo.engines.trained import card_of, shipped_weights
from zeldo.errors import InputError, ZeldoWarning
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import linear_displacement
from zeldo.mesh.gravity import gravity
from zeldo.networks.arrays import read_arrays
from zeldo.networks.expected import NODES, ExpectedError, measures
from zeldo.networks.tasks import make_task
from zeldo.networks.weights import load, save
from zeldo.report.citations import cite
from zeldo.store.runs import RunStore
from zeldo.training.config import DataConfig, TrainConfig
from zeldo.training.dynamics import Dynamics
from zeldo.training.expected import measure
from zeldo.training.expected import write as put_on_card
from zeldo.training.loop import train
from zeldo.training.sample import collate
from zeldo.training.samples import Samples

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = {"box": 31.25, "n": 16, "train.runs": 4, "validation.runs": 1, "options.steps": 20}
TINY = {
    "network.channels": 4,
    "epochs": 5,
    "accelerator": "cpu",
    "devices": 1,
    "threads": 1,
    "tensorboard": False,
    "energy": False,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The configuration that the repository ships, on 16^3 particles: (its configuration, what came out)."""
    folder = tmp_path_factory.mktemp("emulator")
    data = load_config(
        CONFIGS / "dataset_emulator_tiny.toml", DatasetConfig, {**SMALL, "store": folder / "runs.zarr"}
    )
    assert not make_dataset(data).failed
    here = {"data.dataset": None, "data.store": data.store, "output": folder / "out"}
    config = load_config(CONFIGS / "emulator_tiny.toml", TrainConfig, {**TINY, **here})
    return config, train(config)


def test_it_is_better_than_its_dynamics_at_every_redshift(trained):
    config, result = trained
    task = config.task.make()
    samples = Samples(config.data, task, config.output / "dynamics")
    keys = samples.keys("validation")
    assert [z for _, z in keys] == [1.0, 0.0]
    for key in keys:
        batch = collate([samples.get(key)], torch.device("cpu"))
        alone = task.loss(batch.inputs[:, :6], batch)  # what the dynamics predict
        found = result.history[-1]["validation"][f"z = {key[1]:g}"]
        assert found["loss"] < alone.total - 0.3
        assert found["l_displacement"] < alone.parts["l_displacement"]
        assert {"density transfer", "displacement one_minus_r2", "velocity transfer"} <= found.keys()


def test_a_damaged_result_of_the_dynamics_is_made_again(trained, tmp_path):
    config, _ = trained
    samples = Samples(config.data, config.task.make(), tmp_path)
    key = samples.keys("validation")[0]
    whole = samples.get(key).inputs
    (kept,) = tmp_path.glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:1000])
    again = Samples(config.data, config.task.make(), tmp_path).get(key)
    np.testing.assert_array_equal(again.inputs, whole)


def test_dynamics_run_once_for_each_run_and_redshift(trained, monkeypatch):
    config, _ = trained
    assert len(list((config.output / "dynamics").glob("*.npy"))) == 2 * (4 + 1)
    monkeypatch.setattr("zeldo.engines.cola.Cola.evolve", lambda *_: pytest.fail("the dynamics ran again"))
    kept = Samples(config.data, config.task.make(), config.output / "dynamics")
    assert kept.get(kept.keys("train")[0]).inputs.shape == (10, 16, 16, 16)


def test_kept_dynamics_are_those_of_their_engine_options_and_universe(trained, tmp_path):
    config, _ = trained
    ics = RunStore(config.data.store).initial("s00000001")
    task = config.task.make()
    made = Dynamics(task, tmp_path).outcome(ics, 1.0)
    (alone,) = engine("cola", steps=3).run(ics, [1.0])
    again = Dynamics(task, tmp_path).outcome(ics, 1.0)
    force = gravity(ics.box, ics.n, gradient="spectral")(alone.psi)
    for each, force_at_end in (made, again):
        np.testing.assert_array_equal(each.psi, alone.psi)
        np.testing.assert_array_equal(each.vel, alone.vel)
        assert np.corrcoef(force_at_end.ravel(), force.ravel())[0, 1] > 0.95
    other, _ = Dynamics(replace(task, engine_options={"steps": 4}), tmp_path).outcome(ics, 1.0)
    assert np.abs(other.psi - alone.psi).max() > 1e-3
    twin = replace(ics, delta_lin=-ics.delta_lin)
    assert np.abs(Dynamics(task, tmp_path).outcome(twin, 1.0)[0].psi - alone.psi).max() > 1.0


def test_the_card_chooses_the_engine_and_its_dynamics(trained):
    _, result = trained
    chosen = parse_engine(result.weights)
    assert isinstance(chosen, Emulator) and chosen.start_redshift == 9.0 and chosen.least_n == 8
    card = load(result.weights).card
    assert card.dynamics_revision == 1
    assert (card.task, card.redshift, card.spacing) == ("correction", (0.0, 1.0), (31.25 / 16, 31.25 / 16))
    assert (card.options["engine"], card.options["engine_options"]) == ("cola", {"steps": 3})
    assert card.quantity == "displacement and velocity"
    story = json.loads(result.weights.with_suffix(".json").read_text())
    assert (story["data"]["redshifts"], story["data"]["runs"]) == ([0.0, 1.0], 4)


def test_the_engine_gives_what_validation_saw(trained):
    config, result = trained
    ics = RunStore(config.data.store).initial("s00000101")
    told = []
    both = run(engine=result.weights, ics=ics, redshift=[0, 1], progress=lambda *a: told.append(a))
    net, task = load(result.weights), config.task.make()
    samples = Samples(config.data, task)
    for snapshot, key in zip(both, samples.keys("validation"), strict=True):
        batch = collate([samples.get(key)], torch.device("cpu"))
        with torch.no_grad():
            psi, vel = task.decode(task.run(net, batch), batch.settings)
        assert snapshot.redshift == key[1]
        for got, wanted in ((snapshot.psi, psi[0].numpy()), (snapshot.vel, vel[0].numpy())):
            assert np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()  # layers may be in bfloat16
    assert both[0].engine == "emulator"
    assert both[0].settings["dynamics"] == "cola:steps=3" and both[0].settings["preset"] is None
    works = {citation.key for citation in cite(both[0])}
    assert "tassev2013" in works and "feng2016" not in works
    done = [one for one, _, _ in told]
    assert done == sorted(done) and told[-1][0] == told[-1][1] == 2
    (alone,) = run(engine=result.weights, ics=ics, redshift=1)
    np.testing.assert_array_equal(alone.psi, both[0].psi)  # whatever else is asked for


def test_a_network_that_ends_in_zeros_changes_nothing(trained, tmp_path):
    config, result = trained
    net = load(result.weights)
    with torch.no_grad():
        for layer in net.last_convolutions():
            for parameter in layer.parameters():
                parameter.zero_()
        for parameter in net.get_submodule(net.layout.layers[-1].name).modulations[1].parameters():
            parameter.zero_()
    save(net, tmp_path / "none.safetensors", net.card)
    ics = RunStore(config.data.store).initial("s00000101")
    (out,) = engine(str(tmp_path / "none.safetensors")).run(ics, [0.0])
    (alone,) = engine("cola", steps=3).run(ics, [0.0])
    np.testing.assert_allclose(out.psi, alone.psi, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(out.vel, alone.vel, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box": 64.0}, "spacing = 4 Mpc/h is outside"),
        ({"redshift": 2.0}, "redshift = 2 is outside"),
        ({"redshift": 20.0}, "from 0 to the start at 9"),
    ],
)
def test_outside_the_card_is_refused_before_any_work(trained, monkeypatch, tmp_path, change, words):
    monkeypatch.setattr("zeldo.engines.cola.Cola.evolve", lambda *_: pytest.fail("the dynamics ran"))
    monkeypatch.setattr(
        "zeldo.initial.linear.initial_conditions", lambda *_, **__: pytest.fail("a field was made")
    )
    universe = {"box": 31.25, "n": 16, "seed": 3, "power": "eisenstein-hu", **change}
    out = tmp_path / "u.zarr"
    with pytest.raises(InputError, match=words):
        run(engine=trained[1].weights, output=out, **universe)
    with pytest.raises(InputError, match=words):
        plan(engine=trained[1].weights, output=out, **universe)
    assert not out.exists()


def test_the_card_is_fitted_to_the_linear_field_that_the_engine_measures(trained, tmp_path, monkeypatch):
    config, outcome = trained
    net = load(outcome.weights)
    filtered = {"steps": 3, "nbody_start": 49.0}
    card = replace(net.card, options={**net.card.options, "engine_options": filtered})
    weights = tmp_path / "filtered.safetensors"
    save(net, weights, card)
    seen = []

    def spy(ics, psi_lin, redshift):
        seen.append(float(np.square(psi_lin).mean() ** 0.5))
        return measures(ics, psi_lin, redshift)

    for module in ("networks", "training"):
        monkeypatch.setattr(f"zeldo.{module}.expected.measures", spy)
    monkeypatch.setattr(
        "zeldo.training.expected.errors_of", lambda _: {}
    )  # a box this small has too few waves
    monkeypatch.setattr("zeldo.training.expected.fit", lambda *_: None)
    measure(weights, [config.data.store], part="validation")
    np.testing.assert_allclose(seen[::2], seen[1::2], rtol=1e-6)
    unfiltered = linear_displacement(RunStore(config.data.store).initial("s00000101"))
    assert abs(seen[0] / np.square(unfiltered).mean() ** 0.5 - 1) > 1e-3


def test_runs_without_velocities_leave_their_error_unknown(trained, monkeypatch):
    config, outcome = trained
    made = iter([{"density power": np.ones(len(NODES)), "velocity power": np.ones(len(NODES))}])
    monkeypatch.setattr(
        "zeldo.training.expected.errors_of", lambda _: next(made, {"density power": np.zeros(len(NODES))})
    )
    monkeypatch.setattr("zeldo.training.expected.fit", lambda measured, errors, runs: errors)
    errors = measure(outcome.weights, [config.data.store], part="validation")
    assert np.isfinite(errors["density power"]).all() and errors["velocity power"].shape[0] > 1
    np.testing.assert_array_equal(np.isfinite(errors["velocity power"][:, 0]).nonzero()[0], [0])


def test_errors_are_measured_within_the_ranges_of_the_card(trained, tmp_path, monkeypatch):
    config, outcome = trained
    net = load(outcome.weights)
    monkeypatch.setattr("zeldo.training.expected.errors_of", lambda _: {})
    monkeypatch.setattr("zeldo.training.expected.fit", lambda measured, errors, runs: runs)

    def measured(**ranges):
        weights = tmp_path / "narrow.safetensors"
        save(net, weights, replace(net.card, **ranges))
        return measure(weights, [config.data.store], part="validation")

    runs = len([row for row in RunStore(config.data.store).runs() if row["part"] == "validation"])
    with pytest.warns(ZeldoWarning, match="snapshots are outside the ranges of the model card"):
        assert measured(redshift=(0.0, 0.5)).endswith(f" {runs} snapshots")
    with pytest.raises(InputError, match="within the ranges of the model card: give runs that are"):
        measured(omega_m=(0.1, 0.2))
    with pytest.raises(InputError, match="learned to correct revision 99"):
        measured(dynamics_revision=99)


def test_an_expected_error_changes_no_weight(trained, tmp_path):
    net = load(trained[1].weights)
    expected = ExpectedError.from_dict(card_of(shipped_weights("emulator")).accuracy["expected"])
    for half in (True, False):
        path = tmp_path / f"{half}.safetensors"
        save(net, path, net.card, half=half)
        before, _ = read_arrays(path)
        put_on_card(path, expected)
        after, _ = read_arrays(path)
        for name, array in before.items():
            assert after[name].dtype == array.dtype
            np.testing.assert_array_equal(after[name], array)


def test_networks_and_engines_that_do_not_belong_together_are_refused(trained):
    ics = initial_conditions(*_universe(trained))
    with pytest.raises(InputError, match="corrects an engine"):
        next(iter(Network(weights=str(trained[1].weights)).run(ics, [0.0])))
    with pytest.raises(InputError, match=r"corrects no engine \(deoliveira2020\)"):
        next(iter(Emulator(weights=shipped_weights()).run(ics, [0.0])))
    with pytest.raises(
        InputError, match="corrects no engine: errors are expected of networks for the task corr"
    ):
        measure(shipped_weights(), [trained[0].data.store])
    with pytest.raises(InputError, match="give a file of weights"):
        Emulator(weights=3)


def _universe(trained):
    ics = RunStore(trained[0].data.store).initial("s00000001")
    return ics.cosmology, ics.box, ics.n, 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine": "colla"}, "did you mean 'cola'"),
        ({"engine_options": {"stps": 3}}, "did you mean 'steps'"),
        ({"engine": "p3m", "engine_options": {"checkpoint": "x"}}, "name no file"),
        ({"engine": "other.safetensors"}, "name no file"),
        ({"inputs": ["vel", "psi"]}, "begin with psi and vel"),
        ({"inputs": ["psi", "vel", "densty"]}, "did you mean 'density'"),
        ({"weights": {"momentm": 1}}, "did you mean 'momentum'"),
        ({"weights": {"momentum": -1}}, "weights.momentum = -1"),
        ({"weights": {"momentum": float("inf")}}, "weights.momentum = inf"),
        ({"weights": dict.fromkeys(("displacement", "density", "velocity"), 0)}, "no weight"),
    ],
)
def test_a_slip_in_the_task_is_told_before_anything_runs(trained, tmp_path, change, words):
    config = trained[0].model_dump(exclude_unset=True)
    config |= {"task": {"name": "correction", **change}, "output": tmp_path / "out"}
    with pytest.raises(InputError, match=words):
        train(config)
    assert not (tmp_path / "out").exists()


def test_runs_without_velocities_and_crops_with_a_spectrum_are_refused(trained, store, tmp_path):
    data = DataConfig(store=store.path)
    bare = RunStore(tmp_path / "bare.zarr")
    ics = store.initial("s100")
    bare.add("s100", ics, [replace(store.snapshot("s100"), vel=None)], part="train")
    samples = Samples(data.model_copy(update={"store": bare.path}), make_task("correction", engine="2lpt"))
    with pytest.raises(InputError, match="learns velocities"):
        samples.get(("s100", 0.0))
    with pytest.raises(InputError, match="spectrum of a crop"):
        make_task("correction", weights={"density_spectrum": 1}).check_training(crop=True)


def test_several_spacings_and_cosmologies_make_one_training_set(tmp_path):
    """Each sample is told its own; a network of one spacing refuses them."""
    made = RunStore(tmp_path / "mixed.zarr")
    settings = [(31.25, 0.3175), (62.5, 0.2)]
    for i, (box, omega_m) in enumerate(settings):
        cosmology = replace(PRESETS["quijote"], omega_m=omega_m)
        ics = initial_conditions(cosmology, box, 16, i, power="eisenstein-hu")
        made.add(f"s{i}", ics, engine("2lpt").run(ics, [0.0]))
    data = DataConfig(store=made.path)
    samples = Samples(data, make_task("correction", engine="zeldovich"))
    first, second = (samples.get(key) for key in samples.keys("train"))
    assert second.style[3] - first.style[3] == pytest.approx(np.log(2))
    assert (first.style[0], second.style[0]) == pytest.approx((5 * 0.0175, 5 * -0.1))
    described = samples.described(samples.keys("train"))
    assert described["spacing"] == [31.25 / 16, 62.5 / 16]
    single = Samples(data, make_task("deoliveira2020"))
    single.get(("s0", 0.0))
    with pytest.raises(InputError, match="learns one spacing only"):
        single.get(("s1", 0.0))
