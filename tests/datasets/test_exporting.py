"""Initial conditions for other codes, and the finished runs that come back."""

from __future__ import annotations

import json
import re
import threading

import numpy as np
import parameter_names as names
import pytest

import zeldo
from refusals import refusal
from zeldo.commands import main
from zeldo.datasets.dataset import check_dataset, make_dataset
from zeldo.files.reference import read_initial_conditions, write_initial_conditions
from zeldo.files.registry import formats
from zeldo.initial.lpt import lpt_state
from zeldo.store.runs import RunStore

CODES = {"gadget-4": "gadget-hdf5", "mp-gadget": "bigfile", "swift": "swift"}
WRITTEN = [code for code, kind in CODES.items() if kind in formats()]


@pytest.fixture(scope="module")
def ics():
    return zeldo.initial_conditions(n=16, box=40, seed=5, power="eisenstein-hu")


def values(text):
    """The parameters of a file, name and value on each line."""
    pairs = re.findall(r"^[ \t]*(\w+)[ \t]*[:= \t][ \t]*(\S.*?)[ \t]*(?:#.*)?$", text, re.MULTILINE)
    return dict(pairs)


@pytest.mark.parametrize("code", WRITTEN)
@pytest.mark.parametrize("order", [1, 2])
def test_the_particles_have_the_linear_field(ics, tmp_path, code, order):
    done = zeldo.export_initial_conditions(ics, tmp_path / "run", code, order=order, redshift=[1, 0])
    assert sorted([*done.files, "output"]) == sorted(path.name for path in done.path.iterdir())
    kept = read_initial_conditions(done.path / "initial_conditions.npz")
    assert np.array_equal(kept.delta_lin, ics.delta_lin) and kept.seed == 5
    back = zeldo.initial_conditions_of(done.path / done.files[0], ics.cosmology)
    assert (back.delta_lin - ics.delta_lin).std() < 1e-3 * ics.delta_lin.std()


def written(code, ics, redshifts=(1.0, 0.0)):
    from zeldo.datasets.parameter_files import CODES, Job

    return CODES[code].write(Job(ics, 49, list(redshifts), 32, 0.0625))


def sections(text):
    """The names of a SWIFT file, SECTION:NAME."""
    known, section = set(), ""
    for line in text.splitlines():
        if match := re.match(r"(\s*)(\w+):", line):
            section = match[2] if not match[1] else section
            known |= {f"{section}:{match[2]}"} if match[1] else set()
    return known


def test_every_parameter_is_one_that_the_code_knows_and_none_is_missing(ics):
    found = set(values(written("mp-gadget", ics)["mp-gadget.param"]))
    assert names.MP_GADGET_NEEDED <= found <= names.MP_GADGET_KNOWN
    texts = written("gadget-4", ics)
    assert set(values(texts["gadget4.param"].replace("%", "#"))) == names.GADGET4_NEEDED
    assert {line.split("=")[0] for line in texts["Config.sh"].splitlines()} <= names.GADGET4_OPTIONS
    found = sections(written("swift", ics)["swift.yml"])
    assert names.SWIFT_NEEDED <= found <= names.SWIFT_KNOWN


def test_parameters_of_mp_gadget(ics):
    found = values(written("mp-gadget", ics)["mp-gadget.param"])
    assert found["OutputList"] == "0.5,1" and found["Nmesh"] == "32" and found["RadiationOn"] == "0"
    assert float(found["GravitySoftening"]) == pytest.approx(1 / 40)
    assert float(found["Omega0"]) + float(found["OmegaLambda"]) == pytest.approx(1)
    dark = zeldo.initial_conditions(n=8, box=20, power="eisenstein-hu", w0=-0.9)
    text = written("mp-gadget", dark)["mp-gadget.param"]
    found = values(text)
    assert (found["OmegaLambda"], found["Omega_fld"], found["w0_fld"]) == ("0", "0.6825", "-0.9")
    assert "# dark energy with w0 and wa is right in MP-Gadget since 27 February 2024" in text
    assert "# dark energy" not in written("mp-gadget", ics)["mp-gadget.param"]


def test_parameters_of_swift_are_in_units_without_h(ics):
    texts = written("swift", ics, (3.0, 0.0))
    found = values(texts["swift.yml"])
    assert float(found["comoving_DM_softening"]) == pytest.approx(0.0625 / 0.6711, rel=1e-5)
    parts = sum(float(found[name]) for name in ("Omega_cdm", "Omega_b", "Omega_lambda"))
    assert parts == pytest.approx(1, abs=1e-9) and float(found["a_begin"]) == 0.02
    assert texts["outputs.txt"].splitlines() == ["# Scale Factor", "0.25", "1"]


