"""Engines beside one another: which options reach which, and what the warm-up needs."""

from __future__ import annotations

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
