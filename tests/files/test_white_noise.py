"""White noise from and to files."""

import h5py
import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.errors import DamagedFileError
from zeldo.files.white_noise import find_phases, read_white_noise, write_white_noise
from zeldo.initial.ngenic import NGenIC
from zeldo.initial.phases import Native
from zeldo.initial.white_noise import WhiteNoise

PHASES = NGenIC(3)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.grafic", "wnoise_0004.bin"])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_written_is_read(tmp_path, name, sign):
    path = write_white_noise(PHASES, tmp_path / name, 16, sign)
    noise = read_white_noise(path, sign)
    np.testing.assert_allclose(noise.modes(16), PHASES.modes(16), atol=1e-5)
    np.testing.assert_array_equal(noise.values, sign * PHASES.field(16))
    assert noise.label == (name if sign > 0 else f"{name}:sign=-1")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def grafic(path, values, order="<", kind="f4", seed=9):
    """Written here by another way than zeldo's: one number after the other, x fastest."""
    nx, ny, nz = values.shape
    words = np.dtype(f"{order}i4")
    length = np.dtype(kind).itemsize * nx * ny
    data = np.array([16, nx, ny, nz, seed, 16], words).tobytes()
    for z in range(nz):
        plane = np.array([values[x, y, z] for y in range(ny) for x in range(nx)], f"{order}{kind}")
        data += np.array([length], words).tobytes() + plane.tobytes() + np.array([length], words).tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_grafic_of_either_byte_order_and_precision(tmp_path, order, kind):
    values = np.random.default_rng(1).standard_normal((8, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(
        read_white_noise(grafic(tmp_path / "a.bin", values, order, kind)).values, values
    )


def test_grafic_is_written_as_others_write_it(tmp_path):
    theirs = grafic(tmp_path / "a.bin", PHASES.field(8), seed=3)
    assert write_white_noise(PHASES, tmp_path / "b.bin", 8).read_bytes() == theirs.read_bytes()


def test_an_array_of_noise_is_refused_in_one_line():
    line = refusal(lambda: zeldo.initial_conditions(phases=np.zeros((8, 8, 8)), n=8))
    assert "phases an array of shape" in line and "numpy.save" in line


def test_a_file_of_noise_makes_a_universe(tmp_path):
    tiny = {"box": 20, "power": "eisenstein-hu"}
    path = write_white_noise(PHASES, tmp_path / "a.npy", 16, -1)
    wanted = zeldo.initial_conditions(phases=PHASES, n=8, **tiny)
    made = zeldo.initial_conditions(phases=f"{path}:sign=-1", n=8, **tiny)
    np.testing.assert_allclose(made.delta_lin, wanted.delta_lin, atol=1e-4 * wanted.delta_lin.std())
    assert (made.seed, made.phases) == (None, "a.npy:sign=-1")
    flipped = zeldo.initial_conditions(phases=path, n=8, **tiny)
    np.testing.assert_allclose(flipped.delta_lin, -made.delta_lin, atol=1e-5)
    assert "have no seed, so seed = 3" in refusal(
        lambda: zeldo.initial_conditions(phases=path, seed=3, **tiny)
    )
    assert "too few for n = 128" in refusal(lambda: zeldo.initial_conditions(phases=path, **tiny))


@pytest.mark.parametrize("name", ["noise", "level_004/noise"])
def test_hdf5_with_one_cube_is_read(tmp_path, name):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file[name] = PHASES.field(8)
        file["k"] = np.arange(8.0)
    made = zeldo.initial_conditions(phases=tmp_path / "n.h5", box=20, n=8, power="eisenstein-hu")
    wanted = zeldo.initial_conditions(phases=WhiteNoise(PHASES.field(8)), box=20, n=8, power="eisenstein-hu")
    np.testing.assert_array_equal(made.delta_lin, wanted.delta_lin)
    with h5py.File(tmp_path / "n.h5", "a") as file:
        file["density"] = 50 * PHASES.field(8)
    assert "has 2 cubic data sets: density" in refusal(lambda: read_white_noise(tmp_path / "n.h5"))
    with h5py.File(tmp_path / "n.h5", "a") as file:
        file["white_noise"] = PHASES.field(8)
    np.testing.assert_array_equal(read_white_noise(tmp_path / "n.h5").values, PHASES.field(8))


def test_a_file_of_another_kind_is_not_called_an_unknown_name(tmp_path, monkeypatch):
    (tmp_path / "n.fits").write_bytes(b"SIMPLE")
    assert "white noise is read from .npy" in refusal(lambda: find_phases(tmp_path / "n.fits"))
    (tmp_path / "n.h5").write_bytes(b"no HDF5")
    assert "is not a readable HDF5" in refusal(lambda: find_phases(tmp_path / "n.h5"))
    assert "are not known: give native" in refusal(lambda: find_phases("x" * 300))
    (tmp_path / "native").write_text("a file of this name hides no generator")
    monkeypatch.chdir(tmp_path)
    assert find_phases("native") == Native()


def test_white_noise_given_as_initial_conditions_is_sent_to_phases(tmp_path):
    np.savez(tmp_path / "a.npz", noise=PHASES.field(8))
    np.savez(tmp_path / "b.npz", white_noise=PHASES.field(8), phases=np.array("ngenic"))
    np.save(tmp_path / "c.npy", PHASES.field(8))
    write_white_noise(PHASES, tmp_path / "d.bin", 8)
    with h5py.File(tmp_path / "e.hdf5", "w") as file:
        file["noise"] = PHASES.field(8)
    for path in tmp_path.iterdir():
        line = refusal(lambda path=path: zeldo.run(ics=path, engine="zeldovich"))
        assert "give white noise as --phases" in line


def test_an_npz_of_several_arrays_needs_the_name(tmp_path):
    np.savez(tmp_path / "one.npz", anything=PHASES.field(8))
    assert read_white_noise(tmp_path / "one.npz").values.shape == (8, 8, 8)
    np.savez(tmp_path / "two.npz", a=PHASES.field(8), b=1)
    assert "lacks white_noise" in refusal(lambda: read_white_noise(tmp_path / "two.npz"))


def test_damaged_files_are_refused_in_one_line(tmp_path):
    whole = write_white_noise(PHASES, tmp_path / "a.bin", 8).read_bytes()
    damaged = tmp_path / "b.bin"
    bad_length = bytearray(whole)
    bad_length[24] ^= 1
    for data, words in (
        (b"", "is truncated"),
        (whole[:-5], "bytes are not what 8 x 8 x 8 numbers take"),
        (bytes(bad_length), "contradict each other"),
        (whole[:4] + b"\xff\xff\xff\xff" + whole[8:], "is not possible"),
    ):
        damaged.write_bytes(data)
        assert words in refusal(lambda: read_white_noise(damaged))
        with pytest.raises(DamagedFileError):
            read_white_noise(damaged)
    described = "{'descr': '<f8', 'fortran_order': False, 'shape': (20000, 20000, 20000)}\n"
    for text in (
        b"junk",
        *(b"\x01\x00%c\x00" % len(text) + text.encode() for text in (described, "{'descr'\n")),
    ):
        (tmp_path / "c.npy").write_bytes(b"\x93NUMPY" + text)
        assert "is not a readable npy file" in refusal(lambda: read_white_noise(tmp_path / "c.npy"))


def test_other_files_are_refused_in_one_line(tmp_path):
    initial = tmp_path / "ic_poscx.bin"
    initial.write_bytes(np.array([44, *range(11), 44], "<i4").tobytes())
    assert "not white noise of GRAFIC" in refusal(lambda: read_white_noise(initial))
    np.save(tmp_path / "whole.npy", np.arange(8**3).reshape(8, 8, 8))
    assert "holds int64" in refusal(lambda: read_white_noise(tmp_path / "whole.npy"))
    np.save(tmp_path / "density.npy", 50 * PHASES.field(8))
    line = refusal(lambda: read_white_noise(tmp_path / "density.npy"))
    assert "density.npy" in line and "unit variance" in line
    assert "does not exist" in refusal(lambda: read_white_noise(tmp_path / "none.npy"))
    assert "is written as .npy" in refusal(lambda: write_white_noise(PHASES, tmp_path / "a.txt", 8))
    assert "give 1 or -1" in refusal(lambda: write_white_noise(PHASES, tmp_path / "a.npy", 8, 2))
    assert not (tmp_path / "a.npy").exists()


def test_noise_of_a_file_is_fixed_or_flipped_as_asked(tmp_path):
    path = write_white_noise(Native(3), tmp_path / "a.npy", 8)
    plain, flipped = (read_white_noise(path, flip=flip).field(8) for flip in (False, True))
    np.testing.assert_array_equal(flipped, -plain)
    sizes = np.abs(np.fft.rfftn(read_white_noise(path, fixed=True).field(8)))[1:4, 1:4, 1:4]
    np.testing.assert_allclose(sizes, sizes[0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("seed", [2**31, 2**40])
def test_a_seed_beyond_grafics_32_bits_is_left_out(tmp_path, seed):
    phases = Native(seed)
    path = write_white_noise(phases, tmp_path / "a.bin", 8)
    assert path.read_bytes()[:24] == np.array([16, 8, 8, 8, 0, 16], "<i4").tobytes()
    np.testing.assert_array_equal(read_white_noise(path).values, phases.field(8))