def test_parameters_of_gadget_4(ics, shared, tmp_path):
    done = zeldo.export_initial_conditions(ics, tmp_path / "run", "gadget-4", redshift=0.5)
    found = values((done.path / "gadget4.param").read_text().replace("%", "#"))
    # a parameter file that Gadget-4 has run with, but for those of its own initial conditions
    truth = json.loads((shared / "foreign/gadget4/hdf5_z1/truth.json").read_text())
    generator = {"NSample", "GridSize", "Seed", "SphereMode", "PowerSpectrumType", "ReNormalizeInputSpectrum"}
    generator |= {
        "PrimordialIndex",
        "ShapeGamma",
        "Sigma8",
        "PowerSpectrumFile",
        "InputSpectrum_UnitLength_in_cm",
    }
    needed = {line.split()[0] for line in truth["parameter_file"]} - generator
    assert needed <= set(found)
    assert (found["ICFormat"], found["TimeBegin"], found["BoxSize"]) == ("3", "0.02", "40.0")
    assert "PMGRID=32" in (done.path / "Config.sh").read_text().splitlines()
    dark = zeldo.initial_conditions(n=8, box=20, power="eisenstein-hu", w0=-0.9)
    assert "w0 = -0.9" in refusal(
        lambda: zeldo.export_initial_conditions(dark, tmp_path / "dark", "gadget-4")
    )
    assert not (tmp_path / "dark").exists()


@pytest.mark.parametrize(("factor", "mesh"), [(1.3, 20), (2.0, 32)])
def test_the_mesh_is_the_nearest_even_one(ics, tmp_path, factor, mesh):
    done = zeldo.export_initial_conditions(ics, tmp_path / "run", "swift", mesh_factor=factor)
    assert values((done.path / "swift.yml").read_text())["mesh_side_length"] == str(mesh)


def test_what_is_wrong_is_said_and_nothing_is_overwritten(ics, tmp_path):
    export = zeldo.export_initial_conditions
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result").touch()
    assert "finished run" in refusal(lambda: export(ics, tmp_path / "run"))
    for options, word in (
        ({"code": "gadget4"}, "did you mean 'gadget-4'"),
        ({"order": 3}, "order = 3"),
        ({"start_redshift": 0}, "start_redshift"),
        ({"redshift": 60}, "redshift 60"),
        ({"mesh_factor": 20}, "mesh_factor"),
        ({"mesh_factor": float("nan")}, "mesh_factor = nan"),
        ({"softening": 2}, "softening"),
    ):
        assert word in refusal(lambda options=options: export(ics, tmp_path / "new", **options))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.fixture
def finished(ics, tmp_path):
    """Two exported runs with the snapshots that a code would have written at its own steps."""
    for name, seed in (("one", 5), ("two", 6)):
        start = zeldo.initial_conditions(n=16, box=40, seed=seed, power="eisenstein-hu")
        done = zeldo.export_initial_conditions(start, tmp_path / name, redshift=[1, 0])
        for number, z in enumerate((1.01, 0.0)):
            (made,) = zeldo.run(ics=start, engine="cola", redshift=z)
            zeldo.write(made, done.path / "output" / f"snapshot_{number:03d}.hdf5")
    return tmp_path


def config(folder, **changes):
    return {
        "store": str(folder / "store"),
        "box": 40.0,
        "n": 16,
        "redshifts": [1.0, 0.0],
        "power": "eisenstein-hu",
        "engine": "2lpt",
        "psi_step": 0,
        "vel_step": 0,
        "train": {"runs": 1, "first_seed": 90, "finished": [str(folder / "one")]},
        "validation": {"runs": 0, "first_seed": 0, "finished": [str(folder / "two")]},
        **changes,
    }


def test_a_data_set_takes_finished_runs(ics, finished):
    result = make_dataset(config(finished, box=[40.0, 50.0]))
    assert result.made == ["f-two", "f-one", "s00000090"] or sorted(result.made) == [
        "f-one",
        "f-two",
        "s00000090",
    ]
    store = RunStore(finished / "store")
    row = store.row("f-one")
    assert (row["part"], row["seed"], store.row("f-two")["part"]) == ("train", 5, "validation")
    assert row["redshifts"] == [pytest.approx(1.01), 0.0]
    (expected,) = zeldo.run(ics=ics, engine="cola", redshift=0)
    kept, psi, vel = store.read("f-one", 0.0)
    assert np.abs(psi - (expected.psi - expected.psi.mean((1, 2, 3), keepdims=True))).max() < 1e-4
    assert np.abs(vel - expected.vel).max() < 1e-2
    assert np.abs(kept.delta_lin - ics.delta_lin).max() < 1e-4 * np.abs(ics.delta_lin).max()
    again = make_dataset(config(finished, box=[40.0, 50.0]))
    assert (again.existing, again.made) == (3, [])


def test_finished_runs_that_do_not_belong_are_refused(finished):
    def refused(**changes):
        return refusal(lambda: make_dataset(config(finished, **changes)))

    both = {"runs": 0, "first_seed": 0, "finished": [str(finished / "one")]}
    assert "name each once" in refused(validation=both)
    assert "no directory" in refused(validation={**both, "finished": [str(finished / "three")]})
    (finished / "one").rename(finished / "my one")
    line = refused(train={**both, "finished": [str(finished / "my one")]})
    assert "my one has a name that no run can have: rename the directory" in line
    (finished / "my one").rename(finished / "one")
    assert "n = 32" in refused(n=32)
    assert "the configuration n = 16 and box = 20 or 50" in refused(box=[20.0, 50.0])
    (finished / "one" / "initial_conditions.npz").unlink()
    assert "export-ics" in refused()


