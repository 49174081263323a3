"""The paper's figures and table, end to end on a small universe with cheap engines in the place of dear ones."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from zeldo.commands import main
from zeldo.cosmology.parameters import Cosmology
from zeldo.reproduce import deoliveira2020 as paper
from zeldo.reproduce.tables import findings, largest_error, share_better
from zeldo.statistics.comparison import Comparison, FieldComparison

CHEAP = ["--power", "eisenstein-hu", "--n", "16", "--nbody", "2lpt"]
COMMAND = ["reproduce", "deoliveira2020", *CHEAP]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A V-Net that nobody trained."""
    import torch

    from zeldo.networks.card import ModelCard
    from zeldo.networks.vnet import VNet
    from zeldo.networks.weights import save

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    ranges = {"redshift": (0, 0), "spacing": (paper.SPACING, paper.SPACING), "omega_m": (0.3175, 0.3175)}
    save(VNet(channels=4), path, ModelCard("vnet", {"channels": 4}, "deoliveira2020", {}, **ranges))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory, weights):
    """One run of the command: its directory."""
    from zeldo.reproduce import figures

    out = tmp_path_factory.mktemp("paper") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DPI", 50)
        assert main([*COMMAND, "--engine", str(weights), "-o", str(out)]) == 0
    return out


@pytest.fixture
def unpainted(monkeypatch):
    """Pictures take most of the time, and one run shows what they are."""
    from zeldo.reproduce import figures

    monkeypatch.setattr(figures, "save", lambda figure, path: path.write_bytes(b"no picture"))


def test_all_files_are_there_and_the_page_needs_no_other(done):
    for name in ("figure1.png", "figure2.png", "figure2_displacement.png"):
        content = (done / name).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 20_000
    page = (done / "index.html").read_text()
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) == 3 and all(one.startswith("data:image/png;base64,") for one in sources)
    assert "<link" not in page and "<script" not in page
    assert "zeldo" in page and "0.1755" in page and "codecarbon" in page
    assert not list(done.glob("**/*.part"))


def test_figures_show_the_papers_engines_and_fields_in_its_cosmologies(done):
    content = json.loads((done / "comparison.json").read_text())
    assert [panel["engines"] for panel in content["panels"]] == [4, 4, 4, 4]
    assert [panel["cosmology"]["omega_m"] for panel in content["panels"]] == [0.3175, 0.1755, 0.3889, 0.4291]
    engines = [one["engine"] for one in content["comparisons"]]
    assert engines == ["vnet", "cola", "emulator", "zeldovich"] * 4
    assert all(set(one["fields"]) == {"density", "displacement"} for one in content["comparisons"])
    cola = content["comparisons"][1]["settings"]
    assert (cola["steps"], cola["mesh_factor"]) == (10, 1)


def test_beyond_its_cosmology_the_network_extrapolates_and_says_so(done):
    networks = [
        one
        for one in json.loads((done / "comparison.json").read_text())["comparisons"]
        if one["engine"] == "vnet"
    ]
    assert [one["settings"]["extrapolate"] for one in networks] == [False, True, True, True]


