"""Tasks from outside the package are trained by the same loop: two networks, another resolution, two processes."""

import os

import numpy as np
import pytest
import torch
from toys import Adversarial, Squares, SuperResolution

from zeldo.errors import InputError
from zeldo.networks.weights import load
from zeldo.training.checkpoint import load_checkpoint
from zeldo.training.config import DataConfig
from zeldo.training.loop import train
from zeldo.training.sample import Sample, collate
from zeldo.training.samples import Samples
from zeldo.training.symmetries import ELEMENTS, crop, random_element


def losses(result):
    return [entry["validation"]["loss"] for entry in result.history]


def test_a_critic_learns_beside_the_network(config):
    config |= {"epochs": 6, "optimizer": {"rate": 3e-3}}
    result = train(config, task=Adversarial())
    assert losses(result)[-1] < 0.9 * losses(result)[0]
    kept = load_checkpoint(result.checkpoint)["players"]
    assert kept.keys() == {"net", "critic"}
    assert kept["critic"]["optimizers"][0]["state"][0]["step"] == result.steps == 24
    net = load(result.weights)  # the critic is not in it
    assert net.card.task == "adversarial"


def test_each_network_steps_along_its_own_loss_alone(config):
    """The critic's gradients from the network's turn do not move it: with a rate of 0 for its own loss it stands still."""

    class Deaf(Adversarial):
        def objective(self, turn, nets, batch):
            loss = super().objective(turn, nets, batch)
            return loss if turn == "net" else loss._replace(total=0 * loss.total)

    told = []
    train(config | {"optimizer": {"rate": 1e-2, "weight_decay": 0.0}}, task=Spy(told, Deaf), stop_after=3)
    first, *later = told
    assert all(torch.equal(first["critic"], each["critic"]) for each in later)
    assert not any(torch.equal(first["net"], each["net"]) for each in later)


def Spy(told, cls):  # noqa: N802 - makes a task
    """A task of this class that writes down the parameters before every turn of the network."""

    class Watched(cls):
        def objective(self, turn, nets, batch):
            if turn == "net":
                told.append(
                    {k: torch.cat([p.detach().flatten() for p in v.parameters()]) for k, v in nets.items()}
                )
            return super().objective(turn, nets, batch)

    return Watched()


def test_an_adversarial_training_is_resumed_to_the_bit(config, tmp_path):
    config["optimizer"] = {"rate": 1e-3, "ema": 0.9, "schedule": "cosine"}
    whole = train(config | {"output": tmp_path / "whole"}, task=Adversarial())
    train(config, task=Adversarial(), stop_after=3)
    rest = train(config, task=Adversarial())
    a, b = (load_checkpoint(each.checkpoint)["players"] for each in (whole, rest))
    for name in ("net", "critic"):
        for key, value in a[name]["model"].items():
            assert torch.equal(value, b[name]["model"][key])


def test_a_finer_lattice_comes_out_than_went_in(config):
    config["network"] = {"name": "finer", "start_linear": False}
    result = train(config | {"epochs": 4, "optimizer": {"rate": 1e-2}}, task=SuperResolution())
    assert losses(result)[-1] < losses(result)[0]
    assert result.history[-1]["validation"]["displacement transfer"]  # judged on the finer lattice


@pytest.mark.parametrize("side", [0, 4])
def test_a_sample_turns_all_its_fields_alike_on_whatever_lattice_they_are(store, side):
    """Fields that are functions of the position stay so: the finer target where the coarse input is, scalars too."""
    task = Squares()
    rng = np.random.default_rng(0)
    fine = rng.normal(size=(3, 16, 16, 16)).astype(np.float32)
    coarse = fine[:, ::2, ::2, ::2]
    scalar = (coarse**2).sum(0, keepdims=True)  # invariant
    key = ("s100", 0.0)
    setting = Samples(DataConfig(store=store.path), task).get(key).setting
    inputs = np.concatenate([coarse, scalar, 3 * coarse])
    sample = Sample(inputs, (), fine, 2 * fine, setting, (True, False, True))
    for element in (ELEMENTS[7], ELEMENTS[13], random_element(rng)):
        cut = sample.cut(element, (1, 5, 2), side, halo=2)
        n = side or 8
        halo = 2 if side else 0
        assert cut.inputs.shape == (7, *3 * [n + 2 * halo]) and cut.psi.shape == (3, *3 * [2 * n])
        inner = (slice(None), *3 * [slice(halo, halo + n)])
        np.testing.assert_array_equal(cut.psi[:, ::2, ::2, ::2], cut.inputs[inner][:3])
        np.testing.assert_allclose((cut.inputs[:3] ** 2).sum(0), cut.inputs[3], rtol=1e-6)
        np.testing.assert_array_equal(cut.inputs[4:], 3 * cut.inputs[:3])
        np.testing.assert_array_equal(cut.vel, 2 * cut.psi)
        np.testing.assert_array_equal(cut.psi, crop(fine, element, (2, 10, 4), 2 * n))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processor cores")
def test_two_processes_are_one_with_twice_the_batch(config, tmp_path):
    """Without batch normalisation, whose statistics each process has of its own."""
    config |= {"network": {"name": "modulated vnet", "channels": 4, "levels": 2, "start_linear": False}}
    made = {}
    for devices in (1, 2):
        option = {"rate": 1e-3, "batch": 2 // devices}
        output = {"output": tmp_path / str(devices), "devices": devices, "optimizer": option}
        result = train(config | output, task=Squares())
        assert result.status == "finished" and result.steps == 4
        made[devices] = load_checkpoint(result.checkpoint), result.history
    (one, history), (two, of_both) = made[1], made[2]
    assert one["state"]["samples"] == two["state"]["samples"] == 8
    start = train(
        config | {"output": tmp_path / "start", "optimizer": {"rate": 1e-30}}, task=Squares(), stop_after=1
    )
    begin = load_checkpoint(start.checkpoint)["players"]["net"]["model"]
    for name, value in one["players"]["net"]["model"].items():
        moved = (value - begin[name]).abs().max()
        assert (two["players"]["net"]["model"][name] - value).abs().max() < 0.02 * moved
    for a, b in zip(history, of_both, strict=True):
        assert b["validation"]["loss"] == pytest.approx(a["validation"]["loss"], rel=1e-4)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processor cores")
def test_a_task_with_options_trains_on_two_devices(config):
    options = {"rate": 1e-3, "batch": 1}
    result = train(config | {"devices": 2, "epochs": 1, "optimizer": options, "task": {"loss_weight": 2.0}})
    assert result.status == "finished" and result.weights.exists()


def test_boxes_of_two_sizes_are_no_batch(store):
    sample = Samples(DataConfig(store=store.path), Squares()).get(("s100", 0.0))
    half = Sample(sample.inputs[:, :8, :8, :8], (), sample.psi[:, :8, :8, :8], None, sample.setting)
    with pytest.raises(InputError, match=r"shapes .* cannot be made: set optimizer.batch to 1"):
        collate([sample, half], torch.device("cpu"))


def test_a_task_that_no_card_can_name_is_told_before_training(config):
    class Unregistered(Squares):
        name = "unregistered"

    with pytest.raises(InputError, match="'unregistered' is not known"):
        train(config, task=Unregistered(), stop_after=1)
    assert not config["output"].exists()
