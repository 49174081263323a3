"""Suites of universes: one process, several, and those that are killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import zeldo
import zeldo.suites.worker as suite_worker
from refusals import refusal
from zeldo.commands import main
from zeldo.engines.parsing import parse_engine
from zeldo.engines.trained import shipped_weights
from zeldo.errors import ZeldoError, ZeldoWarning
from zeldo.interrupts import interruptible
from zeldo.measuring.energy import Used
from zeldo.particles.provenance import file_hash
from zeldo.store.claims import Claims, check_lease, identity, publish
from zeldo.store.queue import FAILED, LEFT, MADE, in_turn
from zeldo.suites.suite import Suite, read_manifest
from zeldo.suites.tasks import parse_seeds, read_cosmologies
from zeldo.suites.worker import Worker

TINY = {"n": 16, "box": 40, "power": "eisenstein-hu", "engine": "2lpt"}
COMMAND = [sys.executable, "-m", "zeldo", "run", "-n", "16", "--box", "40", "--power", "eisenstein-hu"]


def test_each_universe_is_that_of_a_run(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds="3:5", redshift=[1, 0], **TINY)
    rows = suite.rows()
    assert [row["seed"] for row in rows] == [3, 4] and {row["status"] for row in rows} == {"done"}
    for row in rows:
        for path, z in zip(row["where"].split(), (1, 0), strict=True):
            (alone,) = zeldo.run(seed=row["seed"], redshift=z, **TINY)
            made = zeldo.read(suite.path / path)
            np.testing.assert_allclose(made.psi, alone.psi, atol=1e-4)
            assert made.seed == row["seed"] and made.redshift == z
    assert not any((suite.path / "claims").iterdir())
    table = read_manifest(suite.path)
    assert [line["name"] for line in table] == ["s3", "s4"]
    assert float(table[0]["omega_m"]) == 0.3175 and table[0]["seconds"] and table[0]["sha256"]


def test_the_manifest_says_with_which_options_the_engine_ran(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY | {"engine": "cola", "steps": 3})
    (line,) = read_manifest(suite.path)
    options = ",".join(line["settings"].split())
    assert parse_engine(f"{line['engine']}:{options}") == parse_engine("cola:steps=3")


def test_what_reads_particles_says_where_a_suite_has_them(tmp_path):
    zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    assert f"give a file of {tmp_path / 's' / 'universes'}" in refusal(lambda: zeldo.read(tmp_path / "s"))


def test_a_directory_with_folders_of_the_same_names_is_no_suite(tmp_path):
    mine = tmp_path / "mine" / "universes" / "s0" / "a.txt"
    mine.parent.mkdir(parents=True)
    (tmp_path / "mine" / "rows").mkdir()
    mine.write_text("years of work")
    assert "is not a suite" in refusal(lambda: zeldo.run_suite(output=tmp_path / "mine", seeds=[0], **TINY))
    assert mine.exists()


def test_a_universe_that_is_made_again_leaves_what_users_put_beside_it(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[0], **TINY)
    mine = suite.path / "universes" / "s0" / "halos.txt"
    mine.write_text("years of work")
    (suite.path / "rows" / "s0.json").unlink()
    (suite.path / "rows" / "notes.txt").write_text("no row")
    again = zeldo.run_suite(output=tmp_path / "s", seeds=[0], **TINY)
    assert again.done() == {"s0"} and mine.read_text() == "years of work"


def test_a_suite_that_is_done_is_not_made_again(tmp_path, monkeypatch):
    zeldo.run_suite(output=tmp_path / "s", seeds="0:2", **TINY)
    monkeypatch.setattr("zeldo.suites.worker.Worker._make", lambda *given: pytest.fail("made again"))
    assert len(zeldo.run_suite(output=tmp_path / "s", seeds="0:2", **TINY).rows()) == 2


def test_measures_take_the_place_of_particles(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[5], keep="measure", **TINY)
    (row,) = suite.rows()
    (snapshot,) = zeldo.run(seed=5, **TINY)
    expected = zeldo.power_spectrum(snapshot, mesh=16)
    with np.load(suite.path / row["where"]) as values:
        np.testing.assert_array_equal(values["z0_power"], expected.power)
    assert not list(suite.path.rglob("*.hdf5"))


def test_multipoles_are_kept_as_they_are_measured(tmp_path):
    given = TINY | {"redshift": [1, 0]}
    (row,) = zeldo.run_suite(output=tmp_path / "s", seeds=[5], keep="multipoles", **given).rows()
    measured = zeldo.measure(zeldo.run(seed=5, **given), mesh=16)
    with np.load(tmp_path / "s" / row["where"]) as values:
        for each in measured:
            table = {**each.tables["power"], **each.tables["multipoles"]}
            kept = {name: values[f"z{each.redshift:g}_{name}"] for name in table}
            np.testing.assert_equal(kept, table)
        assert len(values.files) == 12 and abs(values["z0_quadrupole"][0]) > 1


def test_multipoles_without_velocities_are_refused_before_any_universe_is_made(tmp_path):
    given = {"output": tmp_path / "s", "seeds": [1], "n": 16, "box": 31.25, "power": "eisenstein-hu"}
    line = refusal(lambda: zeldo.run_suite(engine="vnet", keep="multipoles", **given))
    assert line.startswith("engine vnet makes no velocities") and not (tmp_path / "s").exists()


@dataclass(frozen=True)
class Still(zeldo.Engine):
    """An engine whose plan does not say that it makes no velocities."""

    name: ClassVar[str] = "still"
    revision: ClassVar[int] = 1

    def evolve(self, ics, redshifts, progress):
        for z in redshifts:
            yield self.snapshot(ics, np.zeros((3, ics.n, ics.n, ics.n), np.float32), None, z)


def test_a_universe_without_velocities_fails_where_multipoles_are_kept(tmp_path):
    given = {"seeds": [1], "n": 16, "box": 31.25, "power": "eisenstein-hu", "engine": Still()}
    suite = zeldo.run_suite(output=tmp_path / "s", keep="multipoles", **given)
    assert "engine still makes no velocities" in suite.failed()["s1"]


def test_cosmologies_come_from_a_table_with_every_seed_or_their_own(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("omega_m,sigma_8\n0.3,0.8\n0.25,0.9\n")
    suite = zeldo.run_suite(output=tmp_path / "s", seeds="0:2", cosmologies=table, **TINY)
    rows = suite.rows()
    assert [(row["omega_m"], row["seed"]) for row in rows] == [(0.3, 0), (0.3, 1), (0.25, 0), (0.25, 1)]
    assert zeldo.read(suite.path / rows[2]["where"]).cosmology.sigma_8 == 0.9
    table.write_text("omega_m,seed\n0.3,8\n0.25,9\n")
    suite = zeldo.run_suite(output=tmp_path / "t", cosmologies=table, keep="measure", **TINY)
    assert [(row["omega_m"], row["seed"]) for row in suite.rows()] == [(0.3, 8), (0.25, 9)]
    table.write_text("omega_x\n0.3\n")
    assert "omega_x" in refusal(lambda: read_cosmologies(table, zeldo.Universe.cosmology))
    table.write_text("omega_m,sigma_8,omega_m\n0.3,0.8,0.31\n")
    assert "2 columns 'omega_m'" in refusal(lambda: read_cosmologies(table, zeldo.Universe.cosmology))


@pytest.mark.parametrize(
    "line", ["0.3,1.5", "0.3,nan", "0.3,-4", "0.3,1e30"], ids=["fraction", "nan", "negative", "huge"]
)
def test_a_seed_in_a_table_is_a_seed(tmp_path, line):
    table = tmp_path / "c.csv"
    table.write_text(f"omega_m,seed\n{line}\n")
    assert "seed = " in refusal(lambda: read_cosmologies(table, zeldo.Universe.cosmology))


def test_a_seed_of_a_table_keeps_all_its_digits(tmp_path):
    table, seed = tmp_path / "c.csv", 2**53 + 1
    table.write_text(f"omega_m,seed\n0.3,{seed}\n0.3,1e3\n")
    assert read_cosmologies(table, zeldo.Universe.cosmology)[1] == [seed, 1000]
    table.write_text(f'{{"seed": {seed}}}\n{{"seed": 8.0}}\n')
    assert read_cosmologies(table, zeldo.Universe.cosmology)[1] == [seed, 8]


def test_a_table_of_a_spreadsheet_is_read(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("omega_m,seed\r\n0.3,8\r\n", encoding="utf-8-sig")
    (cosmology,), seeds = read_cosmologies(table, zeldo.Universe.cosmology)
    assert cosmology.omega_m == 0.3 and seeds == [8]


def test_the_seed_of_a_universe_is_that_of_its_suite(tmp_path):
    universe = zeldo.Universe(n=16, box=40, power="eisenstein-hu", seed=42)
    given = {"universe": universe, "engine": "2lpt", "cosmologies": [{"omega_m": 0.3}], "keep": "measure"}
    assert [row["seed"] for row in zeldo.run_suite(output=tmp_path / "s", **given).rows()] == [42]


def test_one_cosmology_is_no_list():
    base = zeldo.Universe.cosmology
    for single in (base, base.to_dict()):
        assert "give a list" in refusal(lambda single=single: read_cosmologies(single, base))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        *((bad, "are not allowed") for bad in ("", "3:1", "a", "1.5", "0:2:3", [1.5], [True], [np.inf], 5)),
        ("1,1", "twice"),
        ("-1", "seed = -1"),
        ([10**30], "2^63"),
        ("0:99999999", "are more than"),
        ("0:" + "9" * 40, "are more than"),
    ],
)
def test_seeds_that_are_none_are_refused(bad, words):
    assert words in refusal(lambda: parse_seeds(bad))


@pytest.mark.parametrize(
    ("phases", "seeds"), [("ngenic", [2**31]), ("quijote:fiducial/17", "0:2")], ids=["31 bits", "one seed"]
)
def test_seeds_that_the_phases_cannot_have_are_refused_before_any_universe(tmp_path, phases, seeds):
    given = {"n": 16, "power": "eisenstein-hu", "engine": "2lpt", "phases": phases}
    assert "seed = " in refusal(lambda: zeldo.run_suite(output=tmp_path / "s", seeds=seeds, **given))
    assert not (tmp_path / "s").exists()


def test_a_later_cosmology_that_is_not_that_of_the_phases_is_refused_before_any_universe(tmp_path):
    given = {"n": 16, "power": "eisenstein-hu", "engine": "2lpt", "phases": "quijote:fiducial/17"}
    for rows in ([{"w0": -1}, {"w0": -0.9}], [{"w0": -0.9}]):
        line = refusal(lambda rows=rows: zeldo.run_suite(output=tmp_path / "s", cosmologies=rows, **given))
        assert line.startswith("the phases quijote:fiducial/17 bring another cosmology")
    assert not (tmp_path / "s").exists()


def test_universes_outside_a_model_card_are_refused_before_any_is_made(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("omega_m\n0.3\n0.7\n0.31\n0.8\n")
    given = {"output": tmp_path / "s", "cosmologies": table, "seeds": "0:2", "n": 32, "box": 64}
    line = refusal(lambda: zeldo.run_suite(**given, engine="emulator", power="eisenstein-hu"))
    assert line.startswith(
        "4 of 8 universes cannot be made, the first is c00001-s0: omega_m = 0.7 is outside"
    )
    wide = {**given, "seeds": None, "cosmologies": None, "box": 640}
    line = refusal(lambda: zeldo.run_suite(**wide, engine="vnet", power="eisenstein-hu"))
    assert line.startswith("1 of 1 universes cannot be made, the first is s7: spacing = 20 Mpc/h is outside")
    assert not (tmp_path / "s").exists()


def test_a_model_card_may_be_set_aside_in_a_suite(tmp_path):
    given = {"seeds": [1], "n": 32, "box": 64, "omega_m": 0.7, "power": "eisenstein-hu"}
    suite = zeldo.run_suite(output=tmp_path / "s", engine="emulator:fast", extrapolate=True, **given)
    assert not suite.failed()


@pytest.mark.parametrize("name", ["zeldo.hdf5", "u.zarr", "a.NPZ"])
def test_the_name_of_a_file_is_none_of_a_suite(tmp_path, name, capsys):
    out = tmp_path / name
    assert main([*COMMAND[3:], "--engine", "2lpt", "--seeds", "0:2", "-o", str(out)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and name in err and "a suite is a directory" in err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("output", [None, 3])
def test_what_names_no_directory_is_none_of_a_suite(output):
    line = refusal(lambda: zeldo.run_suite(output=output, seeds=[1], **TINY))
    assert line == f"output = {output} is not allowed: give the name of a directory, such as suite"


def test_a_suite_has_a_name_where_none_is_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND[3:], "--engine", "2lpt", "--seeds", "0:2", "--keep", "measure"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["suite"]
    assert f"{os.path.join('suite', 'manifest.csv')}: 2 of 2 universes" in capsys.readouterr().out


def test_a_suite_that_does_not_fit_is_told_of_no_output_that_it_may_not_have(tmp_path):
    given = {**TINY, "seeds": [0], "engine": "cola", "memory": "10MB"}
    line = refusal(lambda: zeldo.run_suite(output=tmp_path / "s", **given))
    assert "cola with n = 16 needs about" in line and line.endswith("or more memory")
    assert not (tmp_path / "s").exists()


def test_an_engine_has_one_name_however_it_is_spelled(tmp_path):
    given = {**TINY, "output": tmp_path / "s", "seeds": [1], "keep": "measure"}
    suite = zeldo.run_suite(**{**given, "engine": "cola"}, steps=3)
    assert zeldo.run_suite(**{**given, "engine": "cola:steps=3"}).rows() == suite.rows()
    assert suite.arguments["engine"] == "cola"


def test_an_option_has_one_value_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("zeldo.suites.run._follow", lambda *given: None)
    for spelling in ("p3m", "p3m:mesh_factor=3", "p3m:mesh_factor=3.0"):
        zeldo.run_suite(**{**TINY, "engine": spelling}, seeds=[1], output=tmp_path / "s")


def test_a_file_of_weights_has_one_name_wherever_it_is_called_from(tmp_path, monkeypatch):
    import shutil

    shutil.copy(shipped_weights("emulator_fast"), tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zeldo.suites.run._follow", lambda *given: None)
    given = {"n": 32, "box": 64, "power": "eisenstein-hu", "seeds": [1], "output": tmp_path / "s"}
    zeldo.run_suite(**given, engine="w.safetensors")
    for spelling in ("./w.safetensors", tmp_path / "w.safetensors"):
        zeldo.run_suite(**given, engine=spelling)


def test_a_suite_that_was_begun_with_a_spelling_goes_on(tmp_path):
    """As suites were written before: with the engine as it was typed."""
    given = {**TINY, "output": tmp_path / "s", "seeds": [1], "keep": "measure", "engine": "cola:steps=3"}
    record = zeldo.run_suite(**given).path / "suite.json"
    for spelling in ("cola:steps=3", "cola"):
        record.write_text(json.dumps(json.loads(record.read_text()) | {"engine": spelling}))
        assert len(zeldo.run_suite(**given).rows()) == 1
        assert "was begun with engine = " in refusal(lambda: zeldo.run_suite(**{**given, "engine": "2lpt"}))
        assert "was begun with steps = " in refusal(
            lambda: zeldo.run_suite(**{**given, "engine": "cola:steps=4"})
        )


def test_another_argument_is_refused_by_its_name(tmp_path, monkeypatch):
    arguments = {"output": tmp_path / "s", "seeds": [1], **TINY}
    zeldo.run_suite(**arguments)
    assert "was begun with box = " in refusal(lambda: zeldo.run_suite(**{**arguments, "box": 50}))
    assert "was begun with seeds = " in refusal(lambda: zeldo.run_suite(**{**arguments, "seeds": [2]}))
    assert "was begun with engine = " in refusal(lambda: zeldo.run_suite(**{**arguments, "engine": "cola"}))
    assert "was begun with keep = " in refusal(lambda: zeldo.run_suite(**{**arguments, "keep": "measure"}))
    monkeypatch.setattr("zeldo.engines.lpt.SecondOrder.revision", 99)
    line = refusal(lambda: zeldo.run_suite(**arguments))
    assert "was begun with other software or weights (engine revision " in line
    assert "not a suite" in refusal(lambda: Suite.open(tmp_path))


def test_a_table_of_power_is_known_by_what_it_holds(tmp_path, monkeypatch):
    k = np.geomspace(1e-4, 1e2, 100)
    given = {**TINY, "seeds": [1], "power": "pk.txt", "output": tmp_path / "s", "keep": "measure"}
    power = zeldo.linear_power(zeldo.Cosmology.preset("quijote"), "eisenstein-hu")(k)
    for folder, slope in (("a", 0.0), ("b", 0.0), ("c", 0.01)):
        (tmp_path / folder).mkdir()
        np.savetxt(tmp_path / folder / "pk.txt", np.stack([k, power * k**slope], axis=1))
    monkeypatch.chdir(tmp_path / "a")
    suite = zeldo.run_suite(**given)
    assert not suite.failed()
    monkeypatch.chdir(tmp_path / "b")
    assert zeldo.run_suite(**given).rows() == suite.rows()
    monkeypatch.chdir(tmp_path / "c")
    assert "was begun with power = " in refusal(lambda: zeldo.run_suite(**given))


def test_what_fails_is_listed_and_tried_again(tmp_path, capsys, monkeypatch):
    make = Worker._make

    def fails(worker, task):
        if task.seed == 1:
            raise RuntimeError("a bad day")
        return make(worker, task)

    out = str(tmp_path / "s")
    command = [*COMMAND[3:], "--engine", "2lpt", "--seeds", "0:3", "-o", out]
    monkeypatch.setattr(Worker, "_make", fails)
    assert main(command) == 1
    assert "s1 failed: RuntimeError: a bad day" in capsys.readouterr().out
    assert [line["status"] for line in read_manifest(out)] == ["done", "failed", "done"]
    monkeypatch.setattr(Worker, "_make", make)
    assert main(command) == 0
    assert [line["status"] for line in read_manifest(out)] == 3 * ["done"]


def test_what_fails_in_another_process_is_not_tried_again(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    (task,) = suite.tasks
    (suite.path / "rows" / "s1.json").unlink()
    suite.fail("s1", "a bad day, some calls ago")
    worker = Worker(suite, zeldo.engine("2lpt"), zeldo.Universe.of(n=16, box=40.0, power="eisenstein-hu"))
    with Claims(suite.path / "claims").claim("s1"):
        assert worker.attempt(task) == LEFT
    os.utime(suite.path / "failed" / "s1.json", (1e9, 1e9))  # another one just now
    assert worker.attempt(task) == FAILED and not suite.is_done("s1")
    assert Worker(*worker.parts()).attempt(task) == FAILED  # a worker of the same call, on a cluster
    following = Worker(*worker.parts()[:-1])
    with Claims(suite.path / "claims").claim("s1"):
        assert following.attempt(task) == LEFT
    assert following.attempt(task) == MADE


def test_a_universe_that_another_process_made_has_not_failed(tmp_path, monkeypatch):
    """A process that stood still for more than its lease finds its files gone."""
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    (task,), row = suite.tasks, suite.path / "rows" / "s1.json"
    text = row.read_text()
    row.unlink()

    def taken_over(worker, task):
        row.write_text(text)
        raise FileNotFoundError("its directory")

    monkeypatch.setattr(Worker, "_make", taken_over)
    worker = Worker(suite, zeldo.engine("2lpt"), zeldo.Universe.of(n=16, box=40.0, power="eisenstein-hu"))
    assert worker.attempt(task) == MADE and not suite.failed()


def test_a_full_disk_ends_a_suite(tmp_path, monkeypatch):
    monkeypatch.setattr("zeldo.files.atomic.free_space", lambda path: 1000)
    suite = {**TINY, "output": tmp_path / "s", "seeds": "0:3"}
    with pytest.raises(zeldo.ZeldoError, match=r"no space left for .*the same command resumes"):
        zeldo.run_suite(**suite)
    monkeypatch.undo()
    assert not zeldo.run_suite(**suite).failed()


def test_a_suite_that_cannot_keep_universes_is_refused(tmp_path, monkeypatch):
    suite = {**TINY, "output": tmp_path / "s", "seeds": [1]}
    zeldo.run_suite(**suite)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: allowed(path, mode) and Path(path).name != "rows")
    assert refusal(lambda: zeldo.run_suite(**suite)).endswith("s: rows is not writable")


def test_a_disk_without_room_for_all_universes_is_said_first(tmp_path, monkeypatch):
    suite = {**TINY, "output": tmp_path / "s"}
    room = 0.4e6  # bytes, and the particles of a universe take some 0.17e6
    monkeypatch.setattr("zeldo.planning.free_space", lambda path: room)
    with pytest.warns(
        ZeldoWarning, match=r"^3 universes take about .* GB of disk at .*s, and 0\.0004 GB are free"
    ):
        zeldo.run_suite(seeds="0:3", **suite)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zeldo.run_suite(seeds="0:3", **suite)  # none is missing
        zeldo.run_suite(seeds="0:3", keep="measure", **TINY, output=tmp_path / "measured")


def test_a_manifest_is_written_once_while_others_are_at_work(tmp_path, monkeypatch):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2], **TINY)
    done = iter([{"s1"}, {"s1"}, {"s1", "s2"}] * 50)
    monkeypatch.setattr(Suite, "done", lambda self: next(done))  # another universe at every look
    with Claims(suite.path / "claims").claim("s3"):
        assert suite.write_manifest().exists()
    assert next(done) == {"s1"}


def test_every_row_of_a_manifest_has_its_arguments(tmp_path, monkeypatch):
    monkeypatch.setattr(Worker, "_make", lambda worker, task: 1 / 0)
    table = [{"omega_m": 0.3}, {"omega_m": 0.32}]
    suite = zeldo.run_suite(output=tmp_path / "s", cosmologies=table, seeds=[7], **TINY)
    (suite.path / "failed" / "c00001-s7.json").unlink()
    suite.write_manifest()
    rows = read_manifest(suite.path)
    assert [(row["status"], row["omega_m"], row["n"], row["engine"]) for row in rows] == [
        ("failed", "0.3", "16", "2lpt"),
        ("waiting", "0.32", "16", "2lpt"),
    ]


def test_files_that_are_gone_are_told(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2], **TINY)
    shutil.rmtree(suite.path / "universes" / "s2")
    with pytest.warns(ZeldoWarning, match=r"files of 1 universes are gone, of s2 first"):
        zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2], **TINY)
    for file in (suite.path / "universes" / "s1").iterdir():
        file.unlink()
    with pytest.warns(ZeldoWarning, match=r"files of 2 universes are gone, of s1 first"):
        zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2], **TINY)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cosmologies": 5}, "cosmologies = 5 is not allowed"),
        (
            {"cosmologies": [{"omega_m": 0.3}, {}, {"omega_m": 0.3}]},
            "cosmologies 1 and 3 of the list are the same",
        ),
        (
            {"cosmologies": [{"omega_m": 0.3, "seed": 1}, {"omega_m": 0.3, "seed": 2}] * 2},
            "cosmologies 1 and 3 of the list are the same, with the same seed",
        ),
        ({"cosmologies": np.full((2, 5), 0.3)}, "^cosmology 1 of the list is a ndarray: give a `Cosmology`"),
        ({"cosmologies": "omega_m\n0.3,0.4"}, "cosmology 1 of .* has 2 cells, and the table has 1 columns"),
        ({"cosmologies": "omega_m,\n0.3,"}, "a column without a name"),
        ({"power": "abc def"}, "power|table|numbers"),
        ({"engine": "cola:device=tpu9"}, "device 'tpu9' cannot be used"),
    ],
)
def test_what_no_universe_can_have_begins_no_suite(tmp_path, given, words):
    for name, text in given.items():
        if isinstance(text, str) and name != "engine":
            (tmp_path / "t.txt").write_text(text)
            given = {name: tmp_path / "t.txt"}
    with pytest.raises(zeldo.InputError, match=words):
        zeldo.run_suite(**{**TINY, "seeds": [1], "output": tmp_path / "s", **given})
    assert not (tmp_path / "s").exists()


def test_long_lists_that_differ_are_told_apart(tmp_path):
    zeldo.run_suite(output=tmp_path / "s", seeds="0:30", keep="measure", **TINY)
    more = {**TINY, "output": tmp_path / "s", "keep": "measure"}
    assert "30 seeds, not 40" in refusal(lambda: zeldo.run_suite(seeds="0:40", **more))
    other = [*range(29), 99]
    assert "seeds whose entry 30 is 29, not 99" in refusal(lambda: zeldo.run_suite(seeds=other, **more))


@pytest.mark.parametrize("text", ["[]", "{}", "5", '{"format": '])
def test_a_damaged_record_of_a_suite_is_refused_by_its_name(tmp_path, text):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], keep="measure", **TINY)
    for record, read in (
        (suite.path / "rows" / "s1.json", lambda: Suite.open(suite.path).rows()),
        (suite.path / "suite.json", lambda: Suite.open(suite.path)),
    ):
        record.write_text(text)
        assert f"{record} is damaged (" in refusal(read)


def test_a_universe_without_its_files_is_not_done(tmp_path, monkeypatch):
    """A network disk keeps a removed file under another name while somebody reads it, and with it the directory."""
    begun = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    (begun.path / "rows" / "s1.json").unlink()
    for file in (begun.path / "universes" / "s1").iterdir():
        file.rename(file.with_name(".nfs0001"))
    monkeypatch.setattr("zeldo.suites.suite.shutil.rmtree", lambda *given, **options: None)
    monkeypatch.setattr("zeldo.suites.suite._keep_others", lambda *given: None)
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    assert "not empty" in suite.failed()["s1"]
    monkeypatch.undo()
    (row,) = zeldo.run_suite(output=tmp_path / "s", seeds=[1], lease=0.5, **TINY).rows()
    assert (suite.path / row["where"]).exists()


@pytest.mark.parametrize("place", ["zeldo.suites.worker.write", "zeldo.suites.suite.publish"])
def test_a_full_disk_ends_with_one_line_and_a_suite_that_goes_on(tmp_path, monkeypatch, capsys, place):
    import errno

    def full(text, path):
        if path.name == "suite.json":
            return publish(text, path)
        raise OSError(errno.ENOSPC, "No space left on device")

    command = [*COMMAND[3:], "--engine", "2lpt", "--seeds", "0:3", "-o", str(tmp_path / "s")]
    monkeypatch.setattr(place, full)
    assert main(command) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "no space left" in err and "resumes" in err
    monkeypatch.undo()
    assert main(command) == 0


def test_a_damaged_checkpoint_is_done_without(tmp_path, monkeypatch):
    """A universe that stops at its last step leaves a checkpoint, and an unfinished one beside it."""
    monkeypatch.setattr("zeldo.suites.worker.LONG", 0.0)
    given = {**TINY, "seeds": [1], "engine": "cola:steps=4,checkpoint_minutes=0"}
    write = suite_worker.write

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(suite_worker, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        zeldo.run_suite(output=tmp_path / "s", **given)
    claims = tmp_path / "s" / "claims"
    checkpoint = claims / "s1.npz"
    assert checkpoint.exists()
    (claims / ".s1.npz.abc.part").write_bytes(b"half")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    monkeypatch.setattr(suite_worker, "write", write)
    assert not zeldo.run_suite(output=tmp_path / "s", **given).failed()
    assert not any(claims.iterdir())


def test_a_checkpoint_of_other_bits_is_done_without(tmp_path, monkeypatch):
    """The linear field of another machine may differ in its last bits."""
    from zeldo.store.checkpoint import Checkpoint

    monkeypatch.setattr("zeldo.suites.worker.LONG", 0.0)
    options = {**TINY, "engine": "cola:steps=2"}
    (zeldo.run_suite(output=tmp_path / "s", seeds=[1], **options).path / "rows" / "s1.json").unlink()
    claims = tmp_path / "s" / "claims"
    field = np.zeros((3, 16, 16, 16), np.float32)
    Checkpoint(claims / "s1.npz", "another key", 0.0).save(2, field, field)
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **options)
    assert not suite.failed() and not any(claims.iterdir())


def test_five_kills_and_three_processes_make_every_universe_once(tmp_path):
    """Killed without warning, each at another moment; the others go on, and the same command again."""
    out = tmp_path / "s"
    command = [*COMMAND, "--engine", "cola", "--seeds", "0:40", "--keep", "measure", "-o", str(out)]
    env = os.environ | {"NUMBA_NUM_THREADS": "1"}

    def start():
        return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def rows():
        return len(list((out / "rows").glob("[!.]*"))) if out.exists() else 0

    workers = [start() for _ in range(3)]
    for kill in range(5):
        deadline = time.monotonic() + 120
        while rows() < 3 * (kill + 1) and time.monotonic() < deadline:
            time.sleep(0.01)
        victim = workers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        workers.append(start())
    for worker in workers:
        assert worker.wait(timeout=200) == 0
    table = read_manifest(out)
    assert sorted(int(line["seed"]) for line in table) == list(range(40))
    assert {line["status"] for line in table} == {"done"}
    assert not any((out / "claims").iterdir())
    assert len(list((out / "universes").iterdir())) == 40
    (snapshot,) = zeldo.run(seed=17, n=16, box=40, power="eisenstein-hu", engine="cola")
    with np.load(out / next(line["where"] for line in table if line["seed"] == "17")) as values:
        np.testing.assert_allclose(
            values["z0_power"], zeldo.power_spectrum(snapshot, mesh=16).power, rtol=1e-6
        )


@pytest.mark.parametrize("bad", [0, -1, "a", np.inf, np.nan, None])
def test_a_lease_is_seconds(bad):
    assert "lease = " in refusal(lambda: check_lease(bad))
    assert check_lease("5") == 5.0


def test_only_one_of_many_threads_has_a_claim(tmp_path):
    holders, barrier = [], threading.Barrier(8)

    def take(claims):
        barrier.wait()
        with claims.claim("a") as ours:
            if ours:
                holders.append(1)
                time.sleep(0.2)

    threads = [threading.Thread(target=take, args=(Claims(tmp_path),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(holders) == 1 and not any(tmp_path.iterdir())


def test_a_claim_of_another_machine_is_free_when_its_owner_is_silent_for_a_lease(tmp_path):
    lost = tmp_path / "a.0"
    lost.mkdir()
    (lost / "owner.json").write_text('{"machine": "elsewhere", "pid": 1, "started": "1"}')
    claims = Claims(tmp_path, lease=0.3)
    with claims.claim("a") as ours:
        assert not ours
    time.sleep(0.2)
    os.utime(lost)  # it lives
    with claims.claim("a") as ours:
        assert not ours
    time.sleep(0.2)
    with claims.claim("a") as ours:
        assert not ours
    time.sleep(0.4)
    with claims.claim("a") as ours:
        assert ours
        with Claims(tmp_path, lease=0.3).claim("a") as theirs:
            assert not theirs
    assert not any(tmp_path.iterdir())


def test_a_claim_of_a_process_that_has_ended_is_free_at_once(tmp_path):
    import json

    lost = tmp_path / "a.0"
    lost.mkdir()
    (lost / "owner.json").write_text(json.dumps({**identity(), "started": "0"}))
    with Claims(tmp_path, lease=1000).claim("a") as ours:
        assert ours


def test_where_no_claim_can_be_made_it_says_so_in_a_line(tmp_path):
    (tmp_path / "claims").write_text("no directory")
    with pytest.raises(ZeldoError, match="no task can be claimed in") as caught:
        Claims(tmp_path / "claims").claim("a").__enter__()
    assert "Not a directory" in str(caught.value) and "\n" not in str(caught.value)


def test_tasks_of_others_are_waited_for_and_none_is_forgotten(tmp_path):
    theirs = {"b": 2, "c": 1}  # looks until they are made

    def attempt(task):
        theirs[task] = theirs.get(task, 0) - 1
        return LEFT if theirs[task] >= 0 else MADE

    assert list(in_turn("abc", attempt, Claims(tmp_path))) == [("a", MADE), ("c", MADE), ("b", MADE)]
    (tmp_path / "another.0").mkdir()
    begun = [task for task, _ in in_turn("abc", lambda task: MADE, Claims(tmp_path))]
    assert begun == list("abcab"[os.getpid() % 3 :][:3])
    assert not list(in_turn([], attempt, Claims(tmp_path)))


def test_the_first_of_two_rows_counts(tmp_path):
    assert publish("first", tmp_path / "row") and not publish("second", tmp_path / "row")
    assert (tmp_path / "row").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_foreign_file_among_the_rows_keeps_no_process_busy_for_ever(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], keep="measure", **TINY)
    (suite.path / "rows" / "s1.json~").write_text("of an editor")
    writer = threading.Thread(target=suite.write_manifest, daemon=True)
    writer.start()
    writer.join(timeout=20)
    assert not writer.is_alive() and [line["name"] for line in read_manifest(suite.path)] == ["s1"]


def test_a_parameter_that_the_table_has_is_given_once(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("omega_m,sigma_8\n0.3,0.8\n0.25,0.8\n")
    given = {**TINY, "output": tmp_path / "s", "cosmologies": table}
    line = refusal(lambda: zeldo.run_suite(**given, omega_m=0.45))
    assert line == "the cosmologies have omega_m too: leave out the omega_m = 0.45 for all of them"
    assert not (tmp_path / "s").exists()


def test_a_value_that_a_table_lacks_is_named(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("omega_m, sigma_8\n0.3,0.8\n0.25,\n")
    line = refusal(lambda: zeldo.run_suite(**TINY, output=tmp_path / "s", cosmologies=table))
    assert line == f"cosmology 2 of {table} has sigma_8 = '': give a number"


@pytest.mark.parametrize(
    ("row", "words"),
    [("0.3,9,1", "sigma_8 = 9.0 is not allowed"), ("0.3,0.8,-1", "seed = -1 is not allowed")],
)
def test_a_value_of_a_table_that_is_not_allowed_is_named_with_its_row(tmp_path, row, words):
    table = tmp_path / "c.csv"
    table.write_text(f"omega_m,sigma_8,seed\n0.3,0.8,1\n{row}\n")
    line = refusal(lambda: zeldo.run_suite(**TINY, output=tmp_path / "s", cosmologies=table))
    assert line.startswith(f"cosmology 2 of {table}: {words}")


def test_files_of_a_universe_that_is_done_stay_as_its_row_says(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    (row,) = suite.rows()
    path = suite.path / row["where"]
    assert row["sha256"] == file_hash(path)
    with suite.outputs("s1") as folder:  # of a process that stood still for a lease
        (folder / path.name).write_text("later")
    assert row["sha256"] == file_hash(path)


def test_a_row_has_the_energy_of_its_universe(tmp_path, monkeypatch):
    class Known:
        @contextmanager
        def measured(self):
            used = Used()
            yield used
            used.energy, used.co2 = 2.5, 7.0

    monkeypatch.setattr(suite_worker, "Meter", Known)
    (row,) = zeldo.run_suite(output=tmp_path / "s", seeds=[1], keep="measure", **TINY).rows()
    assert row["energy_wh"] == 2.5


def test_many_cosmologies_are_compared_without_comparing_all_pairs():
    compared = []

    class Counted(zeldo.Cosmology):
        def __eq__(self, other):
            compared.append(1)
            return super().__eq__(other)

        __hash__ = zeldo.Cosmology.__hash__

    base = zeldo.Cosmology.preset("quijote")
    rows = [Counted(**base.to_dict() | {"h": 0.6 + i / 1000}) for i in range(100)]
    with pytest.raises(zeldo.InputError, match=r"cosmologies 100 and 101 of the list are the same"):
        read_cosmologies([*rows, rows[-1]], base)
    with pytest.raises(zeldo.InputError, match=r"cosmologies 100 and 101 of the list are the same"):
        read_cosmologies([*rows, Counted(**rows[-1].to_dict())], base)
    assert len(compared) < 200


def test_a_list_of_cosmologies_has_seeds_for_all_or_for_none():
    given = [{"omega_m": 0.3, "seed": 1}, {"omega_m": 0.31}]
    assert "seeds for 1 of 2" in refusal(lambda: read_cosmologies(given, zeldo.Universe.cosmology))


def test_a_universe_that_is_made_while_its_claim_is_taken_is_not_made_again(tmp_path, monkeypatch):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], keep="measure", **TINY)
    row, claim = suite.path / "rows" / "s1.json", Claims.claim
    text = row.read_text()
    row.unlink()

    @contextmanager
    def late(claims, name):
        row.write_text(text)
        with claim(claims, name) as ours:
            yield ours

    monkeypatch.setattr(Claims, "claim", late)
    monkeypatch.setattr(Worker, "_make", lambda *given: pytest.fail("made again"))
    worker = Worker(suite, zeldo.engine("2lpt"), zeldo.Universe.of(n=16, box=40.0, power="eisenstein-hu"))
    assert worker.attempt(suite.tasks[0]) == MADE


def test_progress_counts_what_failed(tmp_path, monkeypatch):
    make, told = Worker._make, []
    monkeypatch.setattr(Worker, "_make", lambda worker, task: make(worker, task) if task.seed else 1 / 0)
    given = {**TINY, "output": tmp_path / "s", "seeds": "0:3", "keep": "measure"}
    zeldo.run_suite(progress=lambda *said: told.append(said), **given)
    assert told[-1] == (3, 3, "3 of 3 universes, 1 failed")


def test_the_largest_seed_is_looked_at_too(tmp_path):
    given = {"n": 16, "power": "eisenstein-hu", "engine": "2lpt", "phases": "ngenic"}
    assert "seed = " in refusal(lambda: zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2**31], **given))
    assert not (tmp_path / "s").exists()


def test_what_is_swept_is_of_one_universe_alone(tmp_path):
    """The names of some begin as that of another does."""
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1, 10], keep="measure", **TINY)
    for name in ("s1", "s10"):
        (suite.path / "universes" / f".{name}.abc").mkdir()
        for file in (f"{name}.npz", f"{name}.output0.npz", f".{name}.npz.abc.part"):
            (suite.path / "claims" / file).touch()
    suite.sweep("s1")
    assert suite.remove_checkpoint("s1") and not suite.remove_checkpoint("s1")
    assert {path.name for path in (suite.path / "universes").glob(".*")} == {".s10.abc"}
    left = {"s10.npz", "s10.output0.npz", ".s10.npz.abc.part"}
    assert {path.name for path in (suite.path / "claims").iterdir()} == left
    # others may be at work on universes that are not made
    (suite.path / "universes" / ".s2.abc").mkdir()
    (suite.path / "claims" / "s2.0").mkdir()
    (suite.path / "claims" / "s10.0").mkdir()
    suite.tidy()
    assert {path.name for path in (suite.path / "universes").iterdir()} == {"s1", "s10", ".s2.abc"}
    assert {path.name for path in (suite.path / "claims").iterdir()} == {"s2.0"}


def test_an_interrupt_that_a_library_turned_into_an_error_is_no_failure(tmp_path, monkeypatch):
    def turned(worker, task):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError("of a library") from error

    monkeypatch.setattr(Worker, "_make", turned)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY)
    assert not Suite.open(tmp_path / "s").failed()
