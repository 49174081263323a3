"""What is found of an installation, and what to cite for a file."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import replace

import pytest

import zeldo
from refusals import refusal
from zeldo import doctor
from zeldo.commands import main
from zeldo.engines.registry import names
from zeldo.files.reference import reference_path, write_initial_conditions
from zeldo.networks.card import PUBLIC_TASKS, ModelCard
from zeldo.networks.styled import StyledVNet
from zeldo.networks.weights import save
from zeldo.report.citations import ENGINES, FORMATS, NETWORKS, OTHERS, POWER, cite, references


def test_this_installation_is_well():
    findings = doctor.diagnose()
    assert doctor.healthy(findings), [finding for finding in findings if finding.state == "broken"]
    names = [finding.name for finding in findings]
    assert {"zeldo", "packages", "threads", "devices", "compiled kernels", "self-test"} <= set(names)


def test_the_self_test_sees_another_result(monkeypatch):
    monkeypatch.setattr(doctor, "EXPECTED", 1.01 * doctor.EXPECTED)
    assert doctor._self_test().state == "broken"


def test_what_fails_is_a_finding_and_the_rest_is_looked_at(monkeypatch, capsys):
    def fail():
        raise OSError("no\nsuch library")

    monkeypatch.setattr(doctor, "_transforms", fail)
    assert main(["doctor", "--json"]) == 1
    out, err = capsys.readouterr()
    record = json.loads(out)
    broken = [finding for finding in record["findings"] if finding["state"] == "broken"]
    assert not record["healthy"] and broken[0]["text"] == "OSError: no such library"
    assert record["findings"][-1]["name"] == "self-test" and "Fourier transforms" in err


def test_an_uncached_installation_is_told(monkeypatch):
    from zeldo.mesh import splines

    monkeypatch.setattr(splines._paint, "_cache", object())
    finding = doctor._cache()
    assert finding.state == "note" and "NUMBA_CACHE_DIR" in finding.text


def test_a_full_disk_for_kernels_is_told(monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", full)
    finding = doctor._cache()
    assert finding.state == "note" and "No space left" in finding.text and "NUMBA_CACHE_DIR" in finding.text


def test_every_engine_has_its_papers_and_every_key_its_entry():
    assert set(names()) <= set(ENGINES)
    entries = [entry for group in (*ENGINES.values(), *POWER.values()) for entry in group]
    assert set(PUBLIC_TASKS) == set(NETWORKS)
    others = [*OTHERS.values(), *FORMATS.values(), *NETWORKS.values()]
    assert {key for key, _ in [*entries, *others]} <= set(references())
    for key, entry in references().items():
        assert entry.count("{") == entry.count("}") and key in entry
        assert re.search(r"year = \{\d{4}\}", entry)


@pytest.mark.parametrize(
    ("engine", "options", "expected", "absent"),
    [
        (
            "cola",
            {},
            {"zeldo", "tassev2013", "eisenstein1998", "villaescusa2020"},
            {"lewis2000", "angulo2016"},
        ),
        (
            "pm",
            {"fixed": True, "cosmology": "planck2018"},
            {"feng2016", "rampf2025", "angulo2016", "planck2018"},
            set(),
        ),
        ("pm:stepper=fastpm", {"omega_m": 0.3}, {"feng2016"}, {"rampf2025", "villaescusa2020"}),
        ("2lpt", {"phases": "ngenic", "omega_m": 0.3}, {"bouchet1995", "luscher1994"}, {"villaescusa2020"}),
        ("emulator:fast", {}, {"deoliveira2020", "tassev2013"}, {"feng2016", "rampf2025"}),
        ("zeldovich", {"phases": "quijote:h_p/3"}, {"zeldovich1970", "villaescusa2020"}, {"bouchet1995"}),
    ],
)
def test_a_snapshot_owes_to_all_that_made_it(tmp_path, engine, options, expected, absent):
    box = {} if "quijote" in options.get("phases", "") else {"box": 20}
    made = {"n": 8, "power": "eisenstein-hu", **box, **options}
    zeldo.run(engine=engine, output=tmp_path / "out.hdf5", **made)
    keys = {citation.key for citation in cite(tmp_path / "out.hdf5")}
    assert expected <= keys and not absent & keys


@pytest.mark.parametrize(
    ("task", "styles", "paper"), [("jamieson2022", 1, "jamieson2023"), ("jamieson2024", 2, "jamieson2024")]
)
def test_a_network_of_others_owes_to_its_own_paper(tmp_path, task, styles, paper):
    arguments = {"channels": 4, "styles": styles}
    card = ModelCard("styled vnet", arguments, task, {}, (0, 3), (1.9, 2.0), (0.1, 0.5))
    save(StyledVNet(**arguments), tmp_path / "net.safetensors", card)
    zeldo.run(
        engine=str(tmp_path / "net.safetensors"),
        n=16,
        box=31.25,
        power="eisenstein-hu",
        output=tmp_path / "out.npz",
    )
    keys = {citation.key for citation in cite(tmp_path / "out.npz")}
    assert paper in keys and "deoliveira2020" not in keys


def test_a_universe_in_pieces_owes_to_its_engine(tmp_path):
    (snapshot,) = zeldo.run(engine="cola", n=8, box=20, power="eisenstein-hu")
    zeldo.write(replace(snapshot, engine="cola in pieces", version="0.1.9"), tmp_path / "out.npz")
    citations = {citation.key: citation for citation in cite(tmp_path / "out.npz")}
    assert {"tassev2013", "tassev2015", "leclercq2020"} <= citations.keys() and "0.1.9" in citations[
        "zeldo"
    ].bibtex


@pytest.mark.parametrize("suffix", ["gadget", "gadget2"])
def test_a_file_that_names_no_code_is_not_said_to_be_of_one(tmp_path, suffix):
    zeldo.run(engine="cola", n=8, box=20, power="eisenstein-hu", output=tmp_path / f"out.{suffix}")
    (role,) = (citation.role for citation in cite(tmp_path / f"out.{suffix}") if citation.key != "zeldo")
    assert "format" in role and "does not name" in role


def test_initial_conditions_and_references_have_citations(tmp_path):
    ics = zeldo.initial_conditions(n=8, box=20, phases="ngenic")
    write_initial_conditions(ics, tmp_path / "ics.npz")
    keys = {citation.key for citation in cite(tmp_path / "ics.npz")}
    assert {"lewis2000", "luscher1994"} <= keys and "feng2018" not in keys
    assert "feng2018" in {citation.key for citation in cite(reference_path("small"))}
    assert "/nowhere" in refusal(lambda: cite("/nowhere.hdf5"))


def test_the_command_prints_bibtex(tmp_path, capsys):
    path = str(tmp_path / "out.npz")
    assert (
        main(["run", "-n", "8", "--box", "20", "--power", "eisenstein-hu", "--engine", "cola", "-o", path])
        == 0
    )
    capsys.readouterr()
    assert main(["cite", path]) == 0
    text = capsys.readouterr().out
    assert text.count("@") == len(cite(path)) and "% COLA\n@article{tassev2013," in text
    assert main(["cite", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["key"] == "zeldo"
    assert main(["doctor"]) == 0
    assert "self-test" in capsys.readouterr().out


def test_a_snapshot_in_memory_owes_what_its_file_does(tmp_path):
    (snapshot,) = zeldo.run(engine="2lpt", box=20, n=8, power="eisenstein-hu")
    assert zeldo.cite(snapshot) == zeldo.cite(zeldo.write(snapshot, tmp_path / "s.hdf5"))
    assert "a NoneType was given for a file: give its path" in refusal(lambda: zeldo.cite(None))
