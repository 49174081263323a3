"""Damaged files of every format are refused in one line, or read as they were; see `mutations`, which runs thousands."""

import os

import numpy as np
import pytest

import mutations
import zeldo
from refusals import refusal
from zeldo.commands import main

EACH = 12
OWN = ("npz", "gadget-hdf5", "swift", "zarr")


@pytest.mark.parametrize("name", mutations.FORMATS)
def test_random_damage_is_refused_or_harmless(name):
    answers = mutations.run(name, range(100_000, 100_000 + EACH))
    assert [answer for answer in answers.values() if not mutations.allowed(answer, name)] == []
    assert len(answers) == EACH


@pytest.mark.parametrize("name", OWN)
def test_a_flipped_byte_anywhere_in_the_data_is_found(name, tmp_path):
    """At steps through the files of the data, so that every field is hit."""
    (tmp_path / "first").mkdir()
    path = mutations.original(name, tmp_path / "first")
    files = [f for f in path.rglob("c/**/*") if f.is_file()] if path.is_dir() else [path]
    for file in files:
        content = file.read_bytes()
        data = range(len(content) // 3, len(content) * 9 // 10, max(1, len(content) // 40))
        truth = mutations.contents(path, name)
        for at in data:
            changed = bytearray(content)
            changed[at] ^= 4
            file.write_bytes(changed)
            assert mutations.outcome(path, name, truth) in ("refused", "as it was")
        file.write_bytes(content)
    assert mutations.outcome(path, name, truth) == "as it was"


@pytest.mark.parametrize(
    "name", [name for name in mutations.FORMATS if name not in ("zarr", "bigfile", "grafic")]
)
def test_truncation_anywhere_is_refused(name, tmp_path):
    path = mutations.original(name, tmp_path)
    if not path.is_file():
        path = min(tmp_path.glob("out.*"))
    content = path.read_bytes()
    options = mutations.OPTIONS.get(name, {})
    for keep in [*range(0, 600, 37), *np.linspace(600, len(content) - 1, 25).astype(int)]:
        path.write_bytes(content[:keep])
        with pytest.raises(zeldo.InputError) as caught:
            answer = zeldo.read(path, zeldo.Cosmology.preset("quijote"), **options)
            # whole lines of a text are fewer particles
            assert name == "l-picola" and isinstance(answer, zeldo.Particles)
            raise zeldo.InputError("fewer")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("box", [1e-200, 1e200, 1e308])
@pytest.mark.parametrize("name", ["foreign hdf5", "gadget-binary", "bigfile"])
def test_a_box_whose_volume_is_no_number_is_refused(name, box, tmp_path):
    path = mutations.original(name, tmp_path)
    truth, changed = (np.array(side).astype("<f8").tobytes() for side in (mutations.BOX, box))
    header = path / "Header" / "attr-v2" if path.is_dir() else path
    content = header.read_bytes()
    if path.is_dir():
        truth, changed = (side.hex().upper().encode() for side in (truth, changed))
    assert truth in content
    header.write_bytes(content.replace(truth, changed, 1))
    assert "BoxSize" in refusal(lambda: zeldo.read(path, "quijote"))


def test_damage_is_exit_status_2_and_one_line(tmp_path, capsys):
    path = mutations.original("gadget-hdf5", tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    for arguments in (["info", str(path)], ["convert", str(path), str(tmp_path / "o.npz")]):
        assert main(arguments) == 2
        answer = capsys.readouterr()
        assert answer.out == "" and answer.err.count("\n") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.hdf5"]


def test_pipes_and_the_root_are_no_files(tmp_path, monkeypatch):
    """A pipe without a writer would keep a reader waiting for ever; `/` has no name to look for parts of."""
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(lambda: zeldo.read(tmp_path / "pipe"))
    assert "no format" in refusal(lambda: zeldo.read("/"))
    path = mutations.original("npz", tmp_path)
    monkeypatch.chdir(tmp_path)  # a pipe beside it does not matter
    assert zeldo.read(".").n == zeldo.read(path).n
