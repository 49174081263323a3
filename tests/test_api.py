"""The public functions, as Python calls them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

import zeldo
from refusals import refusal
from zeldo.api import output_paths
from zeldo.engines.parsing import name_and_options, parse_engine
from zeldo.files.reference import write_initial_conditions

TINY = {"n": 8, "box": 20, "power": "eisenstein-hu"}


def test_packages_are_attributes():
    code = "import zeldo; zeldo.networks.load, zeldo.files.read, zeldo.engines, zeldo.cosmology"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", ["zeldo", "zeldo.networks", "zeldo.statistics"])
def test_an_unknown_name_is_refused_with_the_nearest(package):
    module = importlib.import_module(package)
    name = next(name for name in module.__all__ if name.islower() and len(name) > 3)
    code = f"import {package}; {package}.{name[:-1]}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last == f"AttributeError: No {package} attribute {name[:-1]}. Did you mean: {name!r}?"


def test_the_public_names_are_listed():
    assert {"run", "compare", "Cosmology", "InputError", "statistics", "__version__"} <= set(dir(zeldo))


def test_a_users_own_wait_policy_of_openmp_wins():
    code = "import os, zeldo; print(os.environ['OMP_WAIT_POLICY'])"
    free = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for environment, policy in ((free, "passive"), ({**free, "OMP_WAIT_POLICY": "active"}, "active")):
        out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert out.stdout.strip() == policy


def test_truth_values_of_options_are_read_as_such():
    for text, value in (("False", False), ("true", True)):
        assert parse_engine(f"vnet:extrapolate={text}").extrapolate is value
    assert "extrapolate = 'maybe'" in refusal(lambda: parse_engine("vnet:extrapolate=maybe"))


def test_an_engine_is_a_name_or_a_path():
    assert parse_engine(Path("a.pt")) == parse_engine("a.pt")
    assert "engine 3 is not allowed" in refusal(lambda: parse_engine(3))


def test_a_preset_is_named_after_the_colon():
    fast = parse_engine("emulator:fast,tiles=2")
    assert (fast.preset, fast.tiles) == ("fast", 2)
    assert fast.path.name == "emulator_fast.safetensors" != parse_engine("emulator").path.name
    line = refusal(lambda: parse_engine("emulator:fst"))
    assert "preset 'fst' is not known: choose one of accurate, fast" in line
    assert "'fast' is not an option" in refusal(lambda: parse_engine("cola:fast"))
    with pytest.raises(zeldo.InputError, match="exclude each other"):
        zeldo.engine("emulator", preset="fast", weights="a.safetensors")


def test_extrapolate_belongs_to_networks(tmp_path):
    line = refusal(lambda: zeldo.run(engine="cola", extrapolate=True, **TINY))
    assert "engine cola has no option 'extrapolate'" in line
    line = refusal(lambda: zeldo.run(engine=tmp_path / "no.pt", extrapolate=True, **TINY))
    assert "no.pt cannot be read" in line


def test_numbers_of_numpy_are_numbers():
    given = {"n": np.int64(8), "box": np.int64(20), "seed": np.int64(7), "power": "eisenstein-hu"}
    (ours,) = zeldo.run(
        engine="cola", steps=np.int64(2), mesh_factor=np.float32(1), redshift=np.float32(0), **given
    )
    (plain,) = zeldo.run(engine="cola", steps=2, mesh_factor=1, redshift=0, **TINY)
    assert np.array_equal(ours.psi, plain.psi) and ours.settings == plain.settings
    assert "box = True" in refusal(lambda: zeldo.run(**{**TINY, "box": True}))


def test_no_redshift_is_today():
    (out,) = zeldo.run(engine="zeldovich", redshift=None, **TINY)
    assert out.redshift == 0
    assert "redshift array" in refusal(lambda: zeldo.run(redshift=np.zeros((1, 1)), **TINY))


def test_arrays_without_dimensions_are_numbers():
    given = {"n": np.array(8), "box": np.array(20.0), "seed": np.array(7), "power": "eisenstein-hu"}
    (ours,) = zeldo.run(
        engine="cola",
        steps=np.array(2),
        mesh_factor=np.array(1.0),
        redshift=np.array(0.5),
        omega_m=np.array(0.3),
        fixed=np.array(True),
        **given,
    )
    (plain,) = zeldo.run(engine="cola", steps=2, mesh_factor=1, redshift=0.5, omega_m=0.3, fixed=True, **TINY)
    assert np.array_equal(ours.psi, plain.psi) and (ours.settings, ours.fixed) == (plain.settings, True)
    universe = zeldo.Universe(box=np.array(20.0), n=np.array(8), seed=np.array(7), power="eisenstein-hu")
    assert (universe.box, universe.n, universe.seed) == (20.0, 8, 7)
    assert type(universe.seed) is type(universe.n) is int


def test_a_cosmology_may_be_a_mapping():
    mapping = zeldo.Cosmology.preset("planck2018").to_dict()
    ours = zeldo.initial_conditions(cosmology=mapping, omega_m=0.3, **TINY)
    assert ours.cosmology == zeldo.Cosmology(**mapping | {"omega_m": 0.3})
    short = {"omega_m": 0.3, "h": 0.7}
    assert "lacks omega_b, n_s, sigma_8" in refusal(lambda: zeldo.initial_conditions(cosmology=short, **TINY))
    wrong = mapping | {"Omega_m": 0.3}
    assert "did you mean 'omega_m'" in refusal(lambda: zeldo.initial_conditions(cosmology=wrong, **TINY))


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("cola:steps=3", "cola", "steps=3"),
        ("a:b/net.safetensors", "a:b/net.safetensors", ""),
        ("a:b/net.pt:extrapolate=true", "a:b/net.pt", "extrapolate=true"),
        ("C:/nets/net.npz:device=cuda:0", "C:/nets/net.npz", "device=cuda:0"),
        ("net.safetensors:device=cuda:1", "net.safetensors", "device=cuda:1"),
        ("emulator:weights=/a:b/net.safetensors", "emulator", "weights=/a:b/net.safetensors"),
        ("pm:device=cuda:0", "pm", "device=cuda:0"),
    ],
)
def test_paths_of_weights_may_have_colons(text, name, options):
    assert name_and_options(text) == (name, options)


def test_an_option_is_given_once():
    assert "has steps twice" in refusal(lambda: parse_engine("pm:steps=3,steps=4"))


def test_weights_in_a_folder_with_a_colon_are_found(tmp_path):
    from zeldo.engines.registry import engine

    folder = tmp_path / "a:b"
    folder.mkdir()
    shipped = files("zeldo.weights")
    for suffix in ("safetensors", "json"):
        (folder / f"net.{suffix}").write_bytes((shipped / f"vnet.{suffix}").read_bytes())
    found = parse_engine(folder / "net.safetensors")
    assert found.weights_hash == engine("vnet").weights_hash
    absent = tmp_path / "c:d" / "nowhere.safetensors"
    assert "nowhere.safetensors" in refusal(lambda: zeldo.run(engine=absent, **TINY))


def test_a_list_given_as_the_reference_is_answered_with_what_to_give():
    snapshots = zeldo.run(engine="zeldovich", **TINY)
    assert "snapshots[0]" in refusal(lambda: zeldo.compare(engine="2lpt", reference=snapshots, **TINY))
    for pair in ((snapshots, snapshots[0]), (snapshots[0], snapshots)):
        assert "snapshots[0]" in refusal(lambda pair=pair: zeldo.compare_snapshots(*pair))


def test_what_astropy_does_not_say_is_given_beside_it():
    given = FlatLambdaCDM(H0=70, Om0=0.3)
    ics = zeldo.initial_conditions(cosmology=given, omega_b=0.05, sigma_8=0.8, n_s=0.96, **TINY)
    assert ics.cosmology == zeldo.Cosmology(omega_m=0.3, omega_b=0.05, h=0.7, n_s=0.96, sigma_8=0.8)
    assert "omega_b" in refusal(lambda: zeldo.initial_conditions(cosmology=given, sigma_8=0.8, n_s=1, **TINY))


def test_every_redshift_has_a_file_of_its_own():
    close = [0.1234568, 0.1234567]
    assert [path.name for path in output_paths("o.npz", close).values()] == [
        "o_z0.1234568.npz",
        "o_z0.1234567.npz",
    ]
    for redshift in (0.5, [0.5, 0.0]):
        line = refusal(lambda given=redshift: zeldo.run(engine="2lpt", redshift=given, output="myrun"))
        assert line.startswith("myrun has no suffix, which says the format: give one of ")
    assert [path.name for path in output_paths("o.npz", [1.0, 1 / 3]).values()] == [
        "o_z1.npz",
        "o_z0.333333.npz",
    ]


def test_an_output_is_not_a_file_that_the_run_needs(tmp_path):
    ics = zeldo.initial_conditions(**TINY)
    path = write_initial_conditions(ics, tmp_path / "ics.npz")
    before = path.read_bytes()
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    for out in (path, link):
        assert "output and ics are the same file" in refusal(lambda out=out: zeldo.run(ics=path, output=out))
    assert path.read_bytes() == before
    mock = tmp_path / "mock.npz"
    line = refusal(lambda: zeldo.run(engine=f"p3m:checkpoint={mock}", output=mock, **TINY))
    assert "output and checkpoint are the same file" in line
    several = tmp_path / "mock_z1.npz"
    run = lambda: zeldo.run(engine=f"p3m:checkpoint={several}", output=mock, redshift=[1, 0], **TINY)  # noqa: E731
    assert "output and checkpoint are the same file" in refusal(run)


def test_ics_are_a_path_or_initial_conditions():
    assert "ics is a int: give" in refusal(lambda: zeldo.run(ics=5))


@pytest.mark.parametrize("call", [zeldo.run, zeldo.plan])
@pytest.mark.parametrize("output", [3, b"z0.npz"])
def test_an_output_is_text_or_a_path(call, output):
    assert f"output = {output!r} is not allowed" in refusal(lambda: call(output=output, **TINY))


def test_progress_is_a_function(monkeypatch):
    monkeypatch.setattr(zeldo.Universe, "initial_conditions", lambda self: pytest.fail("work has begun"))
    assert "progress = 3 is not allowed" in refusal(lambda: zeldo.run(engine="cola", progress=3, **TINY))


def test_a_field_that_no_universe_has_is_refused_before_an_engine_sees_it():
    ics = zeldo.initial_conditions(**TINY)
    for factor in (1e5, 1e20):
        line = refusal(lambda factor=factor: replace(ics, delta_lin=ics.delta_lin * np.float32(factor)))
        assert "no linear density contrast of today does" in line


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: zeldo.run(boxx=3), "run has no argument 'boxx'; did you mean 'box'?"),
        (lambda: zeldo.run(0.5), "run takes all arguments by name: give them as in engine=..."),
        (lambda: zeldo.run(redshifts=1), "run has no argument 'redshifts'; did you mean 'redshift'?"),
        (lambda: zeldo.compare(enginee="cola"), "compare has no argument 'enginee'; did you mean 'engine'?"),
        (lambda: zeldo.compare(engine="cola", sed=3), "compare has no argument 'sed'; did you mean 'seed'?"),
        (
            lambda: zeldo.compare(),
            "nothing to compare was given: name an engine, such as cola, or a file of a snapshot",
        ),
        (
            lambda: zeldo.initial_conditions(boxx=3),
            "initial_conditions has no argument 'boxx'; did you mean 'box'?",
        ),
    ],
)
def test_an_unknown_argument_is_answered_with_the_nearest(call, line):
    assert refusal(call) == line


def test_an_argument_like_none_is_answered_with_all():
    line = refusal(lambda: zeldo.run(qqq=1))
    assert "choose among engine, redshift" in line and "sigma_8" in line


def test_a_universe_is_described_once(monkeypatch):
    """Its white noise may be a large file, and a cosmology of astropy's may come with a warning."""
    made = []
    of = zeldo.Universe.of
    monkeypatch.setattr(
        zeldo.Universe, "of", lambda *given, **options: made.append(of(*given, **options)) or made[-1]
    )
    zeldo.run(n=16, box=40, power="eisenstein-hu", engine="zeldovich")
    assert len(made) == 1
