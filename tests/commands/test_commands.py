"""The command line: what other people's scripts rely on."""

from __future__ import annotations

import contextlib
import html
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from zeldo import read, read_reference, reference_path
from zeldo.commands import main
from zeldo.errors import InputError, ZeldoWarning
from zeldo.files.reference import write_initial_conditions
from zeldo.files.registry import suffixes

TINY = ["--n", "16", "--box", "40", "--power", "eisenstein-hu"]


def fails(capsys, arguments, *words) -> None:
    """Exit status 2, and one line on standard error that holds the words."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("zeldo: ") and err.count("\n") == 1
    for word in words:
        assert word in err


def test_run_writes_what_it_was_asked_for(tmp_path, capsys):
    path = tmp_path / "out.npz"
    assert main(["run", *TINY, "--engine", "2lpt", "--seed", "3", "-o", str(path)]) == 0
    snapshot = read(path)
    assert (snapshot.n, snapshot.box, snapshot.seed, snapshot.engine) == (16, 40.0, 3, "2lpt")
    assert snapshot.redshift == 0 and snapshot.vel is not None
    with np.load(path) as raw:
        assert raw["pos"].shape == raw["vel"].shape == (16**3, 3)
    assert str(path) in capsys.readouterr().out


def test_redshift_and_particles_have_short_names(tmp_path):
    arguments = ["run", "-n", "8", "--box", "20", "--power", "eisenstein-hu", "--engine", "2lpt"]
    assert main([*arguments, "-z", "3", "-z", "0", "-o", str(tmp_path / "out.npz")]) == 0
    made = read(tmp_path / "out_z3.npz")
    assert (made.n, made.redshift) == (8, 3.0)
    assert read(tmp_path / "out_z0.npz").redshift == 0


def test_compare_has_the_same_short_names(capsys):
    universe = ["-n", "8", "--box", "20", "--power", "eisenstein-hu"]
    assert main(["compare", *universe, "-z", "1", "--engine", "zeldovich", "--reference", "2lpt"]) == 0
    assert "z = 1" in capsys.readouterr().out


def test_run_takes_a_simulation_of_quijote(tmp_path, capsys):
    path = tmp_path / "out.hdf5"
    arguments = ["run", "--n", "16", "--power", "eisenstein-hu", "--engine", "2lpt", "-o", str(path)]
    phases = ["--phases", "quijote:latin_hypercube/NCV_100"]
    assert main([*arguments, *phases]) == 0
    snapshot = read(path)
    assert (snapshot.box, snapshot.seed, snapshot.fixed, snapshot.cosmology.h) == (1000, 467, True, 0.5619)
    assert snapshot.phases == phases[1]
    capsys.readouterr()
    fails(capsys, [*arguments, *phases, "--seed", "3"], "bring seed = 467")
    fails(capsys, [*arguments, "--phases", "quijote:Mnu_p/1"], "massive neutrinos")


def test_several_redshifts_write_a_file_each(tmp_path):
    path = tmp_path / "out.hdf5"
    arguments = [
        "run",
        *TINY,
        "--engine",
        "zeldovich",
        "--redshift",
        "0",
        "--redshift",
        "1",
        "--redshift",
        "0.5",
    ]
    assert main([*arguments, "-o", str(path)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["out_z0.5.hdf5", "out_z0.hdf5", "out_z1.hdf5"]
    assert read(tmp_path / "out_z0.5.hdf5").redshift == 0.5


def test_initial_conditions_from_a_file_fix_the_universe(tmp_path, small, capsys):
    ics, _ = small
    path = tmp_path / "ics.npz"
    write_initial_conditions(ics, path)
    assert main(["run", "--ics", str(path), "--engine", "zeldovich", "-o", str(tmp_path / "out.npz")]) == 0
    made = read(tmp_path / "out.npz")
    assert (made.n, made.box, made.cosmology) == (ics.n, ics.box, ics.cosmology)
    capsys.readouterr()
    fails(capsys, ["run", "--ics", str(path), "--seed", "1", "-o", str(tmp_path / "o.npz")], "seed", "ics")


def test_compare_prints_the_table_and_writes_the_report(tmp_path, capsys):
    out = tmp_path / "report"
    arguments = [
        "compare",
        "--reference",
        "small",
        "--engine",
        "zeldovich",
        "--engine",
        "2lpt",
        "-o",
        str(out),
    ]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "zeldovich" in text and "mp-gadget" in text and "density" in text
    assert (out / "index.html").stat().st_size > 10_000
    with open(out / "comparison.json") as stream:
        record = json.load(stream)
    assert [one["engine"] for one in record["comparisons"]] == ["zeldovich", "2lpt"]


def test_compare_begins_with_particles_and_ends_at_those_of_a_bare_header(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *TINY, "--engine", "2lpt", "-z", "9", "-o", "i.hdf5"]) == 0
    # Gadget's binary header has neither n_s nor sigma_8
    assert main(["run", *TINY, "--engine", "2lpt", "-z", "2", "-o", "there.gadget"]) == 0
    given = ["compare", "--ics", "i.hdf5", "--engine", "2lpt"]
    assert main([*given, "--reference", "there.gadget", "-z", "2", "-o", "report"]) == 0
    assert "Against" in capsys.readouterr().out
    assert main([*given, "-z", "8", "-o", "other"]) == 0  # with p3m, as without --ics
    assert "Against p3m at z = 8" in capsys.readouterr().out


def test_the_report_quotes_a_command_that_a_shell_takes(tmp_path, monkeypatch, capsys):
    words = ["compare", "--engine", "zeldovich", "--reference", "2lpt", "-n", "16", "--box", "40"]
    words += ["--power", "eisenstein-hu", "-o", str(tmp_path / "a report")]
    monkeypatch.setattr("sys.argv", ["/usr/bin/zeldo", *words])
    assert main(words) == 0
    page = html.unescape((tmp_path / "a report" / "index.html").read_text())
    assert f"-o '{tmp_path / 'a report'}'" in page


def test_zeldovich_against_mp_gadget_by_two_codes(tmp_path, shared):
    """The referee, which shares no code with zeldo, prints what `zeldo compare` finds."""
    prediction, ours, theirs = tmp_path / "z.npz", tmp_path / "report", tmp_path / "referee.json"
    reference = str(reference_path("small"))
    assert main(["run", "--ics", reference, "--engine", "zeldovich", "-o", str(prediction)]) == 0
    assert main(["compare", "--ics", reference, "--engine", "zeldovich", "-o", str(ours)]) == 0
    script = [sys.executable, str(shared / "tools" / "referee.py"), reference, str(prediction)]
    subprocess.run([*script, "--json", str(theirs)], check=True, capture_output=True)
    table = json.loads(theirs.read_text())
    one = json.loads((ours / "comparison.json").read_text())["comparisons"][0]
    for name in ("density", "displacement", "velocity"):
        field = one["fields"][name]
        nearest = [int(np.argmin(np.abs(np.array(field["k"]) - k))) for k in table["k"]]
        assert np.allclose(np.array(field["transfer"])[nearest], table[name]["T"], atol=1e-4)
        assert np.allclose(np.array(field["one_minus_r2"])[nearest], table[name]["one_minus_r2"], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--omega-m", "-0.3"], ["omega_m", "-0.3"]),
        (["run", "--omega-m", "0.04"], ["omega_b", "omega_m"]),
        (["run", "--sigma-8", "nan"], ["sigma_8"]),
        (["run", "--box", "0"], ["box"]),
        (["run", "--n", "17"], ["n = 17", "even"]),
        (["run", "--n", "1"], ["n = 1"]),
        (["run", "--n", "many"], ["--n"]),
        (["run", "--seed", "-1"], ["seed"]),
        (["run", "--n", "8.5"], ["--n", "8.5 is not a whole number"]),
        (["run", "--seed", "1.5"], ["--seed", "1.5"]),
        (["run", "--steps", "2.5"], ["--steps", "2.5"]),
        (["run", "--steps", "inf"], ["--steps", "inf"]),
        (["compare", "--engine", "cola", "--steps", "2.5"], ["--steps", "2.5"]),
        (["reproduce", "deoliveira2020", "--n", "8.5"], ["--n", "8.5"]),
        (["reproduce", "deoliveira2020", "--seeds", "1.5"], ["--seeds", "1.5"]),
        (["run", "--engine", "cola", "--extrapolate"], ["cola has no option 'extrapolate'"]),
        (["run", "--engine", "a.pt:weights=b.pt"], ["weights = 'b.pt'", "leave out"]),
        (["compare", "--engine", "zeldovich", "--steps", "0"], ["zeldovich", "no options"]),
        (["models", "import", "a.pt", "-o", "x.txt"], ["x.txt", ".safetensors"]),
        (["models", "import", "."], [". is a directory"]),
        (["models", "import", "/"], ["/ is a directory"]),
        (["models", "expect", "emulator", "--store", "."], ["emulator does not exist"]),
        (["run", "--redshift", "-0.5"], ["redshift", "-0.5"]),
        (["run", "--redshift", "30"], ["redshift", "30", "start at 16"]),
        (["run", "--engine", "colla"], ["colla", "did you mean 'cola'"]),
        (["run", "--engine", "cola:stepz=3"], ["stepz", "did you mean 'steps'"]),
        (["run", "--engine", "zeldovich", "--steps", "3"], ["zeldovich", "no options"]),
        (["run", "--engine", "cola", "--steps", "0"], ["steps = 0"]),
        (["run", "--engine", "cola", "--mesh-factor", "9"], ["mesh_factor = 9"]),
        (["foo"], ["halos, ...; see zeldo --help"]),
        (["run", "--cosmology", "planck2019"], ["planck2019", "planck2018"]),
        (["run", "--sed", "3"], ["--sed"]),
        (["run", "--ics", "/nowhere.npz"], ["/nowhere.npz"]),
        (["run", "-o", "/nowhere/out.npz"], ["/nowhere"]),
        (["run", "-o", "out.fits"], [".fits", ".hdf5"]),
        (["fly"], ["fly"]),
        (["run", "-z", "0", "1"], ["['1']; see"]),
        (["run", "extra"], ["extra is more than zeldo run takes; see zeldo run --help"]),
        (["halos", "a.hdf5", "b.hdf5"], ["b.hdf5 is more than zeldo halos takes", "run it for each file"]),
        (
            ["run", "--engine", "vnet:extrapolate=true", *TINY, "-o", "v.gadget"],
            ["v.gadget needs velocities, and engine vnet"],
        ),
        (["compare", "--reference", "small"], ["engine"]),
        (["compare", "--reference", "smal", "--engine", "2lpt"], ["smal"]),
        (["compare", "--reference", "small", "--engine", "2lpt", "--redshift", "2"], ["redshift 2"]),
        (["compare", "--reference", "small", "--engine", "2lpt", "--n", "64", "--box", "99"], ["box"]),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    fails(capsys, arguments, *words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["measure", "info", "halos", "show"])
def test_a_name_that_no_file_can_have_is_refused(command, capsys):
    fails(capsys, [command, 300 * "a" + ".hdf5"], "too long", "give another name")


@pytest.mark.parametrize(
    "command", ["measure", "info", "halos", "show", "convert", "cite", "models show", "models import"]
)
def test_an_empty_name_is_not_the_directory_of_the_command(command, capsys):
    rest = ["out.hdf5"] if command == "convert" else []
    fails(capsys, [*command.split(), "", *rest], "an empty name is not allowed: give that of a file")


@pytest.mark.parametrize(
    "command",
    [
        "run --ics",
        "run -o",
        "run --cosmologies",
        "compare --engine 2lpt --reference",
        "compare --engine 2lpt -o",
        "reconstruct",
        "reconstruct d.npy --report",
        "export-ics",
        "measure a.hdf5 -o",
        "show a.hdf5 -o",
        "train",
        "dataset",
        "reproduce deoliveira2020 -o",
    ],
)
def test_an_empty_name_is_no_place_for_results_either(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(capsys, [*command.split(), ""], "an empty name is not allowed: give that of a file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["run", "compare --reference small --engine 2lpt", "export-ics ics"])
def test_several_redshifts_in_one_option_are_refused(command, capsys):
    fails(capsys, [*command.split(), "-z", "0.5, 1"], "'0.5, 1' is not one number: give -z 0.5 -z 1")


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_phases_and_power_of_the_reference_must_be_those_of_the_comparison(tmp_path, capsys, suffix):
    reference = tmp_path / f"reference{suffix}"
    assert main(["run", *TINY, "--engine", "2lpt", "--flip", "-o", str(reference)]) == 0
    capsys.readouterr()
    compare = ["compare", "--reference", str(reference), "--engine", "2lpt", *TINY]
    fails(capsys, compare, "flip = True", "have False")
    fails(capsys, [*compare, "--flip", "--fixed"], "fixed = False", "have True")
    fails(capsys, [*compare[:-1], "camb", "--flip"], "power = eisenstein-hu", "have camb")
    assert main([*compare, "--flip"]) == 0


def test_a_comparison_with_a_damaged_reference_leaves_no_directory(tmp_path, capsys):
    reference = tmp_path / "reference.npz"
    reference.write_bytes(reference_path("small").read_bytes()[:5000])
    out = tmp_path / "report"
    fails(capsys, ["compare", "--reference", str(reference), "--engine", "2lpt", "-o", str(out)], "damaged")
    assert not out.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "becomes", [None, RuntimeError("no compiled object yet"), OSError("closed"), InputError("not installed")]
)
def test_an_interrupt_that_a_library_swallows_or_renames_still_ends_the_run(
    number, becomes, tmp_path, capsys, monkeypatch
):
    # the first is what callbacks of the compiler do, the second what the compiler does then
    def work(*args, progress, **kwargs):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if becomes is not None:
                raise becomes from None
        progress(1, 2, "half")
        raise AssertionError("went on")

    monkeypatch.setattr("zeldo.api.run", work)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main(["run", *TINY, "--engine", "2lpt", "-o", str(tmp_path / "out.npz")]) == 130
    assert capsys.readouterr().err.startswith("zeldo: interrupted")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    monkeypatch.undo()
    assert main(["run", *TINY, "--engine", "2lpt", "-o", str(tmp_path / "out.npz")]) == 0  # forgotten by then


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see when the run is at work")
def test_an_interrupted_run_ends_with_130_and_leaves_no_file(tmp_path):
    script = [
        sys.executable,
        "-m",
        "zeldo",
        "run",
        "--n",
        "64",
        "--power",
        "eisenstein-hu",
        "--engine",
        "cola",
        "--steps",
        "500",
    ]
    # shells start what runs in the background with interrupts ignored, and children inherit that
    running = subprocess.Popen(
        [*script, "-o", "out.npz"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(600):  # until it is at work: the library of its Fourier transforms is loaded
        time.sleep(0.1)
        if "ducc0" in Path(f"/proc/{running.pid}/maps").read_text():
            break
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130
    assert err.strip().splitlines()[-1].startswith("zeldo: interrupted")
    assert os.listdir(tmp_path) == []


def test_whole_numbers_may_be_written_as_others_are(tmp_path):
    path = tmp_path / "out.npz"
    assert main(["run", *TINY, "--engine", "2lpt", "--seed", "3.0", "-o", str(path)]) == 0
    assert read(path).seed == 3


@pytest.mark.parametrize("command", ["run", "compare", "reconstruct"])
def test_the_help_names_networks(command, capsys):
    with contextlib.suppress(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "vnet, or a file of a network's weights" in text


def test_import_zeldo_loads_nothing_heavy():
    code = "import sys, zeldo; print([m for m in ('torch', 'numba', 'matplotlib', 'camb', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_every_public_name_exists():
    import zeldo

    for name in zeldo.__all__:
        assert getattr(zeldo, name) is not None
    assert importlib.util.find_spec("zeldo.__main__")
    assert set(read_reference(reference_path("small"))[1]) == {0.0, 1.0}


@pytest.mark.parametrize("asked", [False, True])
def test_an_error_that_nobody_foresaw_is_one_line_with_the_way_to_more(capsys, monkeypatch, asked):
    def broken(**options):
        raise AttributeError("no such\nthing")

    monkeypatch.setattr("zeldo.api.run", broken)
    monkeypatch.setenv("ZELDO_TRACEBACK", "1" if asked else "")
    assert main(["run"]) == 1
    err = capsys.readouterr().err
    last = err.splitlines()[-1]
    assert last.startswith("zeldo: internal error: AttributeError: no such thing; please report")
    assert "ZELDO_TRACEBACK=1" in last
    assert ("Traceback" in err) == asked and (err.count("\n") == 1) == (not asked)


def test_a_gpu_without_memory_is_said_like_a_machine_without(capsys, monkeypatch):
    def full(**options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("zeldo.api.run", full)
    assert main(["run"]) == 1
    assert capsys.readouterr().err.startswith(
        "zeldo: not enough memory (CUDA out of memory): take fewer particles"
    )


def test_what_reads_the_output_may_stop_at_any_line(tmp_path):
    path = str(tmp_path / "out.npz")
    assert main(["run", *TINY, "--engine", "zeldovich", "-o", path]) == 0
    for command in (["measure", path, "--json"], ["--help"], ["measure", path]):
        script = [sys.executable, "-m", "zeldo", *command]
        running = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.stdout.close()  # before the first line is written, as a `head -0` does
        assert running.stderr.read() == b""
        assert running.wait() == (1 if command == ["--help"] else 141)  # rich ends its own way


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # the latter in the C locale
def test_a_name_that_the_terminal_cannot_show_is_shown_with_escapes(tmp_path, monkeypatch, errors):
    path, taken = tmp_path / "\u00e9\udcff.npz", io.BytesIO()  # the second is a byte that is no text
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(taken, encoding="ascii", errors=errors))
    assert main(["run", *TINY, "--engine", "zeldovich", "-o", str(path)]) == 0
    assert b"\\xe9\xff.npz: 16^3 particles" in taken.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_the_output_is_told(tmp_path):
    path = str(tmp_path / "out.npz")
    assert main(["run", *TINY, "--engine", "zeldovich", "-o", path]) == 0
    with open("/dev/full", "w") as full:
        script = [sys.executable, "-m", "zeldo", "info", path]
        done = subprocess.run(script, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert (
        done.stderr == "zeldo: the output could not be written (No space left on device): free some space\n"
    )


def test_without_standard_output_a_table_goes_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)  # where the caller has closed it
    path = str(tmp_path / "out.npz")
    assert main(["run", *TINY, "--engine", "zeldovich", "-o", path]) == 0
    assert main(["halos", path]) == 0


@pytest.mark.parametrize("command", ["run", "convert"])
def test_the_help_names_every_suffix(command, capsys):
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    words = said.replace(",", " ").replace(";", " ").split()
    assert all({suffix, f"{suffix}."} & set(words) for suffix in {*suffixes(), ".zarr"} - {".h5"})


def test_a_terminal_of_unknown_width_has_help_too(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "0")
    assert main(["run", "--help"]) == 0
    assert "--omega-m" in capsys.readouterr().out


def test_warnings_are_one_line(capsys, monkeypatch):
    def warn(**options):
        warnings.warn("neutrinos\nare light", ZeldoWarning, stacklevel=2)
        return []

    monkeypatch.setattr("zeldo.api.run", warn)
    assert main(["run"]) == 0
    assert capsys.readouterr().err == "zeldo: warning: neutrinos are light\n"


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_NUM_THREADS", "0"), ("NUMBA_NUM_THREADS", "two"), ("OMP_NUM_THREADS", "2,x")]
)
def test_threads_that_cannot_be_are_refused_in_one_line(name, value, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert main(["cite"]) == 2
    assert f"{name} = '{value}' is not allowed" in capsys.readouterr().err


def test_a_value_that_belongs_to_no_option_is_said(capsys):
    assert main(["run", "-z", "1", "0"]) == 2
    error = capsys.readouterr().err
    assert "['0']; see zeldo run --help, and give an option again for each of its values" in error
