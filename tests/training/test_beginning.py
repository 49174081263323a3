"""A training that begins with the weights of another one."""

import json

import pytest
import torch

from zeldo.errors import InputError
from zeldo.networks.modulated import ModulatedNet, ModulatedVNet
from zeldo.networks.vnet import VNet, vnet_layout
from zeldo.networks.weights import load
from zeldo.particles.provenance import weights_hash
from zeldo.training.beginning import begin_with
from zeldo.training.loop import train

CHANNELS, STYLES = 4, 2


def randomised(net):
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.2)
    return net.eval()


def test_a_wider_block_keeps_the_channels_that_do_something(tmp_path):
    """Where the others do nothing, the narrow network gives the same field."""
    layout = vnet_layout(CHANNELS, 2, 5, 3)
    wide = randomised(ModulatedNet(layout, STYLES))
    idle = [0, 3, 4, 6]  # of the eight channels inside the block that joins
    with torch.no_grad():
        wide.get_submodule("conv_r0").second.weight[:, idle] = 0
    path = tmp_path / "wide.pt"
    torch.save(wide.state_dict(), path)
    narrow = ModulatedVNet(CHANNELS, 2, 5, 3, STYLES).eval()
    begin_with(narrow, path)
    x, style = torch.randn(1, 5, 8, 8, 8), torch.tensor([0.3, -0.2])
    with torch.no_grad():
        torch.testing.assert_close(narrow(x, style, periodic=True), wide(x, style, periodic=True))
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in wide.parameters())


def test_layers_that_are_missing_or_of_another_size_begin_anew(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(randomised(ModulatedVNet(CHANNELS, 2, 5, 3, STYLES)).state_dict(), path)
    net = ModulatedVNet(CHANNELS, 2, 6, 3, STYLES)  # a further input
    before = {name: value.clone() for name, value in net.state_dict().items()}
    begin_with(net, path)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert "conv_l0.first.weight" not in changed and "conv_r0.second.weight" in changed


def test_the_statistics_of_batch_normalisation_come_along(tmp_path):
    path, net = tmp_path / "net.pt", VNet(CHANNELS, 2)
    begun = VNet(CHANNELS, 2)
    with torch.no_grad():
        net.conv_c.convs[1].running_var.fill_(7.0)
    torch.save(net.state_dict(), path)
    begin_with(begun, path)
    assert (begun.conv_c.convs[1].running_var == 7).all()


def test_a_file_without_any_such_layer_is_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"conv_0.convs.0.weight": torch.zeros(4, 3, 3, 3, 3)}, path)
    with pytest.raises(InputError, match=r"no layer of .* leave start_from out"):
        begin_with(ModulatedVNet(CHANNELS, 2, 5, 3, STYLES), path)


def test_a_training_goes_on_from_another_and_its_card_says_so(config, tmp_path):
    first = train(config | {"epochs": 6, "optimizer": {"rate": 3e-3}})
    further = train(config | {"output": tmp_path / "further", "start_from": first.weights, "epochs": 1})
    anew = train(config | {"output": tmp_path / "anew", "epochs": 1})
    losses = [run.history[0]["validation"]["loss"] for run in (further, anew)]
    assert losses[0] < losses[1] - 0.2
    told = weights_hash(first.weights)
    assert told in load(further.weights).card.training
    assert json.loads(further.weights.with_suffix(".json").read_text())["start_from"] == told
    assert "began" not in load(anew.weights).card.training


def test_where_a_training_began_is_kept_without_the_file(config, tmp_path):
    first = train(config | {"epochs": 1})
    begun = config | {"output": tmp_path / "further", "start_from": first.weights, "epochs": 1}
    told = weights_hash(first.weights)
    train(begun, stop_after=1)
    first.weights.unlink()
    further = train(begun)
    assert json.loads(further.weights.with_suffix(".json").read_text())["start_from"] == told


def test_a_training_that_did_not_begin_from_a_file_does_not_say_so(config, tmp_path):
    first = train(config | {"epochs": 1})
    anew = config | {"output": tmp_path / "anew", "epochs": 1}
    train(anew, stop_after=1)
    resumed = train(anew | {"start_from": first.weights})
    assert "began" not in load(resumed.weights).card.training


def test_no_training_writes_over_the_weights_it_begins_with(config):
    first = train(config | {"epochs": 1})
    before = first.weights.read_bytes()
    with pytest.raises(InputError, match="is the file that this training writes"):
        train(config | {"start_from": first.weights, "epochs": 2}, resume=False)
    assert first.weights.read_bytes() == before
