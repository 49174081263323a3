"""Outputs beside inputs that are sets of files."""

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.errors import InputError
from zeldo.files.converting import convert
from zeldo.files.sets import check_no_input
from zeldo.measures import halos

TINY = {"engine": "2lpt", "n": 8, "box": 20.0, "power": "eisenstein-hu", "redshift": 9}


@pytest.fixture
def whole(tmp_path):
    """A snapshot in three files, and their contents."""
    zeldo.run(output=tmp_path / "one.hdf5", **TINY)
    (tmp_path / "set").mkdir()
    convert(tmp_path / "one.hdf5", tmp_path / "set" / "s.hdf5", write_options={"files": 3})
    return {path: path.read_bytes() for path in (tmp_path / "set").iterdir()}


@pytest.mark.parametrize("source", ["set/s.0.hdf5", "set/s", "set/s.hdf5", "set"])
@pytest.mark.parametrize("use", ["halos", "measure", "run"])
def test_no_part_of_a_set_that_is_read_is_written_over(whole, tmp_path, source, use):
    source, output = tmp_path / source, tmp_path / "set" / "s.1.hdf5"
    uses = {
        "halos": lambda: halos(source, output=output),
        "measure": lambda: zeldo.measure(source, output=output),
        "run": lambda: zeldo.run(ics=source, engine="2lpt", output=output),
    }
    assert "is a file of the set of" in refusal(uses[use])
    assert {path: path.read_bytes() for path in whole} == whole


def test_a_file_beside_a_set_may_be_written(whole, tmp_path):
    for name in ("s.hdf5", "t.1.hdf5", "s.csv"):
        check_no_input([tmp_path / "set" / name], {"source": tmp_path / "set" / "s"})
    (tmp_path / "one.0.hdf5").touch()  # of another set than a file whose name has no number
    check_no_input([tmp_path / "one.0.hdf5"], {"source": tmp_path / "one.hdf5"})


@pytest.mark.parametrize(("name", "part"), [("s.bigfile", "1"), ("s.zarr", "positions")])
def test_no_directory_that_holds_the_input_is_written_over(tmp_path, name, part):
    place = tmp_path / name
    (snapshot,) = zeldo.run(**TINY)
    zeldo.write(snapshot, place)
    inside = zeldo.write(snapshot, place / part / "s.hdf5")
    assert "would take the place of files that are read" in refusal(lambda: convert(inside, place))
    assert "is a directory that source, " in refusal(lambda: check_no_input([place], {"source": inside}))
    with pytest.raises(InputError):
        zeldo.run(ics=inside, engine="2lpt", redshift=0, output=place)
    assert inside.exists()


def test_an_input_that_leads_nowhere_is_no_output(tmp_path):
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    inputs = {"phases": tmp_path / "loop.npz", "power": "p" * 300}
    check_no_input([tmp_path / "out.npz"], inputs)
    with pytest.raises(InputError, match="output and power are the same"):
        check_no_input([tmp_path / "out.npz"], {**inputs, "power": tmp_path / "out.npz"})


def test_a_number_of_files_may_be_numpys(tmp_path):
    (snapshot,) = zeldo.run(**TINY)
    zeldo.write(snapshot, tmp_path / "s.hdf5", files=np.int64(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.0.hdf5", "s.1.hdf5"]


def test_a_snapshot_whose_name_ends_in_a_number_is_no_part_of_a_set(tmp_path):
    zeldo.run(output=tmp_path / "snap_z0.7.hdf5", **TINY)
    convert(tmp_path / "snap_z0.7.hdf5", tmp_path / "snap_z0.5.hdf5")
    assert (tmp_path / "snap_z0.5.hdf5").exists()
    for output, options in (("snap_z0.7.hdf5", {}), ("snap_z0.hdf5", {"files": 8})):
        line = refusal(
            lambda output=output, options=options: convert(
                tmp_path / "snap_z0.7.hdf5", tmp_path / output, write_options=options
            )
        )
        assert "would take the place of files that are read" in line


@pytest.mark.parametrize("name", ["run_z0.0.hdf5", "run_z0.1.hdf5"])
def test_no_snapshot_whose_name_ends_in_a_number_is_replaced_by_a_part(tmp_path, name):
    zeldo.run(output=tmp_path / "one.hdf5", **TINY)
    before = (tmp_path / "one.hdf5").read_bytes()
    (tmp_path / name).write_bytes(before)
    text = refusal(
        lambda: convert(tmp_path / "one.hdf5", tmp_path / "run_z0.hdf5", write_options={"files": 2})
    )
    assert f"{name} is no file of a set" in text
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one.hdf5": before, name: before}


def test_a_halo_catalogue_of_the_name_of_a_set_stays(tmp_path):
    zeldo.run(output=tmp_path / "one.hdf5", **TINY)
    halos(tmp_path / "one.hdf5", output=tmp_path / "h.hdf5", minimum=2, linking_length=0.9)
    before = (tmp_path / "h.hdf5").read_bytes()
    convert(tmp_path / "one.hdf5", tmp_path / "h.hdf5", write_options={"files": 2})
    assert (tmp_path / "h.hdf5").read_bytes() == before


def test_white_noise_is_an_input_with_its_sign_too(tmp_path):
    path = tmp_path / "noise.npy"
    np.save(path, np.random.default_rng(1).standard_normal((8, 8, 8)))
    before = path.read_bytes()
    for phases in (f"{path}", f"{path}:sign=-1"):
        with pytest.raises(InputError, match="output and phases are the same file"):
            check_no_input([path], {"phases": phases})
    assert path.read_bytes() == before
