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


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> dict[str, str]:
    """Files of two engines' runs at two redshifts, and of another seed."""
    folder = tmp_path_factory.mktemp("finished")
    for name, seed in (("zeldovich", 3), ("2lpt", 3), ("other", 4)):
        engine = name if name != "other" else "2lpt"
        zeldo.run(engine=engine, seed=seed, redshift=(1, 0), output=folder / f"{name}.hdf5", **TINY)
    return {path.stem: str(path) for path in sorted(folder.iterdir())}


def test_finished_snapshots_are_compared_as_in_memory(finished, tmp_path):
    first, second = finished["zeldovich_z0"], finished["2lpt_z0"]
    result = compare(first, reference=second, output=tmp_path / "report")
    expected = zeldo.compare_snapshots(zeldo.read(first), zeldo.read(second))
    (made,) = result.comparisons
    assert (made.engine, made.reference) == ("zeldovich_z0.hdf5", "2lpt (2lpt_z0.hdf5)")
    assert made.fields.keys() == {"density", "displacement", "velocity"}
    for name, field in made.fields.items():
        assert np.array_equal(field.one_minus_r2, expected.fields[name].one_minus_r2)
    assert "zeldovich_z0.hdf5" in result.page.read_text()
    in_memory = compare(zeldo.read(first), reference=zeldo.read(second))
    assert np.array_equal(
        in_memory.comparisons[0].fields["density"].transfer, made.fields["density"].transfer
    )


def test_finished_snapshots_stand_beside_engines(finished):
    result = compare([finished["zeldovich_z0"]], engine="zeldovich", reference=finished["2lpt_z0"])
    told, run = result.comparisons
    assert (told.engine, run.engine) == ("zeldovich_z0.hdf5", "zeldovich")
    assert told.wall_seconds is None and run.wall_seconds is not None
    assert np.allclose(told.fields["density"].transfer, run.fields["density"].transfer, rtol=1e-5)


def test_a_reference_of_zeldo_tells_its_universe(finished):
    """The defaults of box, lattice and seed are others."""
    for reference in (finished["2lpt_z0"], zeldo.read(finished["2lpt_z0"])):
        (made,) = compare(engine="2lpt", reference=reference).comparisons
        assert np.nanmax(made.fields["displacement"].one_minus_r2) < 1e-5


def test_universes_are_compared_at_their_redshifts(finished, tmp_path):
    zeldo.run(engine="2lpt", seed=3, redshift=(2, 1), output=tmp_path / "u.zarr", **TINY)
    (made,) = compare(tmp_path / "u.zarr", reference=finished["zeldovich_z1"]).comparisons
    assert made.redshift == 1
    with pytest.raises(InputError, match=r"u.zarr has no redshift 0: choose among 2, 1"):
        compare(tmp_path / "u.zarr", reference=finished["zeldovich_z0"])


@pytest.mark.parametrize(
    ("snapshot", "options", "message"),
    [
        ((), {}, "nothing to compare was given: name an engine"),
        ("2lpt_z0", {}, "give its file or a snapshot as the reference"),
        ("2lpt_z0", {"reference": "p3m"}, "reference 'p3m' is not a file: an engine runs only by --engine"),
        ("2lpt_z0", {"reference": "other_z0"}, "2lpt_z0.hdf5 has seed = 3 and the reference has 4"),
        ("2lpt_z0", {"reference": "2lpt_z1"}, "2lpt_z0.hdf5 has no redshift 1: choose among 0"),
        ("2lpt_z0", {"reference": "zeldovich_z0", "box": 50}, "box is for runs of engines"),
        ("2lpt_z0", {"reference": "zeldovich_z0", "seed": 0}, "seed is for runs of engines"),
        ("2lpt_z0", {"reference": "zeldovich_z0", "steps": 5}, "steps is an option of engines"),
        (3, {"reference": "zeldovich_z0"}, "snapshot is a int: give a file"),
    ],
)
def test_finished_snapshots_that_cannot_be_compared(finished, snapshot, options, message):
    paths = {
        name: finished.get(value, value) if name == "reference" else value for name, value in options.items()
    }
    given = finished.get(snapshot, snapshot) if isinstance(snapshot, str) else snapshot
    with pytest.raises(InputError, match=message):
        compare(given, **paths)


def test_finished_snapshots_that_do_not_fit_are_refused(finished, monkeypatch, no_room):
    first, second = (zeldo.read(finished[name]) for name in ("zeldovich_z0", "2lpt_z0"))
    monkeypatch.setattr(memory, "available", lambda: 1e3)
    with pytest.raises(InputError, match=r"the comparison needs about .* give universes in .zarr"):
        compare(first, reference=second)