def test_table1_times_nbody_once_and_the_others_in_medians_of_three(done):
    content = json.loads((done / "table1.json").read_text())
    assert [(one["what"], len(one["runs"])) for one in content["timings"]] == [
        ("N-body", 1),
        ("10-step COLA", 3),
        ("network", 3),
        ("emulator", 3),
    ]
    assert all(one["seconds"] == sorted(one["runs"])[len(one["runs"]) // 2] for one in content["timings"])


def test_a_second_call_runs_no_nbody_and_prints_the_same(done, weights, capsys, monkeypatch, unpainted):
    before = {path.name: path.read_bytes() for path in (done / "nbody").iterdir()}
    assert len(before) == 4

    def never(*arguments):
        raise AssertionError("N-body ran again")

    from zeldo.engines.lpt import SecondOrder

    monkeypatch.setattr(SecondOrder, "run", never)
    table = json.loads((done / "table1.json").read_text())
    pictures = {path: path.read_bytes() for path in done.glob("*.png")}
    assert main([*COMMAND, "--engine", str(weights), "-o", str(done)]) == 0
    for path, content in pictures.items():
        path.write_bytes(content)
    out, err = capsys.readouterr()
    assert err == ""
    for words in (
        "Figure 1",
        "Figure 2a",
        "Figure 2c",
        "Table 1",
        "10-step COLA",
        "claims",
        table["measured"],
    ):
        assert words in out
    assert {path.name: path.read_bytes() for path in (done / "nbody").iterdir()} == before


def test_reference_files_stand_for_nbody_where_they_fit(tmp_path, unpainted):
    from zeldo.api import initial_conditions
    from zeldo.engines.parsing import parse_engine

    cosmology = paper.FIGURE2[1]
    ics = initial_conditions(cosmology=cosmology, n=16, box=31.25, seed=5, power="eisenstein-hu")
    (truth,) = parse_engine("pm:steps=3").run(ics, [0.0])
    values = {name: getattr(cosmology, name) for name in ("omega_m", "omega_b", "h", "n_s", "sigma_8")}
    folder = tmp_path / "references"
    folder.mkdir()
    np.savez(
        folder / "middle.npz",
        **{"n": 16, "box": 31.25, "seed": 5, "delta_lin": ics.delta_lin, "delta_step": 1.0},
        **{"psi_z0": truth.psi, "psi_step": 1.0, "vel_z0": truth.vel, "vel_step": 1.0, **values},
    )
    arguments = [*COMMAND, "--engine", "pm:steps=3", "--no-table", "--reference", str(folder)]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [panel["seeds"] for panel in content["panels"]] == [[40001], [40001], [5], [40001]]
    references = [one["reference"] for one in content["comparisons"]]
    assert references == ["2lpt"] * 8 + ["mp-gadget (middle.npz)"] * 4 + ["2lpt"] * 4
    same = content["comparisons"][8]["fields"]["density"]["transfer"]
    assert np.allclose([x for x in same if x is not None], 1, atol=1e-5)  # the engine that made the reference
    assert not (tmp_path / "out" / "table1.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "nix"], ["nix", "cola"]),
        (["--engine", "/nowhere.safetensors"], ["/nowhere.safetensors"]),
        (["--engine", "2lpt", "--nbody", "p4m"], ["p4m", "p3m"]),
        (["--engine", "2lpt", "--n", "17"], ["n = 17"]),
        (["--engine", "2lpt", "--box", "nan"], ["box"]),
        (["--engine", "2lpt", "--seeds", "1", "1"], ["twice"]),
        (["--engine", "2lpt", "--seeds", "-3"], ["-3"]),
        (["--engine", "2lpt", "--reference", "/nowhere"], ["/nowhere", "directory"]),
        (["--engine", "2lpt", "--power", "nothing.txt"], ["nothing.txt"]),
        (["--engine", "2lpt", "--country", "FRA", "--no-table"], ["country = 'FRA'", "leave it out"]),
    ],
)
def test_bad_input_is_one_line_before_any_nbody(arguments, words, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["reproduce", "deoliveira2020", *arguments, "-o", str(out)]) == 2
    text, err = capsys.readouterr()
    assert text == "" and err.startswith("zeldo: ") and err.count("\n") == 1
    assert all(word in err for word in words)
    assert not out.exists()


def test_a_lattice_that_the_network_does_not_know_is_refused_before_any_nbody(weights, tmp_path, capsys):
    arguments = [*COMMAND, "--engine", str(weights), "--box", "100", "-o", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "spacing = 6.25" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("nbody/*"))


def test_the_default_seeds_are_in_no_data_set_of_this_project():
    configs = Path(__file__).parents[2] / "configs"
    parts = 0
    for path in configs.glob("dataset_*.toml"):
        content = tomllib.loads(path.read_text())
        for part in ("train", "validation", "test"):
            if part in content:
                parts += 1
                first = content[part]["first_seed"]
                assert not set(paper.SEEDS) & set(range(first, first + content[part]["runs"]))
    assert parts > 3


def test_cosmologies_are_those_of_the_papers_figure_2(shared):
    text = (shared / "paper_deoliveira2020.txt").read_text()
    caption = text[text.index("Figure 2: Accuracy") :]
    for one in paper.FIGURE2:
        numbers = ",".join(f"{x:g}" for x in (one.omega_m, one.omega_b, one.h, one.n_s, one.sigma_8))
        assert numbers in caption[:1500].replace("\\", "").replace("{", "").replace("}", "")


def compared(transfer: list[float], one_minus_r2: list[float], seconds: float = 1.0) -> Comparison:
    k = np.array([0.0, 0.5, 1.0, 1.5])
    power = np.array([np.nan, 4.0, 2.0, 1.0])
    field = FieldComparison(k, power, power, np.array([np.nan, *transfer]), np.array([np.nan, *one_minus_r2]))
    return Comparison("net", {}, "N-body", 0.0, 10.0, 16, {"density": field}, seconds, 0.5)


def test_seeds_are_averaged_bin_by_bin():
    mean = paper.averaged(
        [compared([1, 0.9, 0.5], [0, 0.1, 0.2], 1.0), compared([1, 0.7, 0.7], [0, 0.3, 0.4], 2.0)]
    )
    field = mean.fields["density"]
    assert np.allclose(field.transfer[1:], [1, 0.8, 0.6]) and np.allclose(
        field.one_minus_r2[1:], [0, 0.2, 0.3]
    )
    assert mean.wall_seconds == 1.5


def test_errors_are_counted_to_k_of_1_and_no_further():
    good, bad = compared([1.01, 0.98, 0.3], [0.1, 0.2, 0.9]), compared([0.985, 0.99, 0.9], [0.2, 0.3, 0.1])
    assert largest_error(good) == pytest.approx(0.02)
    assert share_better(good, bad, "transfer") == (1, 2)
    assert share_better(good, bad, "one_minus_r2") == (2, 2)


def test_the_fiducial_universe_is_quijotes_at_the_papers_spacing():
    assert Cosmology(0.3175, 0.049, 0.6711, 0.9624, 0.834) == paper.FIDUCIAL
    assert paper.SPACING == 1000 / 512


def test_figure_2_is_of_the_first_seed(tmp_path, unpainted):
    arguments = [*COMMAND, "--engine", "zeldovich", "--no-table", "--seeds", "5", "6"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [panel["seeds"] for panel in content["panels"]] == [[5, 6], [5], [5], [5]]


def test_of_several_runs_the_largest_memory_counts():
    runs = [replace(compared([1, 1, 1], [0, 0, 0]), peak_memory=peak) for peak in (0.5, None, 0.7, 0.6)]
    assert paper.averaged(runs).peak_memory == 0.7


def test_the_papers_claims_are_held_against_the_network_and_not_cola():
    network = replace(compared([1.01, 0.98, 0.3], [0.3, 0.4, 0.1]), engine="vnet")
    cola = replace(compared([1.02, 0.99, 0.9], [0.1, 0.2, 0.1]), engine="cola")
    panel = SimpleNamespace(comparisons=[network, cola])
    claims = dict(findings(SimpleNamespace(figure1=panel, figure2=[panel], table1=None)))
    accurate, better, elsewhere = claims.values()
    assert "within 2 % for k <= 1" in accurate
    assert "in 1 of 2 bins of T and in 0 of 2 of 1 - r^2" in better
    assert "within 2 % (" in elsewhere and ": 2 %)" in elsewhere
