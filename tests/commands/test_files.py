"""zeldo info and zeldo convert."""

import json
from dataclasses import replace

import numpy as np
import pytest

import zeldo
from zeldo.commands import app, main
from zeldo.files import write
from zeldo.particles.lattice import particles_of
from zeldo.particles.particles import Particles

N, BOX = 8, 20.0


@pytest.fixture
def snapshot():
    q = 2 * np.pi * np.indices((N, N, N)) / N
    psi = np.stack([np.sin(q[i] + q[(i + 1) % 3] + i) for i in range(3)])
    return zeldo.Snapshot(
        psi, 80 * psi, BOX, zeldo.Cosmology.preset("quijote"), 1.0, "cola", seed=3, version="0.2.0"
    )


@pytest.fixture
def binary(snapshot, tmp_path):
    """Gadget's format 1, in kpc/h, rows mixed, ids from 0 with x fastest, a few positions unwrapped."""
    particles = particles_of(snapshot)
    order = np.random.default_rng(1).permutation(N**3)
    i, j, k = np.indices((N, N, N)).reshape(3, -1)
    positions = particles.positions + BOX * (particles.positions < 0.2)
    header = replace(particles.header, n=None)
    mixed = Particles(
        header, positions[order], particles.velocities[order], ((k * N + j) * N + i)[order].astype(np.uint32)
    )
    return write(mixed, tmp_path / "ics", "gadget-binary", unit="kpc/h")


