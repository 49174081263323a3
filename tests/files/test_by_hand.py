"""What a user of somebody else's files meets at the command line: any name of a set, one line a warning, citations."""

import json

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.commands import main
from zeldo.files.converting import convert
from zeldo.files.describing import describe
from zeldo.report.citations import cite


def picola(folder):
    """Two files of L-PICOLA's text, and the list that it writes beside them."""
    rng = np.random.default_rng(4)
    table = ["#  FILENUM  XMIN YMIN ZMIN  XMAX YMAX ZMAX  NPART"]
    for number in range(2):
        x = rng.uniform(0, 10, (13, 3)) + [10.0 * number, 0, 0]
        rows = np.column_stack([np.arange(13) + 13 * number + 1, x, rng.normal(0, 100, (13, 3))])
        np.savetxt(folder / f"run_z0p500.{number}", rows, fmt="%12d" + 6 * " %14.6f")
        table.append(f"{number} {10 * number} 0 0 {10 * number + 10} 20 20 13")
    (folder / "run_z0p500.info").write_text("\n".join(table) + "\n")


def test_the_list_of_a_set_names_it_as_its_files_do(tmp_path):
    picola(tmp_path)
    names = (tmp_path, *(tmp_path / f"run_z0p500{end}" for end in ("", ".info", ".0", ".1")))
    answers = [describe(name) for name in names]
    assert all(answer == answers[0] for answer in answers[1:])
    assert answers[0]["count"] == 26 and answers[0]["redshift"] == 0.5 and answers[0]["box"] == 20
    assert any("taken as Mpc/h and velocities as peculiar" in note for note in answers[0]["notes"])


def test_a_text_that_ends_early_is_told_by_the_list(tmp_path):
    picola(tmp_path)
    text = (tmp_path / "run_z0p500.1").read_text().splitlines(keepends=True)
    (tmp_path / "run_z0p500.1").write_text("".join(text[:-1]))
    line = "run_z0p500.1 has 12 lines, run_z0p500.info says 13"
    assert line in refusal(lambda: zeldo.read(tmp_path / "run_z0p500"))


def test_a_part_of_a_text_that_is_missing_is_told_without_a_list_too(tmp_path):
    picola(tmp_path)
    (tmp_path / "run_z0p500.info").unlink()
    (tmp_path / "run_z0p500.1").rename(tmp_path / "run_z0p500.2")
    line = "run_z0p500.1 is missing, and run_z0p500.2 is there"
    for name in ("run_z0p500", "run_z0p500.0", "run_z0p500.2"):
        assert line in refusal(lambda name=name: zeldo.read(tmp_path / name, box=20.0))


@pytest.mark.parametrize("option", [["--box", "-5"], ["--box", "nan"], ["--redshift", "-2"]])
def test_a_text_has_no_box_or_redshift_that_cannot_be(tmp_path, option, capsys):
    picola(tmp_path)
    for command in (["info"], ["halos", "--omega-m", "0.3"]):
        assert main([*command, str(tmp_path / "run_z0p500"), *option]) == 2
        assert f"{option[0][2:]} = {option[1]} is not allowed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 3}, "length = 3 is not allowed: give its name"),
        ({"box": "wide"}, "box = 'wide' is not allowed: give a number"),
        ({"particle_type": "1"}, "particle_type = '1' is not allowed: give a whole number"),
        ({"cosmology": {"omega_m": "a"}}, "omega_m = 'a' is not allowed"),
        ({"cosmology": {"omega_m": [0.3]}}, "omega_m = [0.3] is not allowed"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(tmp_path, options, words):
    np.save(tmp_path / "p.npy", np.ones((5, 3)))
    line = refusal(lambda: zeldo.read(tmp_path / "p.npy", **{"box": 9.0, "redshift": "0.5", **options}))
    assert words in line


def test_a_name_of_a_file_is_needed_to_write(tmp_path):
    np.save(tmp_path / "p.npy", np.ones((5, 3)))
    particles = zeldo.read(tmp_path / "p.npy", box="9", redshift="0.5")
    assert particles.header.box == 9 and particles.header.redshift == 0.5
    assert "path = None is not allowed" in refusal(lambda: zeldo.write(particles, None))


def test_a_warning_of_wrapped_positions_is_one_line(tmp_path, capsys):
    picola(tmp_path)
    options = ["--box", "15", "--cosmology", "quijote", "-s", "power", "--mesh", "8"]
    assert main(["measure", str(tmp_path / "run_z0p500"), *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("zeldo: warning: ") and lines[0].endswith("are wrapped")


@pytest.mark.parametrize("suffix", [".hdf5", ".gadget", ".bigfile", ".swift.hdf5", ".npz"])
def test_a_lattice_without_ids_is_converted_to_what_can_be_read(tmp_path, suffix):
    """As GRAFIC's fields are, and initial conditions whose rows count the lattice."""
    rng, n, box = np.random.default_rng(3), 4, 8.0
    x = np.mod(
        np.stack(np.indices((n, n, n)), -1).reshape(-1, 3) * (box / n) + rng.normal(0, 0.1, (n**3, 3)), box
    )
    np.savez(tmp_path / "in.npz", positions=x, velocities=10 * x, box=box, redshift=1.0)
    options = {"write_options": {}, "format": "swift" if "swift" in suffix else None}
    result = convert(tmp_path / "in.npz", tmp_path / f"out{suffix}", "quijote", **options)
    assert result.order == "Lagrangian" and any("the mass that omega_m" in note for note in result.notes)
    again = zeldo.read(tmp_path / f"out{suffix}", "quijote")
    assert again.n == n
    error = again.positions() - x
    assert np.abs(error - box * np.rint(error / box)).max() < 1e-6
    np.testing.assert_allclose(again.velocities(), 10 * x, rtol=1e-5)


def test_the_linear_field_of_fastpm_owes_to_fastpm(tmp_path, capsys):
    n = 4
    block = tmp_path / "LinearDensityK"
    block.mkdir()
    modes = np.zeros((n, n, n // 2 + 1), "<c8")
    modes[0, 0, 0] = 1
    block.joinpath("000000").write_bytes(modes.tobytes())
    total = sum(modes.tobytes()) & 0xFFFFFFFF
    block.joinpath("header").write_text(
        f"DTYPE: <c8\nNMEMB: 1\nNFILE: 1\n000000: {modes.size} : {total} : 0\n"
    )
    block.joinpath("attr-v2").write_text("")
    assert {citation.key for citation in cite(tmp_path)} == {"zeldo", "feng2016"}
    assert main(["cite", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
