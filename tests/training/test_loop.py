"""A training lowers the loss, stops when asked, and goes on to the same bits."""

import json
import math
import os
import shutil
import signal
import threading
from contextlib import ExitStack
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch

from teachers import second_order
from zeldo.configuration import load as load_config
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.lpt import Zeldovich
from zeldo.errors import ConvergenceError, DamagedFileError, InputError, ZeldoError
from zeldo.files import write
from zeldo.files.reference import reference_path
from zeldo.initial.linear import initial_conditions
from zeldo.measuring.energy import Used
from zeldo.measuring.machine import device_name
from zeldo.networks.tasks import make_task
from zeldo.networks.weights import load as load_network
from zeldo.store.claims import Claims
from zeldo.store.runs import RunStore
from zeldo.training.checkpoint import load_checkpoint, save_checkpoint
from zeldo.training.config import DataConfig, TrainConfig
from zeldo.training.export import model_card
from zeldo.training.loop import train
from zeldo.training.players import Player
from zeldo.training.sample import collate
from zeldo.training.samples import Samples
from zeldo.training.state import State
from zeldo.training.trainer import Trainer


def weights(result):
    return load_checkpoint(result.checkpoint)


def same(a, b):
    """Whether two checkpoints hold the same bits."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k not in ("seconds", "history"))
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.fixture(scope="module")
def linear_errors(store):
    """Losses of linear theory, one for each box to validate with."""
    task = make_task("deoliveira2020")
    samples = Samples(DataConfig(store=store.path), task)
    batches = [collate([samples.get(key)], torch.device("cpu")) for key in samples.keys("validation")]
    return [task.loss(batch.inputs, batch) for batch in batches]


def test_a_training_beats_linear_theory_on_boxes_it_has_not_seen(config, linear_errors):
    config |= {"epochs": 12, "optimizer": {"rate": 3e-3, "schedule": "cosine"}}
    last = train(config).history[-1]["validation"]
    assert last["loss"] < np.mean([error.total for error in linear_errors]) - 0.5
    assert last["l_psi"] < 0.9 * np.mean([error.parts["l_psi"] for error in linear_errors])


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("stop", [3, 4, 5], ids=["inside an epoch", "at its end", "in the next"])
def test_a_resumed_training_equals_the_uninterrupted_one_to_the_bit(config, tmp_path, stop, optimizer):
    config["optimizer"] = {"name": optimizer, "rate": 1e-3, "ema": 0.9, "accumulate": 1, "clip": 1.0}
    whole = train(config | {"output": tmp_path / "whole"})
    part = train(config, stop_after=stop)
    assert (part.status, part.steps) == ("stopped", stop)
    rest = train(config)
    assert (rest.status, rest.steps) == ("finished", whole.steps)
    assert same(weights(rest), weights(whole))
    assert rest.history[-1]["validation"] == whole.history[-1]["validation"]


def test_a_network_begins_as_linear_theory(config):
    from zeldo.training.players import make_network

    option, task = load_config(config, TrainConfig).network, make_task("deoliveira2020")
    x = torch.randn(1, 3, 8, 8, 8)
    torch.testing.assert_close(make_network(option, task)(x, periodic=True), x)
    other = make_network(option.model_copy(update={"start_linear": False}), task)
    assert (other(x, periodic=True) - x).abs().max() > 0.01


def test_another_seed_gives_another_network(config, tmp_path):
    one, other = train(config), train(config | {"output": tmp_path / "other", "seed": 2})
    assert not same(weights(one)["players"], weights(other)["players"])


def test_a_training_that_diverges_says_what_there_is_to_go_on_from(config):
    config["optimizer"] = {"rate": 1e30}
    with pytest.raises(ConvergenceError, match="lower the rate or set clip, and start again"):
        train(config)


def test_weights_that_are_not_finite_are_neither_exported_nor_resumed_from(config, monkeypatch):
    step = Player.step

    def spoiled(self):
        step(self)
        next(iter(self.net.parameters())).data.fill_(math.nan)  # as by a gradient that is not a number

    train(config, stop_after=1)
    kept = (config["output"] / "last.pt").read_bytes()
    monkeypatch.setattr(Player, "step", spoiled)
    with pytest.raises(
        ConvergenceError, match=r"weights are not finite at step 2: .* resume from .*last\.pt"
    ):
        train(config, stop_after=1)  # the stop would save a checkpoint
    with pytest.raises(ConvergenceError, match=r"weights are not finite at step 1: .* start again"):
        train(
            config | {"output": config["output"] / "other", "data": config["data"] | {"samples_per_epoch": 1}}
        )
    assert (config["output"] / "last.pt").read_bytes() == kept and not [
        *config["output"].rglob("*.safetensors")
    ]


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "vnet.safetensors"])
def test_a_directory_in_the_place_of_a_file_is_told_before_the_training(config, name):
    (config["output"] / name).mkdir(parents=True)
    with pytest.raises(InputError, match=rf"{name} is a directory, where the training writes a file"):
        train(config, resume=False)


def test_a_signal_saves_and_says_where_it_stopped(config):
    def interrupt(done, total, text):
        if done == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    result = train(config | {"epochs": 50}, progress=interrupt)
    assert result.status == "stopped"
    assert result.where == "epoch 1 of 50, step 2, by SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before
    assert train(config | {"epochs": 50}, stop_after=1).steps == 3


def test_a_training_runs_outside_the_main_thread(config):
    found = []
    thread = threading.Thread(target=lambda: found.append(train(config, stop_after=1)))
    thread.start()
    thread.join()
    assert found[0].steps == 1


def test_progress_tells_loss_validation_rate_and_speed(config):
    told = []
    train(config, progress=lambda *a: told.append(a))
    assert [done for done, _, _ in told] == list(range(1, 9))
    assert all(total == 8 for _, total, _ in told)
    for word in ("epoch 2 of 2", "loss ", "validation ", "rate 0.001", "boxes/s"):
        assert word in told[-1][2]


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"data": {"crop": 8, "samples_per_run": 2}}, 16),
        ({"data": {"augment": False}}, 8),
        ({"optimizer": {"batch": 2, "accumulate": 2}}, 2),
        ({"optimizer": {"name": "muon"}}, 8),
        ({"precision": "bf16-mixed"}, 8),
        ({"network": {"channels": 2, "levels": 3}}, 8),
        ({"memory_format": "channels_last"}, 8),
    ],
    ids=lambda c: str(c),
)
def test_every_way_of_training_leaves_linear_theory_behind(config, linear_errors, change, steps):
    config["optimizer"] = {"rate": 3e-3}
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    result = train(config)
    assert result.steps == steps
    before, after = (epoch["validation"]["loss"] for epoch in result.history)
    assert after < before
    assert after < np.mean([error.total for error in linear_errors]) - 0.002


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_the_precision_is_that_of_the_hardware_where_it_is_left_open(config, monkeypatch, native, precision):
    monkeypatch.setattr("zeldo.networks.inference.native_bfloat16", lambda device: native)
    result = train(config | {"precision": "auto", "epochs": 1})
    assert json.loads(result.weights.with_suffix(".json").read_text())["precision"] == precision


def test_a_training_that_goes_on_with_another_weight_of_the_loss_is_judged_anew(config):
    first = train(config)
    again = train(config | {"epochs": 3, "task": {"loss_weight": 0.0}})
    assert again.best == again.history[-1]["validation"]["loss"] != first.best
    assert again.best_epoch == 3
    story = json.loads(again.weights.with_suffix(".json").read_text())
    assert (story["epochs"], story["loss"]) == (3, "ln(L_delta L_psi^0)")


def test_batches_and_accumulation_take_as_many_steps(config, tmp_path):
    config["epochs"] = 1
    for name, option in (("batch", {"batch": 2}), ("accumulate", {"accumulate": 2})):
        result = train(config | {"output": tmp_path / name, "optimizer": option})
        assert (result.steps, load_checkpoint(result.checkpoint)["state"]["samples"]) == (2, 4)


def test_a_lower_rate_holds_from_the_resume_on(config):
    config["optimizer"] = {"rate": 1e-2}
    train(config, stop_after=1)
    result = train(config, override={"optimizer.rate": 1e-4, "optimizer.betas": [0.8, 0.9]})
    assert {entry["rate"] for entry in result.history} == {1e-4}
    groups = [
        group for saved in weights(result)["players"]["net"]["optimizers"] for group in saved["param_groups"]
    ]
    assert all(tuple(group["betas"]) == (0.8, 0.9) for group in groups)


def test_the_rate_is_halved_after_epochs_without_improvement(config):
    config["optimizer"] = {"rate": 1e-12, "patience": 1}  # too small to improve by 1e-4
    result = train(config | {"epochs": 5})
    rates = [entry["rate"] for entry in result.history]
    assert rates[0] == 1e-12
    assert rates[-1] == pytest.approx(0.5e-12) or rates[-1] == pytest.approx(0.25e-12)


def test_a_time_limit_stops_the_call(config):
    result = train(config | {"hours": 1e-6})
    assert result.where.endswith("after 1e-06 hours")


class KnownMeter:
    """5 Wh each time that it is read."""

    source = "by hand"

    def start(self):
        assert not vars(self).get("on")
        self.on = True

    def stop(self):
        assert self.on
        self.on = False
        return Used(5.0)


def test_energy_is_summed_over_resumes_and_told_with_its_basis(config, monkeypatch):
    monkeypatch.setattr("zeldo.training.trainer.Meter", KnownMeter)
    config["energy"] = True
    train(config, stop_after=2)  # read when it is saved
    train(config, stop_after=1)
    result = train(config)
    assert len(result.history) == 2 and result.best_epoch == 2
    facts = json.loads(result.weights.with_suffix(".json").read_text())
    # saved twice in the first epoch, read at its end for weights and checkpoint, then at the second's for weights
    assert facts["energy_kwh"] == pytest.approx(5 * 5e-3)
    assert (facts["energy_by"], facts["energy_hours"]) == ("by hand", facts["hours"])
    assert "0.025 kWh" in load_network(result.weights).card.training


def test_a_training_without_a_meter_tells_no_energy(config, monkeypatch):
    monkeypatch.setattr("zeldo.measuring.energy.importlib.util.find_spec", lambda name: None)
    result = train(config | {"energy": True})
    facts = json.loads(result.weights.with_suffix(".json").read_text())
    assert not [name for name in facts if "energy" in name]
    assert "kWh" not in load_network(result.weights).card.training


def test_codecarbon_measures_a_training(config):
    pytest.importorskip("codecarbon")
    result = train(config | {"energy": True, "epochs": 1})
    facts = json.loads(result.weights.with_suffix(".json").read_text())
    assert 0 < facts["energy_kwh"] < 0.1
    assert facts["energy_by"].startswith("codecarbon ")


def test_energy_of_a_part_of_a_training_says_of_which(config):
    result = train(config)
    facts = json.loads(result.weights.with_suffix(".json").read_text())
    state = State(seconds=3600.0, metered_from=3600.0)
    state.seconds = 9000.0
    state.add_energy(120.0)
    facts |= {"hours": 2.5, "device": "CPU, 1 thread", **state.energy("by hand")}
    card = model_card(load_config(config, TrainConfig), make_task("deoliveira2020"), facts)
    assert "2.50 hours on CPU, 1 thread, 0.12 kWh in 1.50 of them. Adam" in card.training


@pytest.mark.parametrize(("threads", "words"), [(1, "CPU, 1 thread"), (2, "CPU, 2 threads")])
def test_threads_of_a_device_are_counted_in_words(threads, words, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert device_name(torch.device("cpu")) == words


def test_hours_in_which_the_process_stood_still_do_not_count(config, monkeypatch):
    from types import SimpleNamespace

    from zeldo.training import trainer

    offset, ticks = [0.0], count()
    clock = SimpleNamespace(monotonic=lambda: 0.01 * next(ticks) + offset[0])  # no real time
    monkeypatch.setattr(trainer, "time", clock)

    def stand_still(done, total, text):
        offset[0] += 7200.0 if done == 3 else 0.0

    result = train(config, progress=stand_still)
    assert 0 < result.history[-1]["seconds"] < 600


def test_tensorboard_gets_curves_and_pictures(config):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config | {"tensorboard": True})
    events = EventAccumulator(str(config["output"] / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert len(events.Scalars("train/loss")) == 8
    assert [e.step for e in events.Scalars("validation/loss")] == [4, 8]
    assert "density transfer/k=0.3" in tags["scalars"]
    assert "density: input, network, N-body" in tags["images"]


def test_curves_go_on_over_a_resume_and_begin_anew_with_a_restart(config):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def steps():
        events = EventAccumulator(str(config["output"] / "tensorboard"))
        events.Reload()
        return [[e.step for e in events.Scalars(f"{part}/loss")] for part in ("train", "validation")]

    config |= {"tensorboard": True}
    train(config, stop_after=3)
    train(config)
    assert steps() == [[*range(1, 9)], [4, 8]]
    train(config | {"epochs": 3})  # from the end of an epoch
    assert steps() == [[*range(1, 13)], [4, 8, 12]]
    train(config, resume=False, stop_after=5)
    assert steps() == [[*range(1, 6)], [4]]


def test_snapshot_files_give_the_same_pairs_as_the_store(config, store, tmp_path):
    snap = store.snapshot("s100")
    write(snap, tmp_path / "s100.npz")
    task = make_task("deoliveira2020")
    linear = 6 * Samples(DataConfig(store=store.path), task).get(("s100", 0.0)).inputs
    d1 = float(growth(snap.cosmology).d1(0.25))
    write(replace(snap, psi=linear * d1, redshift=3.0), tmp_path / "linear.npz")
    files = DataConfig(snapshots=[{"path": tmp_path / "s100.npz", "linear": tmp_path / "linear.npz"}])
    samples = Samples(files, task)
    got = samples.get(samples.keys("train")[0])
    np.testing.assert_allclose(6 * got.inputs, linear, atol=2e-5)
    np.testing.assert_array_equal(got.psi, snap.psi)


def test_the_best_network_is_left_with_its_card(config):
    from zeldo.networks.weights import load

    result = train(config | {"notes": "A trial.", "range_omega_m": (0.2, 0.4)})
    net = load(result.weights)
    best = load_checkpoint(config["output"] / "best.pt")["model"]
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, best[name], rtol=1e-3, atol=1e-6)  # kernels in half precision
    card = net.card
    assert (card.task, card.spacing, card.redshift) == ("deoliveira2020", (4.0, 4.0), (0.0, 0.0))
    assert card.omega_m == (0.2, 0.4)
    assert card.sigma_8 == (0.834, 0.834)  # of the runs
    for words in (
        "4 runs by second order",
        "16^3 particles in 64 Mpc/h",
        "seeds 100-103",
        "validated on seeds 104-105",
    ):
        assert words in card.training
    assert card.training.endswith("A trial.")
    assert card.accuracy["loss"] == result.best
    assert json.loads(result.weights.with_suffix(".json").read_text())["data"]["seeds"] == [
        100,
        101,
        102,
        103,
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": {"channels": 5, "levels": 2}}, "network.channels = 4"),
        ({"data": {"crop": 9}}, "crop = 9 is not allowed: give"),
        ({"name": "other"}, "name = '[^']*', the configuration says 'other'"),
        ({"data": {"crop": 32}}, "crop = 32 is larger"),
        ({"data": {"samples_per_epoch": 1}, "optimizer": {"batch": 2}}, "shorter than a step"),
        ({"data": {"redshift": 2.0}}, "redshift"),
    ],
)
def test_what_does_not_fit_is_refused(config, change, words):
    train(config, stop_after=1)
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    with pytest.raises(InputError, match=words):
        train(config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"accelerator": "cuda"}, "no CUDA device"),
        ({"devices": 0}, "devices = 0 .*or 'auto'"),
        ({"devices": -1}, "devices = -1"),
        ({"devices": (os.cpu_count() or 1) + 1}, "the processor cores there are"),
    ],
)
def test_devices_that_are_not_there_are_refused(config, monkeypatch, change, words):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=words):
        train(config | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"snapshots": [{"path": "nowhere.npz"}]}, "nowhere.npz does not exist"),
        (
            {
                "snapshots": [
                    {"path": str(reference_path("small")), "part": "validation", "linear": "gone.npz"}
                ]
            },
            "gone.npz does not",
        ),
        ({"snapshots": [{"path": __file__}]}, "no format that zeldo knows"),
        ({"crop": 9}, "crop = 9 is not allowed: give"),
        ({"redshift": 2.0}, "redshift"),
    ],
)
def test_bad_input_leaves_no_output(config, store, change, words):
    config["data"] = change if "snapshots" in change else {"store": store.path, **change}
    with pytest.raises(InputError, match=words):
        train(config | {"tensorboard": True, "output": config["output"] / "deep"})
    assert not config["output"].exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on the size of files")
def test_a_full_disk_is_told_of_a_checkpoint_too(tmp_path):
    """torch names no error of the system where it closes an archive after a failed write."""
    import resource

    path, state = tmp_path / "last.pt", {"weights": torch.zeros(10_000)}
    save_checkpoint(path, state)
    kept = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ZeldoError, match=r"no space left in .* for last\.pt"):
            save_checkpoint(path, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_checkpoint_is_named_and_runs_no_code(config):
    config["output"].mkdir()
    torch.save({"format": os.system}, config["output"] / "last.pt")
    with pytest.raises(DamagedFileError, match=r"last\.pt is not a checkpoint"):
        train(config)
    assert train(config, resume=False, stop_after=1).steps == 1


def test_the_best_weights_alone_are_no_checkpoint_to_resume_from(config):
    result = train(config, stop_after=4)
    train(config)
    (config["output"] / "best.pt").rename(result.checkpoint)
    with pytest.raises(InputError, match=r"last\.pt holds weights alone.*start_from"):
        train(config)


def test_a_restart_without_data_keeps_the_checkpoint(config, tmp_path):
    checkpoint = train(config, stop_after=1).checkpoint
    missing = config | {"data": config["data"] | {"store": tmp_path / "nosuch.zarr"}}
    with pytest.raises(InputError, match="no store of runs"):
        train(missing, resume=False)
    assert checkpoint.exists()


def test_a_training_waits_for_the_one_that_writes_to_its_output(config):
    claims = Claims(config["output"] / ".claims")
    held, texts = ExitStack(), []
    assert held.enter_context(claims.claim("run"))

    def progress(done, total, text):
        texts.append(text)
        held.close()

    train(config, stop_after=1, progress=progress)
    assert texts[0] == "waiting for the process that makes it"
    assert not claims.folder.exists()


def test_a_restart_that_is_killed_before_its_first_checkpoint_leaves_no_older_one(config, monkeypatch):
    train(config)

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "_train_epoch", killed)
        train(config, resume=False)
    assert train(config, stop_after=1).steps == 1


def test_the_rate_ends_where_it_should_after_batches_of_another_size(config):
    config |= {"optimizer": {"rate": 1e-3, "schedule": "cosine"}, "epochs": 4}
    train(config, stop_after=5)
    larger = config | {"optimizer": config["optimizer"] | {"batch": 2}}
    ended = train(larger).history[-1]["rate"]
    whole = train(config | {"output": config["output"] / "whole"}).history[-1]["rate"]
    assert ended == pytest.approx(whole, rel=0.3)


def test_the_rate_of_a_growing_store_is_the_same_after_an_interruption(config, monkeypatch):
    config |= {"optimizer": {"rate": 1e-3, "schedule": "cosine"}, "epochs": 4}
    keys, end = Samples.keys, Trainer._end_epoch
    grown = []

    def end_epoch(self):
        end(self)
        grown.append(True)

    monkeypatch.setattr(Samples, "keys", lambda self, part: keys(self, part)[: None if grown else 1])
    monkeypatch.setattr(Trainer, "_end_epoch", end_epoch)
    whole = train(config | {"output": config["output"] / "whole"}).history
    assert [entry["samples"] for entry in whole] == [1, 4, 4, 4]
    assert whole[1]["rate"] > 2 * whole[2]["rate"] > 4 * whole[3]["rate"]  # it ends with the last step
    grown.clear()
    train(config, stop_after=3)
    rest = train(config).history
    assert [entry["rate"] for entry in rest] == [entry["rate"] for entry in whole]


def test_a_snapshot_of_flipped_phases_is_paired_with_its_own_linear_field(tmp_path):
    drawn = {"fixed": True, "flip": True, "power": "eisenstein-hu", "phases": "ngenic"}
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, **drawn)
    (snap,) = Zeldovich().run(ics, [0.0])
    write(snap, tmp_path / "flipped.npz")
    got = only(DataConfig(snapshots=[{"path": tmp_path / "flipped.npz"}]))
    np.testing.assert_allclose(6 * got.inputs, got.psi, atol=1e-4)
    write(replace(snap, power="table.txt"), tmp_path / "table.npz")
    with pytest.raises(InputError, match=r"power spectrum of table\.txt: give its initial conditions"):
        only(DataConfig(snapshots=[{"path": tmp_path / "table.npz"}]))


def only(data):
    """The one sample of a configuration."""
    samples = Samples(data, make_task("deoliveira2020"))
    (key,) = samples.keys("train")
    return samples.get(key)


def test_a_target_of_another_seed_is_found_out(store, tmp_path):
    for run in ("s100", "s101"):
        write(store.snapshot(run), tmp_path / f"{run}.npz")
    mixed = DataConfig(snapshots=[{"path": tmp_path / "s100.npz", "linear": tmp_path / "s101.npz"}])
    with pytest.raises(InputError, match="correlate by"):
        only(mixed)


def other_store(store, path, first, box=64.0, engine=second_order):
    """Data of four runs to train on and one to validate with, beside those of `store` where it is not None."""
    if store is not None:
        shutil.copytree(store.path, path)
    other = RunStore(path)
    for seed in range(first, first + 5):
        part = "train" if seed < first + 4 else "validation"
        ics = initial_conditions(PRESETS["quijote"], box, 16, seed, power="eisenstein-hu")
        regenerate = {"power": "eisenstein-hu"}
        other.add(f"s{seed}", ics, engine(ics, [0.0]), regenerate=regenerate, part=part)
    return {"store": path}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box": 32.0}, "with box = 64.0, the data have 32.0: give the data it began with"),
        ({"engine": Zeldovich().run}, "with engine = second order, the data have zeldovich"),
    ],
)
def test_a_training_does_not_go_on_with_data_of_another_kind(config, tmp_path, change, words):
    train(config, stop_after=1)
    with pytest.raises(InputError, match=words):
        train(config | {"data": other_store(None, tmp_path / "other.zarr", 100, **change)})


def test_a_training_goes_on_with_a_store_that_moved_and_grew(config, store, tmp_path):
    train(config, stop_after=1)
    grown = other_store(store, tmp_path / "grown.zarr", 200, engine=Zeldovich().run)
    result = train(config | {"data": grown}, stop_after=1)
    assert result.steps == 2


def test_a_checkpoint_that_says_nothing_of_its_data_is_resumed(config):
    result = train(config, stop_after=1)
    state = torch.load(result.checkpoint, weights_only=True)
    del state["data"]
    torch.save(state, result.checkpoint)
    assert train(config, stop_after=1).steps == 2


def test_a_checkpoint_of_another_version_is_refused(config):
    result = train(config, stop_after=1)
    state = torch.load(result.checkpoint, weights_only=True)
    torch.save(state | {"version": "0.1.0"}, result.checkpoint)
    with pytest.raises(InputError, match=r"was written by zeldo 0\.1\.0"):
        train(config)


def test_the_average_of_the_weights_is_what_is_written(config):
    config["optimizer"] = {"rate": 1e-2, "ema": 0.9}
    result = train(config | {"epochs": 1})
    kept, written = load_checkpoint(result.checkpoint), load_network(result.weights).state_dict()
    last = kept["players"]["net"]["model"]
    for name, value in written.items():
        torch.testing.assert_close(value, kept["average"][f"module.{name}"], rtol=1e-3, atol=1e-6)
    assert any(
        (value - last[name]).abs().max() > 1e-3
        for name, value in written.items()
        if value.is_floating_point()
    )


def test_a_training_that_accumulates_goes_on_with_the_batches_it_has_not_seen(config, tmp_path):
    config["optimizer"] = {"rate": 1e-3, "accumulate": 2}
    whole = train(config | {"output": tmp_path / "whole"})
    train(config, stop_after=1)
    rest = train(config)
    assert rest.steps == whole.steps == 4
    assert same(weights(rest), weights(whole))