def test_a_finished_run_that_cannot_be_taken_stops_no_other(finished):
    swapped, last = (finished / name / "output" / "snapshot_001.hdf5" for name in ("one", "two"))
    whole, other = swapped.read_bytes(), last.read_bytes()
    swapped.write_bytes(other)
    last.unlink()
    result = make_dataset(config(finished))
    assert result.made == ["s00000090"]
    assert "did not grow from" in result.failed["f-one"]
    assert "no snapshot at z = 0, only 1.01: wait for the run" in result.failed["f-two"]
    swapped.write_bytes(whole[: len(whole) // 2])
    last.write_bytes(other)
    again = make_dataset(config(finished))
    assert (again.existing, again.made, list(again.failed)) == (1, ["f-two"], ["f-one"])
    swapped.write_bytes(whole)
    assert make_dataset(config(finished)).made == ["f-one"]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"test": {"runs": 2, "first_seed": 5}},
            "seed 5 is in test (run s00000005 of the design) and in train",
        ),
        ({"train": {"runs": 1, "first_seed": 6}}, "seed 6 is in train (run s00000006 of the design)"),
    ],
)
def test_a_seed_of_a_finished_run_is_in_one_part_only(finished, sections, words):
    assert words in refusal(lambda: make_dataset(config(finished, **sections)))
    assert not (finished / "store").exists()


def test_a_seed_of_a_finished_run_may_be_designed_in_its_own_part(finished):
    train = {"runs": 1, "first_seed": 5, "finished": [str(finished / "one")]}
    assert len(make_dataset(config(finished, train=train)).made) == 3


def test_a_seed_that_the_store_holds_stays_in_its_part(finished):
    alone = {"runs": 0, "first_seed": 0}
    make_dataset(config(finished, train={"runs": 1, "first_seed": 6}, validation=alone))
    words = "seed 6 is in train (run s00000006 of the store) and in validation"
    assert words in refusal(lambda: make_dataset(config(finished, train=alone)))


def test_a_finished_run_that_is_there_is_compared_with_the_configuration(finished):
    make_dataset(config(finished))
    one, two = ({"runs": 0, "first_seed": 0, "finished": [str(finished / name)]} for name in ("one", "two"))
    for changes, words in (
        ({"train": two, "validation": one}, "holds run 'f-two' with part = validation"),
        ({"redshifts": [0.0], "train": one}, "redshifts = [1.0"),
        ({"n": 32}, "n = 16"),
        ({"box": 100.0}, "box = 40"),
        ({"psi_step": 0.005, "train": one}, "psi_step = 0"),
        ({"vel_step": 1.0, "train": one}, "vel_step = 0"),
        ({"velocity": False, "train": one}, "velocity = True"),
    ):
        assert words in refusal(lambda changes=changes: make_dataset(config(finished, **changes)))
    other = zeldo.initial_conditions(n=16, box=40, seed=7, power="eisenstein-hu")
    write_initial_conditions(other, finished / "one" / "initial_conditions.npz")
    assert "holds run 'f-one' with seed = 5" in refusal(lambda: make_dataset(config(finished, train=one)))


def test_two_processes_take_each_finished_run_once(finished, monkeypatch):
    both, made = threading.Barrier(2, timeout=60), []

    def checked(config):
        answer = check_dataset(config)
        both.wait()  # both have seen that no run is there
        return answer

    monkeypatch.setattr("zeldo.datasets.dataset.check_dataset", checked)
    given = config(finished, train={"runs": 0, "first_seed": 0, "finished": [str(finished / "one")]})
    threads = [threading.Thread(target=lambda: made.append(make_dataset(given).made)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2 and sorted(made[0] + made[1]) == ["f-one", "f-two"]


def test_the_command_says_what_to_do_next(tmp_path, capsys):
    universe = ["--n", "8", "--box", "20", "--power", "eisenstein-hu"]
    assert main(["export-ics", str(tmp_path / "run"), *universe, "-z", "1", "-z", "0", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["run"].endswith("gadget4.param") and "ics.hdf5" in record["files"]
    assert main(["export-ics", str(tmp_path / "run"), *universe]) == 2
    assert "new directory" in capsys.readouterr().err


@pytest.mark.parametrize("order", [1, 2])
def test_particles_are_displaced_to_the_order_that_was_asked_for(order, tmp_path):
    ics = zeldo.initial_conditions(n=16, box=40, seed=5, power="eisenstein-hu")
    done = zeldo.export_initial_conditions(ics, tmp_path / "run", "gadget-4", order=order)
    found = zeldo.read(done.path / done.files[0], ics.cosmology)
    for field, wanted in zip((found.psi, found.vel), lpt_state(ics, 1 / 50, order), strict=True):
        assert (field - wanted).std() < 1e-4 * wanted.std()
