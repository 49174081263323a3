"""Plans of whole runs. Time is not tested: machines differ."""

import json
import subprocess
import sys

import pytest

import zeldo
from refusals import refusal
from zeldo import planning
from zeldo.commands import main
from zeldo.engines.parsing import parse_engine
from zeldo.engines.trained import shipped_weights
from zeldo.errors import InputError
from zeldo.files.registry import suffixes
from zeldo.measuring.memory import VERSION_1, VERSION_2, _control_group, budget, limited, resident

MEASURE = """
import os, resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize(
    ("engine", "n", "redshifts"),
    [("cola", 128, [0.0]), ("2lpt", 128, [0.0]), ("emulator", 96, [0.0]), ("emulator:fast", 96, [1.0, 0.0])],
)
def test_memory_and_disk_are_those_of_a_run(engine, n, redshifts, tmp_path):
    run = ["--engine", engine, f"-n={n}", f"--box={2 * n}", "-o", str(tmp_path / "out.hdf5")]
    run += [f"-z={z}" for z in redshifts]
    plan = zeldo.plan(engine=engine, n=n, box=2 * n, redshift=redshifts, output=tmp_path / "out.hdf5")
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "zeldo", "run", *run]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert plan.memory_gb == pytest.approx(1024e-9 * int(done.stdout), rel=0.3)
    written = sum(file.stat().st_size for file in tmp_path.glob("*.hdf5"))
    assert plan.disk_gb == pytest.approx(1e-9 * written, rel=0.01)


def test_memory_of_a_suite_counts_what_it_measures(tmp_path):
    """P(k) and multipoles take more than Zel'dovich's displacements."""
    given = {"engine": "zeldovich", "n": 192, "box": 400, "power": "eisenstein-hu", "seeds": "0:1"}
    suite = [f"--{name}={value}" for name, value in given.items()]
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "zeldo", "run", *suite]
    command += ["--keep", "multipoles", "-o", str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    plan = zeldo.plan_suite(keep="multipoles", **given)
    assert plan.memory_gb == pytest.approx(1024e-9 * int(done.stdout), rel=0.3)
    assert plan.memory_gb > 1.2 * zeldo.plan_suite(**given).memory_gb
    line = refusal(lambda: zeldo.run_suite(keep="multipoles", output=tmp_path / "t", memory="0.5GB", **given))
    assert "zeldovich with n = 192 needs about" in line and not (tmp_path / "t").exists()


def test_the_trial_of_this_machine_is_made_again_after_a_while(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(planning.time, "monotonic", lambda: now[0])
    made = planning._slowness.cache_info
    first = planning.slowness()
    count = made().misses
    assert planning.slowness() == first and made().misses == count
    now[0] += 2 * planning.FRESH
    planning.slowness()
    assert made().misses == count + 1


def test_the_size_of_every_format_is_planned(tmp_path):
    given = {"engine": "2lpt", "n": 32, "box": 64, "power": "eisenstein-hu"}
    for suffix in suffixes():
        out = tmp_path / f"out{suffix}"
        plan = zeldo.plan(**given, output=out)
        zeldo.run(**given, output=out)
        files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
        size = 1e-9 * sum(path.stat().st_size for path in files)
        assert plan.disk_gb == pytest.approx(size, rel=0.03), suffix


def test_a_run_that_cannot_fit_says_so_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("zeldo.api.initial_conditions", lambda **given: pytest.fail("work has begun"))
    out = tmp_path / "out.hdf5"
    line = refusal(lambda: zeldo.run(engine="cola", n=512, box=1000, memory="3GB", output=out))
    assert "n = 512" in line and "3 GB" in line and not out.exists()
    assert "8XB" in refusal(lambda: zeldo.run(n=16, memory="8XB"))


def test_given_initial_conditions_must_fit_too(monkeypatch):
    ics = zeldo.initial_conditions(n=16, box=40, power="eisenstein-hu")
    monkeypatch.setattr("zeldo.engines.base.Engine.run", lambda *given: pytest.fail("work has begun"))
    line = refusal(lambda: zeldo.run(ics=ics, engine="cola", memory="0.05GB"))
    assert "n = 16" in line and "0.05 GB" in line


def test_a_missing_directory_is_said_before_its_space_is_asked_for(tmp_path):
    out = tmp_path / "nowhere" / "u.zarr"
    line = refusal(lambda: zeldo.run(engine="cola", n=512, box=1000, memory="3GB", output=out))
    assert "does not exist" in line and "nowhere" in line
    assert line == refusal(lambda: zeldo.plan(engine="cola", n=512, output=out))


def test_a_limit_of_memory_ends_with_its_run():
    zeldo.run(n=16, box=40, power="eisenstein-hu", engine="2lpt", memory="1.5GB")
    assert zeldo.plan(n=16, engine="cola").available_gb != pytest.approx(1.5)
    assert zeldo.plan(n=16, engine="cola", memory="1.5GB").available_gb == pytest.approx(1.5, rel=0.01)


def test_a_limit_holds_where_the_process_has_more_already():
    with limited(0.5e-9 * resident()):
        assert budget() < 0.6 * resident()


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_batch_job_counts(tmp_path, version):
    """It is in a group of the job, around that of its step."""
    root, names, line = {
        1: (tmp_path / "memory", VERSION_1, "4:cpu,memory:/slurm/job_7/step_0"),
        2: (tmp_path, VERSION_2, "0::/slurm/job_7/step_0"),
    }[version]
    step, job = root / "slurm/job_7/step_0", root / "slurm/job_7"
    step.mkdir(parents=True)
    for folder, limit in ((step, {1: str(2**63 - 4096), 2: "max"}[version]), (job, "8000")):
        for name, text in zip(
            (*names[:2], "memory.stat"), (limit, "3000", f"anon 1\n{names[2]} 500\n"), strict=True
        ):
            (folder / name).write_text(text)
    (tmp_path / "membership").write_text(f"1:pids:/slurm\n{line}\n")
    assert min(_control_group(tmp_path, tmp_path / "membership")) == 5500
    assert _control_group(tmp_path / "none", tmp_path / "membership") == []


def test_plan_prints_json_and_makes_nothing(tmp_path, capsys):
    assert (
        main(
            [
                "plan",
                "--engine",
                "cola",
                "-n",
                "64",
                "--json",
                "-z",
                "1",
                "-z",
                "0",
                "-o",
                str(tmp_path / "a.hdf5"),
            ]
        )
        == 0
    )
    values = json.loads(capsys.readouterr().out)
    assert {"memory_gb", "disk_gb", "seconds"} <= values.keys() and values["fits"] is True
    assert not list(tmp_path.iterdir())
    assert main(["plan", "--engine", "cola", "-n", "1280", "--memory", "2GB"]) == 0
    assert "does not fit" in capsys.readouterr().out


def test_a_network_divides_the_box_by_the_memory_there_is():
    free = zeldo.plan(engine="vnet", n=128, memory="20GB")
    # what this process holds already counts, with the libraries of the first plan
    tight = zeldo.plan(engine="vnet", n=128, memory=f"{resident() / 1e9 + 0.4:.2f}GB")
    assert free.tiles == 1 and tight.tiles > 1
    assert tight.memory_gb < free.memory_gb


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("emulator:tiles=100", "tiles = 100 is not allowed: give 1 to 12"),
        ("p3m:reach=10", "n = 24 is too small for engine p3m: give 30"),
        (f"vnet:weights={shipped_weights('emulator_fast')}", "give it as engine"),
        (f"emulator:weights={shipped_weights('vnet')}", "corrects no engine"),
        (f"vnet:velocity={shipped_weights('vnet')},extrapolate=true", "not velocity"),
    ],
)
def test_options_that_no_run_could_have_are_refused_before_all_work(engine, said, tmp_path):
    given = {"engine": engine, "n": 24, "box": 48}
    assert said in refusal(lambda: zeldo.plan(**given))
    assert said in refusal(lambda: zeldo.run_suite(**given, seeds=[1, 2], output=tmp_path / "s"))
    if not engine.startswith("p3m"):
        assert said in refusal(lambda: zeldo.differentiable(**given))
    assert said in refusal(lambda: zeldo.run(**given, output=tmp_path / "a.zarr"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("pm", 2048),
        ("pm:mesh_factor=3", 1364),
        ("cola:mesh_factor=2", 2048),
        ("emulator", 2048),
        ("emulator:fast", 2048),
    ],
)
def test_a_lattice_whose_mesh_is_too_large_is_refused_before_any_work(name, most):
    engine = parse_engine(name)
    engine.check_lattice(most)
    with pytest.raises(
        zeldo.InputError, match=rf"n = {most + 4} is too large for engine .*: give up to {most}"
    ):
        zeldo.plan(engine=name, n=most + 4, box=2.0 * most)


def test_a_table_of_power_that_no_run_could_read_is_refused(tmp_path):
    (tmp_path / "p.txt").write_text("")
    given = {"engine": "2lpt", "n": 16, "box": 40, "power": tmp_path / "p.txt"}
    assert refusal(lambda: zeldo.plan(**given)) == refusal(lambda: zeldo.run(**given))


def test_a_disk_without_room_is_said_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "free_space", lambda folder: 1e6)
    engine = zeldo.engine("cola")
    for suffix in (".hdf5", ".npz", ".gadget"):
        with pytest.raises(
            InputError, match=r"needs about .* GB of disk at .*, and 0\.001 GB are free: write elsewhere$"
        ):
            planning.check_fits(engine, 64, [0.0], tmp_path / f"out{suffix}")
    assert not planning.check_fits(engine, 16, [0.0], tmp_path / "out.npz")
    (tmp_path / "two_z1.npz").touch()  # of the same run, which replaces it
    assert not planning.check_fits(engine, 64, [1.0, 0.0], tmp_path / "two.npz")


def test_a_run_on_a_gpu_is_planned_there(monkeypatch):
    """Its fields are on the device, and what the host holds is less."""
    monkeypatch.setattr("zeldo.networks.tiling.free_memory", lambda device: 20e9)
    monkeypatch.setattr("zeldo.mesh.gravity.check_device", lambda device: device)
    engine = zeldo.engine("pm", device="cuda")
    there, here = engine.plan(256), zeldo.engine("pm").plan(256)
    assert there.device_gb > there.memory_gb and there.seconds is None and here.device_gb == 0
    expected = planning.plan_run(engine, 256, [0.0], None)
    assert expected.device_gb == there.device_gb and expected.device_available_gb == 20.0
    assert not planning.check_fits(engine, 256, [0.0])
    line = refusal(lambda: planning.check_fits(engine, 512, [0.0]))
    assert (
        "pm with n = 512 needs about" in line and "GB on cuda, but 20 GB are free: give a smaller n" in line
    )
    assert zeldo.engine("pm", device="torch").plan(256).memory_gb == there.device_gb
