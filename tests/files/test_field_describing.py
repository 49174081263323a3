"""What zeldo info says of files that hold fields: reference runs, linear densities, white noise."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.commands import main
from zeldo.cosmology.parameters import Cosmology
from zeldo.files.bigfile import write_block
from zeldo.files.describing import describe
from zeldo.files.reference import reference_path, write_initial_conditions
from zeldo.files.white_noise import write_white_noise
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.ngenic import NGenIC

N, BOX = 8, 20.0
PLANCK = Cosmology.preset("planck2018")
PHASES = NGenIC(seed=5)


@pytest.fixture
def ics():
    field = np.random.default_rng(5).normal(0, 1.5, (N, N, N)).astype(np.float32)
    return InitialConditions(BOX, N, PLANCK, field, 11, fixed=True, flip=False, phases="native")


def told(path, capsys) -> tuple[dict, str]:
    """The answer as JSON, which is that of `describe`, and as text."""
    assert main(["info", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == describe(path)
    assert main(["info", str(path)]) == 0
    return answer, capsys.readouterr().out


def test_a_reference_run_tells_its_redshifts_and_its_code(capsys):
    answer, text = told(reference_path(), capsys)
    assert (answer["kind"], answer["n"], answer["box"]) == ("reference run", 64, 125.0)
    assert (answer["redshifts"], answer["seed"], answer["missing"]) == ([1.0, 0.0], 2001, [])
    assert answer["made_by"].startswith("MP-Gadget") and answer["settings"]["start"] == "2LPT at z=49"
    assert answer["cosmology"] == Cosmology.preset("quijote").to_dict()
    assert "reference run on 64^3 points" in text and "redshifts    1, 0" in text and "--reference" in text


def test_a_reference_without_velocities_says_so(tmp_path):
    with np.load(reference_path()) as file:
        np.savez(tmp_path / "a.npz", **{name: file[name] for name in file if not name.startswith("vel_z0")})
    assert describe(tmp_path / "a.npz")["missing"] == ["velocities"]


def test_a_linear_density_tells_how_it_was_drawn(ics, tmp_path, capsys):
    answer, text = told(write_initial_conditions(ics, tmp_path / "ics.npz"), capsys)
    assert (answer["kind"], answer["n"], answer["box"]) == ("linear density", N, BOX)
    assert answer["made_by"] == f"zeldo {zeldo.__version__}"
    assert (answer["cosmology"], answer["missing"]) == (PLANCK.to_dict(), [])
    assert (answer["seed"], answer["fixed"], answer["flip"]) == (11, True, False)
    assert answer["phases"] == "native" and "power" not in answer
    assert "linear density on 8^3 points" in text and "--ics" in text and "fixed        True" in text
    assert "seed" not in describe(write_initial_conditions(replace(ics, seed=None), tmp_path / "b.npz"))


@pytest.mark.parametrize("modes", [False, True])
def test_a_linear_density_of_others_tells_what_it_lacks(ics, tmp_path, capsys, modes):
    field = {"delta_k": np.fft.rfftn(ics.delta_lin) / N**3} if modes else {"delta_lin": ics.delta_lin, "n": N}
    np.savez(tmp_path / "a.npz", box=BOX, omega_m=0.3, h=0.7, **field)
    answer, text = told(tmp_path / "a.npz", capsys)
    assert (answer["n"], answer["box"], answer["made_by"]) == (N, BOX, "unknown")
    assert answer["cosmology"] == {"omega_m": 0.3, "h": 0.7}
    assert answer["missing"] == ["omega_b", "n_s", "sigma_8"]
    assert "omega_m = 0.3, h = 0.7\n" in text


def test_a_linear_density_of_fastpm_is_described(ics, tmp_path, capsys):
    modes = (np.fft.rfftn(ics.delta_lin) / N**3).astype("c8")
    modes[0, 0, 0] = 1
    said = {"BoxSize": BOX, "Nmesh": np.int32(N)}
    block = tmp_path / "LinearDensityK"
    write_block(block, modes.dtype, 1, [("000000", modes.size, sum(modes.tobytes()))], said)
    modes.tofile(block / "000000")
    for path in (tmp_path, block):
        answer, _ = told(path, capsys)
        assert (answer["kind"], answer["made_by"]) == ("linear density", "FastPM")
        assert (answer["n"], answer["box"], answer["cosmology"]) == (N, BOX, {})
        assert answer["missing"] == list(Cosmology.required())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.npy", {"format": "npy"}),
        ("a.npz", {"format": "npz", "phases": "ngenic"}),
        ("a.grafic", {"format": "grafic", "seed": 5}),
        ("a.bin", {"format": "grafic", "seed": 5}),
        ("a.h5", {"format": "h5"}),
    ],
)
def test_white_noise_is_described(tmp_path, capsys, name, said):
    if name.endswith(".h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["level_004/noise"] = PHASES.field(N)
    else:
        write_white_noise(PHASES, tmp_path / name, N)
    answer, text = told(tmp_path / name, capsys)
    path = str(tmp_path / name)
    assert answer == {
        "path": path, "kind": "white noise", "made_by": "unknown", "n": N, "notes": [], **said
    }  # fmt: skip
    assert "white noise on 8^3 points" in text and "--phases" in text and "box" not in text.replace(path, "")


def test_a_field_that_is_no_white_noise_is_not_called_so(tmp_path, capsys):
    np.save(tmp_path / "a.npy", 50 * PHASES.field(N))
    answer, text = told(tmp_path / "a.npy", capsys)
    assert (answer["kind"], answer["n"]) == ("field", N) and "the variance of the white noise is" in text
    assert "to use it" not in text


def test_damaged_fields_are_refused(ics, tmp_path):
    path = write_white_noise(PHASES, tmp_path / "a.bin", N)
    path.write_bytes(path.read_bytes()[:-5])
    assert "bytes are not what 8 x 8 x 8 numbers take" in refusal(lambda: describe(path))
    np.savez(tmp_path / "a.npz", delta_lin=ics.delta_lin, n=N + 2, box=BOX)
    assert "delta_lin has shape (8, 8, 8)" in refusal(lambda: describe(tmp_path / "a.npz"))
    np.savez(tmp_path / "a.npz", delta_lin=ics.delta_lin, box=BOX, redshift=49.0)
    assert "divide it by D1" in refusal(lambda: describe(tmp_path / "a.npz"))


def test_options_that_are_for_particles_are_refused_with_fields(ics, tmp_path):
    path = write_initial_conditions(ics, tmp_path / "a.npz")
    assert "use it as --reference or --ics" in refusal(lambda: describe(path, ids="none"))
