"""Plans of suites. Time is not tested: machines differ."""

import json

import pytest

import zeldo
from refusals import refusal
from zeldo.commands import main

TINY = {"n": 16, "box": 40, "power": "eisenstein-hu", "engine": "2lpt"}
WORDS = ["plan", "-n", "16", "--box", "40", "--power", "eisenstein-hu", "--engine", "2lpt"]


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_disk_of_a_suite_is_that_of_all_its_particles(tmp_path):
    given = {**TINY, "n": 32, "seeds": "0:3", "redshift": [1, 0]}
    plan = zeldo.plan_suite(**given)
    suite = zeldo.run_suite(output=tmp_path / "s", **given)
    assert plan.universes == 3
    assert plan.disk_gb == pytest.approx(1e-9 * size(suite.path), rel=0.03)


@pytest.mark.parametrize("keep", ["measure", "multipoles"])
def test_what_is_measured_takes_the_disk_of_tables_alone(keep, tmp_path):
    given = {**TINY, "cosmologies": [{"omega_m": 0.3}, {"omega_m": 0.32}], "seeds": [1, 2], "keep": keep}
    plan = zeldo.plan_suite(**given)
    suite = zeldo.run_suite(output=tmp_path / "s", **given)
    assert plan.universes == 4
    assert plan.disk_gb == pytest.approx(1e-9 * size(suite.path), rel=0.3)


def test_memory_is_of_one_process_and_time_of_all_universes():
    one, many = zeldo.plan_suite(seeds=[1], **TINY), zeldo.plan_suite(seeds="0:1000", **TINY)
    assert many.memory_gb == one.memory_gb == zeldo.plan(**TINY).memory_gb
    assert many.disk_gb == pytest.approx(1000 * one.disk_gb)
    assert many.seconds > one.seconds > 0 and many.fits
    tight = zeldo.plan_suite(seeds="0:1000", memory="0.01GB", **TINY)
    assert not tight.fits


def test_what_is_measured_takes_the_memory_of_torch_and_of_what_the_engine_still_holds():
    given = {**TINY, "n": 128, "seeds": [1], "engine": "cola"}
    kept = zeldo.plan_suite(**given)
    one = zeldo.plan_suite(**given, keep="multipoles")
    two = zeldo.plan_suite(**given, keep="multipoles", redshift=[1, 0])
    # whole processes held 0.64 and 0.72 GB at their peak, and 0.38 GB with particles
    assert kept.memory_gb == pytest.approx(0.38, rel=0.1)
    assert one.memory_gb == pytest.approx(0.64, rel=0.1)
    assert two.memory_gb == pytest.approx(0.72, rel=0.1)


def test_each_cosmology_needs_a_spectrum_and_each_seed_none():
    table = [{"omega_m": 0.3}, {"omega_m": 0.32}]
    seeds, both = (
        zeldo.plan_suite(seeds="0:4", **TINY),
        zeldo.plan_suite(cosmologies=table, seeds="0:2", **TINY),
    )
    assert both.universes == seeds.universes == 4 and both.seconds > seeds.seconds


def test_the_command_plans_the_universes_of_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("omega_m,sigma_8\n0.3,0.8\n0.25,0.9\n")
    assert main([*WORDS, "--cosmologies", "table.csv", "--seeds", "0:5", "--keep", "measure"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("disk ") and lines[1].endswith(" MB for 10 universes")
    assert lines[2].startswith("time ") and lines[2].endswith(" for 10 universes in one process")
    assert main([*WORDS, "--seeds", "0:5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["universes"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 3}, "a suite takes no seed"),
        ({"seeds": "5:5"}, "seeds '5:5' are not allowed"),
        ({"seeds": "0:5", "keep": "nothing"}, "keep = 'nothing' is not allowed: choose particles or"),
        ({"seeds": "0:5", "output": "a.hdf5"}, "has the name of a file"),
        ({"seeds": "0:5", "engine": "emulator", "box": 400}, "5 of 5 universes cannot be made"),
        ({"seeds": "0:5", "engine": "2lpt:checkpoint=a.npz"}, "no option 'checkpoint'"),
    ],
)
def test_what_no_suite_could_be_is_refused_as_the_suite_is(options, said, tmp_path):
    assert said in refusal(lambda: zeldo.plan_suite(**TINY | options))
    assert said in refusal(lambda: zeldo.run_suite(**{"output": tmp_path / "s", **TINY, **options}))


def test_an_option_of_many_universes_asks_for_them(capsys):
    assert main([*WORDS, "--keep", "measure"]) == 2
    assert "--keep is for many universes: give --seeds or --cosmologies too" in capsys.readouterr().err
