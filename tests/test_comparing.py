"""Engines beside one another: which options reach which, and what the warm-up needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import zeldo
from zeldo import comparing
from zeldo.comparing import compare, warm_up
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.files.universe_zarr import UniverseZarr
from zeldo.initial.conditions import InitialConditions
from zeldo.measuring import memory
from zeldo.networks.card import ModelCard
from zeldo.networks.vnet import VNet
from zeldo.networks.weights import save
from zeldo.statistics import on_disk

TINY = {"n": 16, "box": 31.25, "power": "eisenstein-hu"}


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> dict[str, str]:
    """Networks at z = 1: the stride of one is 16, of the other 4."""
    torch.manual_seed(0)
    paths = {}
    for name, levels in (("deep", 5), ("shallow", 3)):
        arguments = {"channels": 1, "levels": levels}
        card = ModelCard("vnet", arguments, "deoliveira2020", {}, (1, 1), (1.9, 2.0), (0.1, 0.5))
        paths[name] = str(tmp_path_factory.mktemp("nets") / f"{name}.safetensors")
        save(VNet(**arguments).eval(), paths[name], card)
    return paths


def test_what_watches_is_a_function():
    with pytest.raises(InputError, match="watch = 3 is not allowed"):
        compare(engine="2lpt", watch=3, **TINY)


def test_one_engine_may_stand_alone():
    result = compare(engine="zeldovich", reference="2lpt", **TINY)
    assert [one.engine for one in result.comparisons] == ["zeldovich"]
    with pytest.raises(InputError, match="engine None is not allowed"):
        compare(engine=None, reference="2lpt", **TINY)


@pytest.mark.parametrize(
    "name", ["{deep}", "{shallow}:tiles=3", "p3m:start_redshift=9,reach=5,mesh_step=1,pair_accuracy=100"]
)
def test_what_runs_is_compared(nets, name):
    """Networks at their own redshift, deep or in tiles; pair forces that reach far."""
    assert len(compare(engine=name.format(**nets), reference="2lpt", redshift=1, **TINY).comparisons) == 1


def test_the_warm_up_leaves_the_checkpoint_alone(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(b"of another run")
    ics = InitialConditions(16.0, 8, Cosmology.preset("quijote"), np.zeros((8, 8, 8)))
    warm_up(engine("p3m", checkpoint=str(path), mesh_step=1.0), ics, [9.0])
    assert path.read_bytes() == b"of another run"


def test_options_go_to_the_engines_that_have_them(nets):
    chosen = compare(engine=["zeldovich", "cola"], steps=2, reference="2lpt", **TINY)
    assert chosen.snapshots[1].settings["steps"] == 2
    out = compare(engine=["zeldovich", nets["deep"]], extrapolate=True, reference="2lpt", **TINY)
    assert out.snapshots[1].settings["extrapolate"] is True
    for options in ({"steps": 0}, {"extrapolate": True}, {"mesh_factor": 1}):
        with pytest.raises(InputError, match=f"zeldovich has no option '{next(iter(options))}'"):
            compare(engine=["zeldovich", "2lpt"], reference="2lpt", **options, **TINY)


def test_a_redshift_that_is_not_quite_round_is_found(tmp_path):
    (truth,) = zeldo.run(engine="2lpt", redshift=1.0000004, output=tmp_path / "g.npz", **TINY)
    (found,) = compare(engine="zeldovich", reference=tmp_path / "g.npz", redshift=1, **TINY).comparisons
    assert found.redshift == truth.redshift
    with pytest.raises(InputError, match=r"no redshift 1.1: choose among 1"):
        compare(engine="zeldovich", reference=tmp_path / "g.npz", redshift=1.1, **TINY)


def test_a_reference_in_single_precision_is_of_the_same_universe():
    (truth,) = zeldo.run(engine="2lpt", **{**TINY, "box": 31.3})
    cosmology = replace(truth.cosmology, omega_m=float(np.float32(truth.cosmology.omega_m)))
    rounded = replace(truth, box=float(np.float32(truth.box)), cosmology=cosmology)
    assert rounded.box != truth.box and rounded.cosmology != truth.cosmology
    (compared,) = compare(engine="2lpt", reference=rounded, **{**TINY, "box": 31.3}).comparisons
    assert compared.fields["density"].one_minus_r2.max() < 1e-6
    for other in ({"box": 31.31}, {"cosmology": replace(cosmology, omega_m=0.3176)}):
        with pytest.raises(InputError, match=f"the reference has {next(iter(other))} = "):
            compare(engine="2lpt", reference=replace(truth, **other), **{**TINY, "box": 31.3})


def test_a_seed_of_zero_is_asked_for_as_any_other(monkeypatch):
    """The reference brings its own initial conditions, where nothing else is asked for."""

    def made(**given):
        raise InputError(f"asked for seed {given['seed']}")

    monkeypatch.setattr("zeldo.comparing.initial_conditions", made)
    with pytest.raises(InputError, match="asked for seed 0"):
        compare(engine="zeldovich", reference="small", seed=0)


@pytest.mark.parametrize("suffix", [".bigfile", ".zarr"])
def test_a_reference_may_be_a_directory(tmp_path, suffix):
    path = tmp_path / f"truth{suffix}"
    zeldo.run(engine="2lpt", output=path, **TINY)
    result = compare(engine="2lpt", reference=path, **TINY)
    assert result.comparisons[0].fields["displacement"].one_minus_r2.max() < 1e-6


def test_a_simulation_of_quijote_is_that_of_its_seed(tmp_path):
    named = {"n": 8, "power": "eisenstein-hu", "phases": "quijote:h_p/3"}
    equal = {**named, "phases": "ngenic", "seed": 35, "box": 1000.0, "h": 0.6911}
    zeldo.run(engine="2lpt", output=tmp_path / "named.npz", **named)
    for universe in (named, equal):
        result = compare(engine="zeldovich", reference=tmp_path / "named.npz", **universe)
        assert result.comparisons[0].fields["displacement"].one_minus_r2[0] < 1e-3
    for change in ({"seed": 36}, {"phases": "native"}, {"fixed": True}, {"flip": True}):
        with pytest.raises(InputError, match="mode by mode"):
            compare(engine="zeldovich", reference=tmp_path / "named.npz", **equal | change)


def same_numbers(result, expected, rtol=2e-6):
    for one, other in zip(result.comparisons, expected.comparisons, strict=True):
        assert (one.engine, one.redshift) == (other.engine, other.redshift)
        for label, field in other.fields.items():
            np.testing.assert_allclose(one.fields[label].transfer, field.transfer, rtol=rtol)
            np.testing.assert_allclose(
                one.fields[label].one_minus_r2, field.one_minus_r2, rtol=1e-3, atol=1e-6
            )


@pytest.fixture
def no_room(monkeypatch):
    """Snapshots do not fit into memory, and none of their fields is read whole."""
    monkeypatch.setattr(comparing, "available", lambda: 1e3)
    monkeypatch.setattr(UniverseZarr, "whole", lambda *field: pytest.fail("it was read whole"))


def test_snapshots_that_do_not_fit_are_compared_on_disk(tmp_path, request):
    asked = {"engine": ["zeldovich", "cola:steps=2"], "reference": "2lpt", "redshift": [1, 0], **TINY}
    expected = compare(**asked)
    request.getfixturevalue("no_room")
    report = tmp_path / "report"
    result = compare(**asked, output=report)
    same_numbers(result, expected)
    assert all(one.wall_seconds > 0 for one in result.comparisons)
    universes = {"1-zeldovich.zarr", "2-cola.zarr", "reference.zarr"}
    assert {path.name for path in report.iterdir()} == universes | {"index.html", "comparison.json"}
    assert "data:image/png" in result.page.read_text()  # slices
    again = compare(**asked, output=report)
    same_numbers(again, result, rtol=0)
    assert all(one.wall_seconds is None for one in again.comparisons)


def test_without_a_place_for_what_does_not_fit_it_is_refused(tmp_path, monkeypatch, no_room):
    monkeypatch.setattr(memory, "available", lambda: 1e3)
    with pytest.raises(InputError, match=r"libraries, but only .* give an output, a directory"):
        compare(engine="zeldovich", reference="2lpt", **TINY)
    with pytest.raises(InputError, match="a mesh of 32 points a side needs"):
        compare(engine="zeldovich", reference="2lpt", output=tmp_path / "report", **TINY)
    assert not any(tmp_path.iterdir())


def test_a_file_that_does_not_fit_is_no_reference(tmp_path, monkeypatch):
    (made,) = zeldo.run(engine="2lpt", **TINY)
    path = zeldo.write(made, tmp_path / "truth.npz")
    monkeypatch.setattr(memory, "resident", lambda: 0.3e9)
    monkeypatch.setattr(zeldo.Particles, "read", lambda *rows: pytest.fail("particles were read"))
    with pytest.raises(InputError, match=r"truth\.npz: 4096 particles need .* or a universe in \.zarr"):
        compare(engine="zeldovich", reference=path, memory="300.09MB", **TINY)
    with pytest.raises(pytest.fail.Exception, match="particles were read"):
        compare(engine="zeldovich", reference=path, memory="300.1MB", **TINY)


def test_libraries_that_the_runs_load_are_counted_before_them(tmp_path, monkeypatch, no_room):
    for module in (memory, on_disk):
        monkeypatch.setattr(module, "resident", lambda: 0.3e9)
    monkeypatch.setattr(comparing, "run_into", lambda *given, **named: pytest.fail("a run was begun"))
    with pytest.raises(InputError, match="a mesh of 32 points a side needs about 50"):
        compare(engine="zeldovich", reference="2lpt", output=tmp_path / "report", memory="450MB", **TINY)


def test_a_universe_is_a_reference_at_all_its_redshifts(tmp_path, monkeypatch):
    path = tmp_path / "u.zarr"
    snapshots = zeldo.run(engine="2lpt", redshift=[1, 0], output=path, **TINY)
    memory = [UniverseZarr(path).snapshot(z) for z in (1, 0)]
    monkeypatch.setattr(UniverseZarr, "whole", lambda *field: pytest.fail("it was read whole"))
    result = compare(engine="zeldovich", reference=path, redshift=[1, 0], mesh=16, **TINY)
    assert [one.redshift for one in result.references] == [s.redshift for s in snapshots] == [1, 0]
    assert result.comparisons[0].reference == "2lpt (u.zarr)"
    for one, truth in zip(result.comparisons, memory, strict=True):
        (expected,) = compare(
            engine="zeldovich", reference=truth, redshift=one.redshift, mesh=16, **TINY
        ).comparisons
        same_numbers(comparing.CompareResult([one]), comparing.CompareResult([expected]))
    with pytest.raises(InputError, match="the reference has seed = 7"):
        compare(engine="zeldovich", reference=path, **TINY, seed=8)
