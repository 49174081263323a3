"""N-body runs are made once, and made again where anything that decides them has changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.files.reference import reference_path
from zeldo.reproduce.truth import NBody, ReferenceFile, nearest_file, reference_files

FIDUCIAL = Cosmology.preset("quijote")


@pytest.fixture
def nbody(tmp_path):
    said: list[str] = []
    return NBody(parse_engine("2lpt"), "2lpt", tmp_path / "nbody", said.append), said


def test_a_run_is_made_once_and_read_back_the_same(nbody, ics, watch):
    kept, said = nbody
    made = kept.run("fiducial_3", ics, watch)
    again = kept.run("fiducial_3", ics, watch)
    assert watch.titles == ["N-body fiducial_3"] and not said
    assert np.abs(again.snapshot.psi - made.snapshot.psi).max() < 1e-5
    assert np.array_equal(again.snapshot.vel, made.snapshot.vel)
    assert dict(again.snapshot.settings) == dict(made.snapshot.settings)
    assert again.name == "2lpt"


@pytest.mark.parametrize("what", ["engine", "settings", "phases", "version"])
def test_a_run_of_other_circumstances_is_made_again_and_said(nbody, ics, watch, what, monkeypatch):
    kept, said = nbody
    if what == "settings":
        kept = replace(kept, engine=parse_engine("pm:steps=2"))
    kept.run("one", ics, watch)
    if what == "engine":
        kept = replace(kept, engine=parse_engine("zeldovich"))
    elif what == "settings":
        kept = replace(kept, engine=parse_engine("pm:steps=3"))
    elif what == "phases":
        ics = replace(ics, delta_lin=-ics.delta_lin)
    else:
        monkeypatch.setattr("zeldo.particles.provenance.__version__", "99.0")
    kept.run("one", ics, watch)
    assert len(watch.titles) == 2
    assert len(said) == 1 and "made again" in said[0] and "one.npz" in said[0]


def test_a_damaged_file_is_made_again(nbody, ics, watch):
    kept, said = nbody
    kept.run("one", ics, watch)
    content = kept.path("one").read_bytes()
    kept.path("one").write_bytes(content[: len(content) // 2])
    kept.run("one", ics, watch)
    assert len(watch.titles) == 2 and "made again" in said[0]
    assert kept.path("one").stat().st_size == len(content)


def test_where_a_checkpoint_lies_does_not_make_a_run_stale():
    settings = parse_engine("p3m:checkpoint=a.npz").settings
    assert "mesh_step" in settings and not any("checkpoint" in name for name in settings)


def test_the_reference_nearest_in_size_is_taken_never_another_spacing_or_cosmology(tmp_path):
    other = replace(FIDUCIAL, sigma_8=0.9)
    files = [
        ReferenceFile(tmp_path / "large", FIDUCIAL, 128, 250.0),
        ReferenceFile(tmp_path / "small", FIDUCIAL, 64, 125.0),
        ReferenceFile(tmp_path / "coarse", FIDUCIAL, 32, 125.0),
        ReferenceFile(tmp_path / "other", other, 32, 62.5),
    ]
    spacing = 250 / 128
    assert nearest_file(files, FIDUCIAL, 128, spacing) is files[0]
    assert nearest_file(files, FIDUCIAL, 32, spacing) is files[1]
    assert nearest_file(files, other, 128, spacing) is files[3]
    assert nearest_file(files, FIDUCIAL, 128, 1.0) is None
    assert nearest_file(files, replace(FIDUCIAL, h=0.7), 128, spacing) is None


def test_reference_files_are_found_by_what_they_hold():
    (one,) = reference_files(reference_path("small").parent)
    assert (one.n, one.box, one.cosmology) == (64, 125.0, FIDUCIAL)
    truth = one.read()
    assert truth.snapshot.redshift == 0 and truth.name == "mp-gadget (small.npz)"


def test_a_directory_without_references_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no reference"):
        reference_files(tmp_path)
    with pytest.raises(InputError, match="not a directory"):
        reference_files(tmp_path / "nowhere")
