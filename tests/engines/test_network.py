"""Networks as engines."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.registry import engine
from zeldo.engines.trained import shipped_weights
from zeldo.errors import InputError
from zeldo.files.reference import read_reference, reference_path
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import linear_displacement
from zeldo.networks import field
from zeldo.networks.card import ModelCard
from zeldo.networks.vnet import VNet
from zeldo.networks.weights import load, save

CARD = ModelCard("vnet", {"channels": 4, "levels": 3}, "deoliveira2020", {}, (0, 0), (1.9, 2.0), (0.1, 0.5))


@pytest.fixture(scope="module")
def ics():
    return initial_conditions(Cosmology.preset("quijote"), box=31.25, n=16, seed=5, power="eisenstein-hu")


def weights(path, zero: bool = False, **card):
    torch.manual_seed(0)
    net = VNet(channels=4, levels=3).eval()
    if zero:
        for parameter in net.parameters():
            torch.nn.init.zeros_(parameter)
    save(net, path, replace(CARD, **card))
    return str(path)


def test_a_network_of_zeros_returns_the_linear_displacement(ics, tmp_path):
    (out,) = engine(weights(tmp_path / "net.safetensors", zero=True)).run(ics, [0.0])
    assert np.allclose(out.psi, linear_displacement(ics), atol=1e-5)
    assert out.engine == "vnet" and out.settings["weights"] == "net.safetensors" and out.vel is None


def test_a_network_changes_the_displacement_and_leaves_its_input(ics, tmp_path):
    before = ics.delta_lin.copy()
    (out,) = engine(weights(tmp_path / "net.safetensors")).run(ics, [0.0])
    assert np.isfinite(out.psi).all()
    assert np.abs(out.psi - linear_displacement(ics)).max() > 1e-3
    assert np.array_equal(before, ics.delta_lin)


def test_outside_the_range_of_the_card_is_refused_unless_extrapolated_and_recorded(ics, tmp_path):
    path = weights(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"redshift.*or :extrapolate=true behind the engine's name"):
        list(engine(path).run(ics, [1.0]))
    (out,) = engine(path, extrapolate=True).run(ics, [1.0])
    assert out.settings["extrapolate"] is True


def test_velocities_come_from_a_network_of_their_own(ics, tmp_path):
    """Of zeros, each returns linear theory: Zel'dovich's displacement and velocity."""
    of_psi = weights(tmp_path / "d.safetensors", zero=True)
    of_vel = weights(tmp_path / "v.safetensors", zero=True, options={"quantity": "velocity"})
    calls = []
    chosen = engine(of_psi, velocity=of_vel)
    (out,) = chosen.run(ics, [0.0], lambda done, total, text: calls.append((done, total)))
    (linear,) = engine("zeldovich").run(ics, [0.0])
    assert np.allclose(out.psi, linear.psi, atol=1e-5)
    assert np.allclose(out.vel, linear.vel, atol=1e-3 * np.abs(linear.vel).max())
    assert out.settings["velocity"] == "v.safetensors"
    assert calls == [(1, 2), (2, 2)]
    assert engine(of_psi).plan(ics.n).vectors == 1 and chosen.plan(ics.n).vectors == 2


def test_the_hash_of_weights_is_one_of_both_networks(tmp_path):
    """Settings name files without their directories, so the hash alone tells these apart."""
    of_psi, hashes = weights(tmp_path / "d.safetensors"), set()
    for zero in (True, False):
        folder = tmp_path / str(zero)
        folder.mkdir()
        of_vel = weights(folder / "v.safetensors", zero, options={"quantity": "velocity"})
        hashes.add(engine(of_psi, velocity=of_vel).weights_hash)
    assert len(hashes | {engine(of_psi).weights_hash}) == 3


def test_networks_of_the_wrong_quantity_are_refused(ics, tmp_path):
    of_psi = weights(tmp_path / "d.safetensors")
    of_vel = weights(tmp_path / "v.safetensors", options={"quantity": "velocity"})
    with pytest.raises(InputError, match="velocities only"):
        list(engine(of_vel).run(ics, [0.0]))
    with pytest.raises(InputError, match="displacement by its model card, not velocity"):
        list(engine(of_psi, velocity=of_psi).run(ics, [0.0]))


def test_how_it_is_applied_is_as_asked_for(ics, tmp_path, monkeypatch):
    asked, calls, predict = [], [], field.predict

    def spy(*inputs, **options):
        asked.append(options)
        return predict(*inputs, **options)

    monkeypatch.setattr(field, "predict", spy)
    chosen = engine(weights(tmp_path / "net.safetensors"), tiles=2, precision="float32", extrapolate=True)
    list(chosen.run(ics, [0.0], lambda done, total, text: calls.append((done, total))))
    assert calls == [(tile / 8, 1) for tile in range(1, 9)]
    (options,) = asked
    assert options["precision"] == "float32" and options["extrapolate"] and options["device"] == "cpu"
    assert chosen.for_trial() == replace(chosen, tiles=None)  # a few particles may not be so many pieces


@pytest.mark.parametrize(
    "wrong",
    [
        {"tiles": "abc"},
        {"tiles": 1.5},
        {"tiles": 0},
        {"device": "foo"},
        {"device": 3.5},
        {"device": "meta"},
        {"weights": 3},
        {"velocity": True},
        {"extrapolate": "yes"},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(
        InputError, match=rf"^{name} (= )?{value!r} (is not allowed|cannot be used)"
    ) as caught:
        engine("vnet", **wrong)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_network_is_refused(ics, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"not a network at all")
    with pytest.raises(InputError):
        list(engine(str(path)).run(ics, [0.0]))


def test_the_shipped_network_was_not_trained_on_what_it_is_tested_with():
    path = shipped_weights()
    facts = json.loads(path.with_suffix(".json").read_text())
    trained, validated = (set(facts[part]["seeds"]) for part in ("data", "validation_data"))
    assert trained and validated and not trained & validated
    ics, _ = read_reference(reference_path("small"))
    assert ics.seed not in trained | validated
    assert load(path).card.omega_m == (0.1, 0.5)