def test_info_says_what_a_file_is_and_what_was_assumed(snapshot, binary, tmp_path, capsys):
    assert main(["info", str(binary), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["format"] == "Gadget binary format 1, little-endian"
    assert answer["made_by"] == "unknown"
    assert (answer["count"], answer["redshift"]) == (N**3, 1.0)
    assert answer["box"] == pytest.approx(BOX)
    assert answer["units"]["lengths"] == "kpc/h"
    assert answer["units"]["velocities"] == "peculiar / sqrt(a), Gadget's convention"
    assert answer["ids"] == {"first": 0, "last": N**3 - 1, "sorted": False, "order": "k-major"}
    assert answer["lattice"]["n"] == N and answer["lattice"]["offset"] == [0, 0, 0]
    assert answer["cosmology"] == pytest.approx({"omega_m": 0.3175, "h": 0.6711})
    assert answer["missing"] == ["omega_b", "n_s", "sigma_8"]
    assert answer["outside"] == np.count_nonzero(snapshot.positions() < 0.2)
    assert any("lengths are taken as kpc/h, which the file does not say" in note for note in answer["notes"])
    assert any("velocities are taken as peculiar / sqrt(a)" in note for note in answer["notes"])
    assert main(["info", str(binary)]) == 0
    text = capsys.readouterr().out
    for words in (
        "kpc/h",
        "k-major",
        "sigma_8",
        "assumed",
        "coordinates lie outside the box and are wrapped",
    ):
        assert words in text


def test_info_names_the_run_that_made_zeldos_own_file(snapshot, tmp_path, capsys):
    assert main(["info", str(write(snapshot, tmp_path / "out.hdf5")), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["made_by"] == "cola 0.2.0"
    assert (answer["seed"], answer["missing"], answer["outside"], answer["notes"]) == (3, [], 0, [])


def test_info_says_what_it_takes_to_run_again(tmp_path, capsys):
    out = tmp_path / "out.hdf5"
    options = {"steps": 2, "nbody_start": 49.0}
    zeldo.run(engine="cola:steps=2,nbody_start=49", box=20.0, n=8, seed=3, power="eisenstein-hu", output=out)
    assert main(["info", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["power"] == "eisenstein-hu" and options.items() <= answer["settings"].items()
    assert main(["info", str(out)]) == 0
    text = capsys.readouterr().out
    assert "steps 2" in text and "nbody_start 49" in text and "eisenstein-hu" in text


def test_info_says_what_an_emulator_said_of_its_own_work(tmp_path, capsys):
    out = tmp_path / "out.hdf5"
    (snapshot,) = zeldo.run(engine="emulator:fast", box=32.0, n=16, power="eisenstein-hu", output=out)
    assert main(["info", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["correction"] == pytest.approx(snapshot.correction)
    assert answer["expected_error"].keys() == snapshot.expected_error.keys()
    assert main(["info", str(out)]) == 0
    text = capsys.readouterr().out
    assert f"added {snapshot.correction['displacement']:.2%}".replace("%", " %") in text
    k, lost = (snapshot.expected_error[name][6] for name in ("k", "density one_minus_r2"))
    assert f"k = {k:.2g} h/Mpc" in text and f"1 - r^2 of {lost:.2g}" in text
    off = snapshot.expected_error["density power"][6]
    assert f"P(k) off by {off:.2%} rms".replace("%", " %") in text and "within" not in text  # it is no bound


def test_convert_writes_lagrangian_order(snapshot, binary, tmp_path, capsys):
    assert main(["convert", str(binary), str(tmp_path / "out.npz"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["order"], answer["count"]) == ("Lagrangian", N**3)
    assert answer["wrapped"] == np.count_nonzero(snapshot.positions() < 0.2)
    with np.load(tmp_path / "out.npz") as file:
        x = file["pos"] - snapshot.positions()
        assert np.abs(x - BOX * np.rint(x / BOX)).max() < 2e-6
        assert file["pos"].min() >= 0 and file["pos"].max() < BOX
        np.testing.assert_allclose(file["vel"], snapshot.velocities(), rtol=3e-7)
        i, j, k = np.indices((N, N, N)).reshape(3, -1)
        np.testing.assert_array_equal(file["ids"], (k * N + j) * N + i)
    # what the file lacks of the cosmology is asked for, or given
    arguments = ["convert", str(binary), str(tmp_path / "out.hdf5"), "--format", "swift"]
    assert main(arguments) == 2
    assert "give omega_b, n_s, sigma_8, or a cosmology by its name" in capsys.readouterr().err
    assert main([*arguments, "--cosmology", "quijote", "--files", "2"]) == 0
    assert "Lagrangian" in capsys.readouterr().out
    again = zeldo.read(tmp_path / "out.0.hdf5", {"sigma_8": 0.834, "n_s": 0.9624})
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=3e-6)


def test_convert_tells_the_rows_that_are_written(binary, tmp_path, monkeypatch):
    told = []
    zeldo.convert(binary, tmp_path / "out.npz", progress=lambda *what: told.append(what))
    assert told[0] == (0, 1, "looking for a lattice")
    rows, total = [done for done, *_ in told[1:]], 3 * N**3
    assert rows == sorted(set(rows)) and rows[-1] == total == told[-1][1]
    texts = {text for *_, text in told[1:]}
    assert texts == {"writing positions", "writing velocities", "writing ids"}

    def work(*args, progress, **kwargs):
        progress(3, 4, "writing ids")
        raise KeyboardInterrupt

    monkeypatch.setattr("zeldo.files.converting.convert", work)
    with pytest.raises(KeyboardInterrupt, match="in convert at writing ids"):
        app()(["convert", str(binary), str(tmp_path / "out.npz")])


def test_ids_may_be_given_or_ignored(binary, tmp_path, capsys):
    assert main(["convert", str(binary), str(tmp_path / "out.npz"), "--ids", "i-major"]) == 2
    assert "in the orders tried (i-major); give the right one by ids (--ids)" in capsys.readouterr().err
    assert main(["convert", str(binary), str(tmp_path / "out.npz"), "--ids", "none"]) == 0
    assert "by id" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["ids"], np.arange(N**3))


def test_nothing_is_written_over_nonsense(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("1 2 3")
    assert main(["info", str(tmp_path / "notes.txt")]) == 2
    assert "no format that zeldo knows" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "absent"), str(tmp_path / "out.npz")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "absent"), str(tmp_path / "out.xyz")]) == 2
    assert "has the suffix '.xyz'" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
