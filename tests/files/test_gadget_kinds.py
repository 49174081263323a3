"""Gadget's binary files and HDF5 sets of every kind, made by hand as other codes make them."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import DamagedFileError, ZeldoWarning
from zeldo.files import create_particles, gadget_blocks, gadget_writing, hdf5_set, open_particles, read, write
from zeldo.files.converting import convert
from zeldo.files.describing import describe
from zeldo.files.gadget_header import gadget2_dtype, gadget4_dtype
from zeldo.particles.particles import Header, Particles
from zeldo.particles.snapshot import Snapshot

N, BOX, Z = 8, 40.0, 3.0
COUNT = N**3
QUIJOTE = PRESETS["quijote"]
MASS = 27.7536627 * QUIJOTE.omega_m * BOX**3 / COUNT


@pytest.fixture(scope="module")
def universe():
    """Long waves on a lattice, with peculiar velocities."""
    q = 2 * np.pi * np.indices((N, N, N)) / N
    psi = np.stack([np.sin(q[i] + q[(i + 1) % 3] + i) for i in range(3)])
    return Snapshot(psi, 80 * psi, BOX, QUIJOTE, Z, "other")


def record(content, order="<", label=None):
    length = np.array(len(content) % 2**32, f"{order}u4").tobytes()
    frame = length + content + length
    if label is None:
        return frame
    eight = np.array(8, f"{order}u4").tobytes()
    return eight + label + np.array(len(content) + 8, f"{order}u4").tobytes() + eight + frame


def header(order="<", files=1, npart=(0, COUNT, 0, 0, 0, 0), nall=None, unit=1.0, **entries):
    head = np.zeros((), gadget2_dtype(order))
    values = {
        "npart": npart,
        "nall": npart if nall is None else nall,
        "mass": (0, MASS, 0, 0, 0, 0),
        "time": 1 / (1 + Z),
        "redshift": Z,
        "box": BOX * unit,
        "num_files": files,
        "omega_m": QUIJOTE.omega_m,
        "omega_lambda": 1 - QUIJOTE.omega_m,
        "h": QUIJOTE.h,
    }
    for name, value in {**values, **entries}.items():
        head[name] = value
    return head.tobytes()


def blocks(universe, order="<", real="f4", ids="u4", unit=1.0, rows=slice(None), before=0, own_mass=False):
    """Contents of the blocks, with `before` rows of gas in front."""
    v = universe.velocities() * 2.0  # over sqrt(a)
    gas = np.zeros((before, 3))
    contents = {
        b"POS ": np.concatenate([gas, universe.positions()[rows] * unit]).astype(order + real),
        b"VEL ": np.concatenate([gas, v[rows]]).astype(order + real),
        b"ID  ": np.concatenate([np.arange(before) + 10**6, np.arange(1, COUNT + 1)[rows]]).astype(
            order + ids
        ),
    }
    if own_mass:
        masses = np.full(COUNT, MASS)[rows]
        contents[b"MASS"] = np.concatenate([np.zeros(before), masses]).astype(order + real)
    return {label: values.tobytes() for label, values in contents.items()}


def check(universe, again, tolerance=2e-5):
    assert (again.n, again.redshift) == (N, Z)
    assert again.box == pytest.approx(BOX, rel=1e-12)
    np.testing.assert_allclose(again.psi, universe.psi, rtol=0, atol=tolerance)
    np.testing.assert_allclose(again.vel, universe.vel, rtol=3e-7, atol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize("ids", ["u4", "u8"])
@pytest.mark.parametrize("real", ["f4", "f8"])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_formats_orders_and_precisions(universe, tmp_path, order, labelled, real, ids, unit):
    parts = blocks(universe, order, real, ids, unit)
    if labelled:
        parts = {
            b"HEAD": header(order, unit=unit),
            b"POT ": b"\0" * 4 * COUNT,
            **parts,
            b"ACCE": b"\0" * 12 * COUNT,
        }
        content = b"".join(record(part, order, label) for label, part in parts.items())
    else:
        content = b"".join(record(part, order) for part in (header(order, unit=unit), *parts.values()))
    (tmp_path / "snap_003").write_bytes(content)
    check(universe, read(tmp_path / "snap_003", QUIJOTE))
    with open_particles(tmp_path / "snap_003") as particles:
        assert ("big" if order == ">" else "little") in particles.header.stored["format"]
        assert particles.header.stored["lengths"] == ("Mpc/h" if unit == 1 else "kpc/h")
        assert any("lengths are taken as" in note for note in particles.header.notes)
        assert particles.ids.dtype.itemsize == int(ids[1])


@pytest.mark.filterwarnings("ignore:.*other species")
def test_a_set_of_unequal_files_with_gas_and_wrong_high_words(universe, tmp_path):
    """Blocks hold gas first; files have unequal numbers, one none; the high words are those of some L-PICOLA files."""
    cuts = [(0, 100, 7), (100, 100, 0), (100, COUNT, 3)]
    nall = (10, COUNT, 0, 0, 0, 0)
    for number, (start, stop, gas) in enumerate(cuts):
        head = header(
            npart=(gas, stop - start, 0, 0, 0, 0),
            nall=nall,
            files=3,
            nall_high=(9, 1, 0, 0, 0, 0),
            mass=(0,) * 6,
        )
        parts = blocks(universe, rows=slice(start, stop), before=gas, own_mass=True)
        (tmp_path / f"snap.{number}").write_bytes(
            b"".join(record(part) for part in (head, *(parts.values() if stop > start else ())))
        )
    for path in (tmp_path / "snap", tmp_path / "snap.2", tmp_path):
        again = read(path, QUIJOTE)
        check(universe, again)
    with open_particles(tmp_path / "snap", particle_type=0) as gas:
        assert len(gas) == 10
        np.testing.assert_array_equal(gas.positions, 0)
    with open_particles(tmp_path / "snap") as particles:
        assert any("not 10 of type 0 (gas)" in note for note in particles.header.notes)
        np.testing.assert_allclose(particles.masses, MASS, rtol=1e-6)
    assert "has no particles of type 4: it has type 0, 1" in refusal(
        lambda: read(tmp_path / "snap", particle_type=4)
    )
    (tmp_path / "snap.1").unlink()
    assert "is one of 3 files of a snapshot: snap.1 is missing" in refusal(lambda: read(tmp_path / "snap.0"))


@pytest.mark.filterwarnings("ignore:.*other species")
def test_species_whose_mass_the_header_has_are_not_in_the_block_of_masses(universe, tmp_path):
    contents = blocks(universe, before=7)
    contents[b"MASS"] = np.linspace(1, 2, COUNT).astype("<f4").tobytes()
    head = header(npart=(7, COUNT, 0, 0, 0, 0), mass=(1.0, 0, 0, 0, 0, 0))
    (tmp_path / "snap").write_bytes(b"".join(record(part) for part in (head, *contents.values())))
    with open_particles(tmp_path / "snap", length="Mpc/h") as particles:
        np.testing.assert_allclose(particles.masses, np.linspace(1, 2, COUNT), rtol=1e-6)
        np.testing.assert_allclose(particles.velocities, universe.velocities(), rtol=1e-6)


def test_records_beyond_4_gib_are_found_by_the_counts(tmp_path):
    """A sparse file: the length of the positions' record wraps."""
    count = 360_000_000
    path = tmp_path / "large"
    mass = 27.7536627 * QUIJOTE.omega_m * 1000.0**3 / count
    with open(path, "wb") as stream:
        stream.write(record(header(npart=(0, count, 0, 0, 0, 0), mass=(0, mass, 0, 0, 0, 0), box=1000.0)))
        for width in (12, 12, 8):
            length = np.array(count * width % 2**32, "<u4").tobytes()
            stream.write(length)
            stream.seek(count * width - 12, 1)
            stream.write(np.array([1.5, 2.5, 3.5], "<f4").tobytes() + length)
    with open_particles(path) as particles:
        assert len(particles) == count
        np.testing.assert_array_equal(particles.read("positions", count - 1, count), [[1.5, 2.5, 3.5]])
        np.testing.assert_array_equal(particles.read("velocities", count - 1, count), [[0.75, 1.25, 1.75]])
        assert particles.fields["ids"] == np.uint64


@pytest.mark.parametrize("suffix", [".gadget", ".gadget2"])
def test_lengths_of_records_wrap_where_they_are_written(universe, tmp_path, monkeypatch, suffix):
    for module in (gadget_writing, gadget_blocks):
        monkeypatch.setattr(module, "WRAP", 1000)  # in place of 4 GiB
    path = write(universe, tmp_path / f"snap{suffix}")
    content, length = path.read_bytes(), 12 * COUNT
    start = 264 if suffix == ".gadget" else 16 + 264 + 16
    first, last = (np.frombuffer(content, "<u4", 1, at)[0] for at in (start, start + 4 + length))
    assert first == last == length % 1000
    if suffix == ".gadget2":  # how far the next label is
        assert np.frombuffer(content, "<u4", 1, start - 8)[0] == length % 1000 + 8
    check(universe, read(path, QUIJOTE))


def test_more_particles_than_a_file_can_count_need_several(tmp_path):
    many = Header(2**33, BOX, Z, QUIJOTE)
    kinds = {"positions": np.dtype("f4"), "velocities": np.dtype("f4"), "ids": np.dtype("u8")}

    def begin():
        with create_particles(tmp_path / "snap.gadget", many, kinds, files=2):
            pass

    assert "4294967296 are to be in one: give files, 3 at least" in refusal(begin)


def test_the_header_of_more_particles_than_a_word_counts_has_the_high_word(tmp_path, monkeypatch):
    monkeypatch.setattr(gadget_writing, "row_bytes", lambda fields: 0)  # asks for no room
    many = Header(2**33 + 5, BOX, Z, QUIJOTE)
    kinds = {"positions": np.dtype("f4"), "velocities": np.dtype("f4"), "ids": np.dtype("u8")}

    def begin():
        with create_particles(tmp_path / "snap.gadget", many, kinds, files=3):
            head = np.fromfile(next(tmp_path.glob(".*part")), gadget2_dtype("<"), 1, offset=4)[0]
            assert (head["nall"][1], head["nall_high"][1]) == (5, 2)

    assert "0 rows of positions were written" in refusal(begin)


def test_gadget4s_own_header_of_any_number_of_types(universe, tmp_path):
    head = np.zeros((), gadget4_dtype(6, "<"))
    head["npart"][1] = head["nall"][1] = COUNT
    head["mass"][1], head["time"], head["redshift"], head["box"], head["num_files"] = MASS, 0.25, Z, BOX, 1
    parts = blocks(universe)
    (tmp_path / "snap").write_bytes(b"".join(record(part) for part in (head.tobytes(), *parts.values())))
    check(universe, read(tmp_path / "snap", QUIJOTE))


def test_conventions_may_be_given(universe, tmp_path):
    parts = blocks(universe)
    (tmp_path / "snap").write_bytes(b"".join(record(part) for part in (header(), *parts.values())))
    np.testing.assert_allclose(
        read(tmp_path / "snap", QUIJOTE, velocities="peculiar").vel, 2 * universe.vel, rtol=1e-6
    )
    np.testing.assert_allclose(
        read(tmp_path / "snap", QUIJOTE, velocities="momentum").vel, 8 * universe.vel, rtol=1e-6
    )
    check(universe, read(tmp_path / "snap", "quijote"))
    assert "cosmology = 3 is not allowed" in refusal(lambda: read(tmp_path / "snap", 3))
    assert "velocities = 'physical' is not allowed" in refusal(
        lambda: read(tmp_path / "snap", QUIJOTE, velocities="physical")
    )
    with open_particles(tmp_path / "snap", length="kpc/h") as particles:
        assert particles.header.box == pytest.approx(BOX / 1e3)
    assert "has no option 'lenght'" in refusal(lambda: read(tmp_path / "snap", lenght="kpc/h"))
    with pytest.warns(ZeldoWarning, match="coordinates lie outside the box of 35 Mpc/h and are wrapped"):
        (tmp_path / "snap").write_bytes(
            b"".join(record(part) for part in (header(box=35.0), *parts.values()))
        )
        alone = read(tmp_path / "snap", ids="none")
    assert isinstance(alone, Particles)
    np.testing.assert_allclose(alone.positions, np.mod(universe.positions(), 35.0), rtol=0, atol=3e-6)


def test_units_that_make_no_universe_are_asked_for(universe, tmp_path):
    parts = blocks(universe)
    head = header(mass=(0, MASS * 1e-4, 0, 0, 0, 0))
    (tmp_path / "snap").write_bytes(b"".join(record(part) for part in (head, *parts.values())))
    assert "neither is a universe; give --length" in refusal(lambda: read(tmp_path / "snap", QUIJOTE))


@pytest.mark.parametrize("labelled", [False, True])
def test_a_description_says_what_the_file_has(universe, tmp_path, labelled):
    """float32 in kpc/h is read as float64; of velocities that are not there nothing is said or assumed."""
    parts = blocks(universe, unit=1e3)
    del parts[b"VEL "]
    if labelled:
        parts = {b"HEAD": header(unit=1e3), **parts}
        content = b"".join(record(part, "<", label) for label, part in parts.items())
    else:  # without labels, what follows positions can only be left out at the end
        content = b"".join(record(part) for part in (header(unit=1e3), parts[b"POS "]))
    (tmp_path / "snap").write_bytes(content)
    answer = describe(tmp_path / "snap")
    assert answer["fields"]["positions"] == "float32" and "velocities" in answer["missing"]
    assert "velocities" not in answer["units"] and not any("velocities" in note for note in answer["notes"])
    assert answer["lattice"]["n"] == N


# --------------------------------------------------------------------------------------------- HDF5


def gadget_hdf5(path, universe, rows=slice(None), files=1, velocity=None, compression=None, **attributes):
    """A file as AREPO and Gadget-3 write it for Quijote and CAMELS: kpc/h, no units."""
    count = len(range(*rows.indices(COUNT)))
    with h5py.File(path, "w") as file:
        values = {
            "BoxSize": BOX * 1e3,
            "MassTable": np.array([0, MASS, 0, 0, 0, 0]),
            "NumPart_ThisFile": np.array([0, count, 0, 0, 0, 0], np.int32),
            "NumPart_Total": np.array([0, COUNT, 0, 0, 0, 0], np.uint32),
            "NumPart_Total_HighWord": np.zeros(6, np.uint32),
            "NumFilesPerSnapshot": np.int32(files),
            "Redshift": Z,
            "Time": 1 / (1 + Z),
            "Omega0": QUIJOTE.omega_m,
            "OmegaLambda": 1 - QUIJOTE.omega_m,
            "HubbleParam": QUIJOTE.h,
        }
        file.create_group("Header").attrs.update({**values, **attributes})
        group, options = file.create_group("PartType1"), dict(compression or {})
        if not count:
            return path
        x = (universe.positions()[rows] * 1e3).astype(np.float32)
        v = universe.velocities()[rows] * np.float32(2.0 if velocity is None else 1.0)
        group.create_dataset("Coordinates", data=x, **options)
        group.create_dataset("Velocities", data=v, **options)
        group.create_dataset("ParticleIDs", data=np.arange(1, COUNT + 1, dtype=np.uint32)[rows], **options)
        group["Velocities"].attrs.update(velocity or {})
    return path


def test_sets_compressed_by_blosc_are_read(universe, tmp_path):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    blosc = dict(hdf5plugin.Blosc(cname="zstd"))
    for number, rows in enumerate((slice(0, 200), slice(200, 200), slice(200, COUNT))):
        gadget_hdf5(tmp_path / f"snap_004.{number}.hdf5", universe, rows, 3, compression=blosc)
    for path in (tmp_path, tmp_path / "snap_004", tmp_path / "snap_004.2.hdf5"):
        check(universe, read(path, QUIJOTE))
    (tmp_path / "snap_004.1.hdf5").unlink()
    assert "snap_004.1.hdf5 is missing" in refusal(lambda: read(tmp_path, QUIJOTE))


def test_a_directory_of_several_snapshots_is_no_set(universe, tmp_path):
    """Names of FastPM's snapshots, and of others with a redshift, end in numbers as the parts of a set do."""
    for kind, suffix in (("bigfile", ""), ("gadget-hdf5", ".hdf5"), ("gadget-binary", "")):
        folder = tmp_path / kind
        folder.mkdir()
        for a in ("0.5000", "0.6667"):
            write(universe, folder / f"fastpm_{a}{suffix}", kind)
        assert f"holds 2 snapshots (fastpm_0.5000{suffix}, fastpm_0.6667{suffix}): give" in refusal(
            lambda at=folder: read(at)
        )


@pytest.mark.parametrize(
    "other",
    [{"Redshift": 1.0, "Time": 0.5}, {"BoxSize": 2 * BOX}, {"NumPart_Total": np.array([0, 600, 0, 0, 0, 0])}],
)
def test_parts_of_two_snapshots_are_no_set(universe, tmp_path, other):
    for number, rows in enumerate((slice(0, 200), slice(200, COUNT))):
        path = gadget_hdf5(tmp_path / f"snap.{number}.hdf5", universe, rows, 2)
    with h5py.File(path, "r+") as file:
        file["Header"].attrs.update(other)
    said = f"snap.1.hdf5: {next(iter(other))} is not that of snap.0.hdf5"
    assert said in refusal(lambda: read(tmp_path, QUIJOTE))


@pytest.mark.parametrize(
    "entry, said",
    [("box", "box"), ("mass", "mass"), ("redshift", "redshift"), ("h", "parameters"), ("nall", "nall")],
)
def test_binary_parts_of_two_snapshots_are_no_set(universe, tmp_path, entry, said):
    for number, rows in enumerate((slice(0, 200), slice(200, COUNT))):
        count = len(range(COUNT)[rows])
        values = {"npart": (0, count, 0, 0, 0, 0), "nall": (0, COUNT, 0, 0, 0, 0), "files": 2}
        head = np.frombuffer(header(**values), gadget2_dtype("<")).copy()
        if number:
            head[entry] *= 2
        parts = (head.tobytes(), *blocks(universe, rows=rows).values())
        (tmp_path / f"snap.{number}").write_bytes(b"".join(map(record, parts)))
    assert f"snap.1: {said} in its header is not that of snap.0" in refusal(lambda: read(tmp_path, QUIJOTE))


def test_equal_masses_may_be_compressed_to_nothing(universe, tmp_path, monkeypatch):
    path = gadget_hdf5(tmp_path / "a.hdf5", universe)
    with h5py.File(path, "r+") as file:
        file["Header"].attrs["MassTable"] = np.zeros(6)
        whole = {"chunks": (COUNT,), "compression": "gzip", "compression_opts": 9}
        masses = file.create_dataset("PartType1/Masses", data=np.full(COUNT, MASS), **whole)
        assert masses.id.get_storage_size() * 20 < COUNT * 8
    monkeypatch.setattr(hdf5_set, "SQUEEZED", 20)  # of so few particles
    check(universe, read(path, QUIJOTE))
    with h5py.File(path, "r+") as file:
        del file["PartType1/Masses"]
        file.create_dataset("PartType1/Masses", (COUNT,), "f8", chunks=(COUNT,))
    assert "Masses are said to be 512, and most are not in the file" in refusal(lambda: read(path, QUIJOTE))


@pytest.mark.parametrize("name", ["a_scaling", "aexp-scale-exponent", "a-scale exponent"])
def test_the_exponent_in_the_file_counts(universe, tmp_path, name):
    peculiar = gadget_hdf5(tmp_path / "peculiar.hdf5", universe, velocity={name: 0.0})
    check(universe, read(peculiar, QUIJOTE))
    half = gadget_hdf5(tmp_path / "half.hdf5", universe, velocity={name: 0.5})
    np.testing.assert_allclose(read(half, QUIJOTE).vel, universe.vel / 2, rtol=1e-6)
    with h5py.File(half, "r+") as file:
        file["PartType1/Velocities"].attrs.update(dict.fromkeys(("a_scaling", "aexp-scale-exponent"), 0.5))
        file["PartType1/Velocities"].attrs["a_scaling"] = 0.0
    with pytest.raises(DamagedFileError, match=r"a_scaling = 0 and .* = 0\.5 contradict each other"):
        read(half, QUIJOTE)
    np.testing.assert_allclose(read(half, QUIJOTE, velocities="peculiar").vel, universe.vel, rtol=1e-6)


def test_powers_of_h_in_the_unit_of_velocities_count(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "s.hdf5", universe, velocity={"a_scaling": 0.0, "h_scaling": -1.0})
    np.testing.assert_allclose(read(path, QUIJOTE).vel, universe.vel / QUIJOTE.h, rtol=1e-6)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("mass", [MASS, 0.0])
def test_powers_of_h_and_a_count_where_the_unit_is_beside_the_positions(universe, tmp_path, mass, apart):
    """Lengths in physical Mpc, without h, in a file whose header has no unit."""
    to_file = 1 / (QUIJOTE.h * (1 + Z))
    table = np.array([0, mass, 0, 0, 0, 0])
    path = gadget_hdf5(tmp_path / "s.hdf5", universe, MassTable=table, BoxSize=BOX * to_file)
    with h5py.File(path, "r+") as file:
        x = file["PartType1/Coordinates"]
        x[...] = universe.positions() * to_file
        x.attrs.update({"a_scaling": 0.0, "h_scaling": 0.0})
        if apart:
            x.attrs["to_cgs"] = 3.085678e24
        elif not mass:
            file.create_group("Units").attrs["UnitLength_in_cm"] = 3.085678e24
    with open_particles(path, QUIJOTE) as particles:
        assert particles.header.box == pytest.approx(BOX, rel=1e-6)
        np.testing.assert_allclose(particles.in_memory().positions, universe.positions(), atol=1e-4)


def test_a_box_may_be_given_along_each_axis(universe, tmp_path):
    check(universe, read(gadget_hdf5(tmp_path / "cube.hdf5", universe, BoxSize=[BOX * 1e3] * 3), QUIJOTE))
    brick = gadget_hdf5(tmp_path / "brick.hdf5", universe, BoxSize=[BOX * 1e3, BOX * 1e3, BOX * 2e3])
    assert "not a cube" in refusal(lambda: read(brick, QUIJOTE))


def test_what_the_header_lacks_may_stand_elsewhere(universe, tmp_path):
    """The box in /Parameters alone, the scale factor in place of the redshift."""
    path = gadget_hdf5(tmp_path / "s.hdf5", universe)
    with h5py.File(path, "r+") as file:
        del file["Header"].attrs["BoxSize"], file["Header"].attrs["Redshift"]
        file.create_group("Parameters").attrs["BoxSize"] = BOX * 1e3
    with open_particles(path) as particles:
        assert particles.header.redshift == pytest.approx(Z, rel=1e-15)
        assert particles.header.box == pytest.approx(BOX, rel=1e-12)
        assert sum("/Parameters" in note or "1 / Time" in note for note in particles.header.notes) == 2


def test_a_redshift_of_rounding_is_today(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "s.hdf5", universe, Redshift=-2.2e-16, Time=1.0)
    with open_particles(path) as particles:
        assert particles.header.redshift == 0.0


@pytest.mark.parametrize("name", ["s.swift.hdf5", "s.bigfile"])
def test_a_scale_factor_of_rounding_is_today(tmp_path, name):
    """1 / a - 1 of these formats' scale factors."""
    (made,) = zeldo.run(n=8, box=20.0, power="eisenstein-hu", engine="2lpt", redshift=0)
    zeldo.write(replace(made, redshift=-2.2e-16), tmp_path / name)
    with open_particles(tmp_path / name) as particles:
        assert particles.header.redshift == 0.0


def test_a_file_of_virtual_data_sets_is_read_where_its_parts_are(universe, tmp_path):
    """As SWIFT writes one beside the parts of a set; HDF5 itself reads zeros for a part that is missing."""
    halves = slice(0, 200), slice(200, COUNT)
    for number, rows in enumerate(halves):
        gadget_hdf5(tmp_path / f"part_{number}.hdf5", universe, rows)
    whole = gadget_hdf5(tmp_path / "whole.hdf5", universe)
    with h5py.File(whole, "r+") as file:
        for name in ("Coordinates", "Velocities", "ParticleIDs"):
            data = file["PartType1"].pop(name)
            layout = h5py.VirtualLayout(data.shape, data.dtype)
            for number, rows in enumerate(halves):
                shape = (rows.stop - rows.start, *data.shape[1:])
                source = h5py.VirtualSource(f"part_{number}.hdf5", f"PartType1/{name}", shape, data.dtype)
                layout[rows] = source
            file["PartType1"].create_virtual_dataset(name, layout)
    check(universe, read(whole, QUIJOTE))
    (tmp_path / "part_1.hdf5").unlink()
    assert "part_1.hdf5, which is missing; copy it too" in refusal(lambda: read(whole, QUIJOTE))


def test_ids_may_have_their_highest_bit(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "high.hdf5", universe)
    order = np.random.default_rng(3).permutation(COUNT)
    with h5py.File(path, "r+") as file:
        group = file["PartType1"]
        del group["ParticleIDs"]
        group["ParticleIDs"] = np.uint64(2**63) + order.astype(np.uint64)
        for name in ("Coordinates", "Velocities"):
            group[name][:] = group[name][:][order]
    check(universe, read(path, QUIJOTE))


def test_what_a_header_leaves_at_zero_is_unknown(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "s.hdf5", universe, OmegaBaryon=0.0, Sigma8=-1.0)
    assert "does not say omega_b, sigma_8, n_s: pass the cosmology" in refusal(lambda: read(path))
    check(universe, read(path, QUIJOTE))
    check(universe, read(path, {name: getattr(QUIJOTE, name) for name in ("omega_b", "sigma_8", "n_s")}))


def test_dark_energy_beside_a_matter_that_is_not_said_contradicts_nothing(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "s.hdf5", universe, Omega0=0.0, OmegaLambda=1.0)
    check(universe, read(path, QUIJOTE))


@pytest.mark.parametrize("kind", ["hdf5", "binary"])
@pytest.mark.parametrize("per_h", [True, False])
def test_masses_beside_lengths_without_h_are_those_that_make_omega_m(universe, tmp_path, kind, per_h):
    h = QUIJOTE.h
    mass = MASS if per_h else MASS / h
    path = tmp_path / "s"
    if kind == "hdf5":
        gadget_hdf5(path, universe, BoxSize=BOX * 1e3 / h, MassTable=np.array([0, mass, 0, 0, 0, 0]))
        with h5py.File(path, "r+") as file:
            file["PartType1/Coordinates"][:] /= np.float32(h)
    else:
        head = header(unit=1e3 / h, mass=(0, mass, 0, 0, 0, 0))
        contents = blocks(universe, unit=1e3 / h).values()
        path.write_bytes(b"".join(record(part) for part in (head, *contents)))
    check(universe, read(path, QUIJOTE, length="kpc"), 1e-4)
    with open_particles(path, length="kpc") as particles:
        assert particles.header.particle_mass == pytest.approx(MASS, rel=1e-6)
        unit = "10^10 Msun/h," if per_h else "10^10 Msun,"
        assert any(f"masses are taken as {unit} which" in note for note in particles.header.notes)


@pytest.mark.parametrize("kind", ["hdf5", "binary"])
def test_a_box_in_another_unit_than_the_positions_may_be_corrected(universe, tmp_path, kind):
    path = tmp_path / "s"
    if kind == "hdf5":
        gadget_hdf5(path, universe, BoxSize=BOX)
        box = BOX * 1e3
    else:
        head, contents = header(box=BOX * 1e3), blocks(universe).values()
        path.write_bytes(b"".join(record(part) for part in (head, *contents)))
        box = BOX
    assert "--box" in refusal(lambda: read(path, QUIJOTE))
    check(universe, read(path, QUIJOTE, box=box))
    assert f"box = {box:g} by option" in describe(path, QUIJOTE, box=box)["notes"]


@pytest.mark.parametrize("ids", ["u4", "u8"])
def test_ids_may_follow_positions_at_once(universe, tmp_path, ids):
    contents = blocks(universe, ids=ids)
    parts = (header(), contents[b"POS "], contents[b"ID  "])
    (tmp_path / "s").write_bytes(b"".join(record(part) for part in parts))
    with open_particles(tmp_path / "s", QUIJOTE) as particles:
        assert set(particles.fields) == {"positions", "ids"}
        np.testing.assert_array_equal(particles.ids, np.arange(1, COUNT + 1))


@pytest.fixture
def with_gas(universe, tmp_path):
    """As in CAMELS: dark matter has less mass than all matter, and there are gas and black holes."""
    fraction = 1 - QUIJOTE.omega_b / QUIJOTE.omega_m
    path = gadget_hdf5(
        tmp_path / "s.hdf5",
        universe,
        MassTable=np.array([0, MASS * fraction, 0, 0, 0, 0]),
        NumPart_ThisFile=np.array([3, COUNT, 0, 0, 1, 0]),
        NumPart_Total=np.array([3, COUNT, 0, 0, 1, 0]),
    )
    with h5py.File(path, "r+") as file:
        for kind, count in ((0, 3), (4, 1)):
            file[f"PartType{kind}/Coordinates"] = np.ones((count, 3), np.float32)
            file[f"PartType{kind}/Masses"] = np.ones(count, np.float32)
    return path


def test_one_species_among_several(universe, with_gas):
    path = with_gas
    with pytest.warns(ZeldoWarning, match="not all the matter of the box"):
        check(universe, read(path, QUIJOTE))
    gas = read(path, QUIJOTE, particle_type=0)
    assert isinstance(gas, Particles) and len(gas) == 3
    np.testing.assert_allclose(gas.positions, 1e-3)


@pytest.mark.filterwarnings("ignore:.*other species")
@pytest.mark.parametrize("name", ["d.hdf5", "d.npz", "d.bigfile", "d.zarr", "d.gadget2"])
def test_one_species_stays_one_when_it_is_converted(universe, with_gas, tmp_path, name):
    convert(with_gas, tmp_path / name, QUIJOTE)
    check(universe, read(tmp_path / name, QUIJOTE))
    with open_particles(tmp_path / name) as particles:
        assert particles.header.particle_mass < 0.9 * MASS
        assert not particles.header.whole
    assert describe(tmp_path / name)["lattice"]


def test_one_species_stands_for_all_matter_with_or_without_a_whole_cosmology(with_gas, tmp_path):
    with pytest.warns(ZeldoWarning, match="not all the matter of the box"):
        masses = [zeldo.halos(with_gas, 0.5, 8, cosmology=c).friends.particle_mass for c in (QUIJOTE, None)]
    np.testing.assert_allclose(masses, MASS, rtol=1e-6)
    with pytest.warns(ZeldoWarning, match="not all the matter of the box"):
        zeldo.halos(with_gas, 0.5, 8, output=tmp_path / "c.hdf5")
    with h5py.File(tmp_path / "c.hdf5") as file:
        assert file["Header"].attrs["omega_m"] == QUIJOTE.omega_m


def test_a_header_of_gizmo_says_its_cosmology(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "s.hdf5", universe)
    with h5py.File(path, "r+") as file:
        attributes = file["Header"].attrs
        for old, new in (("Omega0", "Omega_Matter"), ("OmegaLambda", "Omega_Lambda")):
            attributes[new] = attributes.pop(old)
    with open_particles(path) as particles:
        assert particles.header.parameters["omega_m"] == QUIJOTE.omega_m
    assert "0.3 is given" in refusal(lambda: read(path, {"omega_m": 0.3}))


def test_a_set_has_the_widest_types_of_its_parts(universe, tmp_path):
    gadget_hdf5(tmp_path / "s.0.hdf5", universe, slice(200), files=2)
    gadget_hdf5(tmp_path / "s.1.hdf5", universe, slice(200, None), files=2)
    with h5py.File(tmp_path / "s.0.hdf5", "r+") as file:
        group = file["PartType1"]
        for name, dtype, more in (("Coordinates", "f8", 0), ("ParticleIDs", "u8", 2**33)):
            values = group[name][:].astype(dtype) + more
            del group[name]
            group[name] = values.astype(dtype)
    with open_particles(tmp_path / "s.0.hdf5") as particles:
        assert particles.positions.dtype == np.float64
        assert particles.ids.dtype == np.uint64 and particles.ids[0] == 2**33 + 1


def test_a_parameter_file_with_a_table_of_power_says_no_n_s(universe, tmp_path):
    """Gadget-4's PrimordialIndex is then a further tilt, 1 for none."""
    path = gadget_hdf5(tmp_path / "s.hdf5", universe)
    with h5py.File(path, "r+") as file:
        values = {"PowerSpectrumType": 2, "PrimordialIndex": 1.0, "Sigma8": 0.834, "OmegaBaryon": 0.049}
        file.create_group("Parameters").attrs.update(values)
    with open_particles(path) as particles:
        assert "n_s" not in particles.header.parameters
        assert particles.header.parameters["sigma_8"] == 0.834


def units_of(path, **options):
    """Lengths, velocities and masses in words, and what was assumed."""
    with open_particles(path, QUIJOTE, **options) as particles:
        stored = particles.header.stored
        return [stored[name] for name in ("lengths", "velocities", "masses")], list(particles.header.notes)


GADGETS = "peculiar / sqrt(a), Gadget's convention"
OTHERS = "particles of type 1 alone are read, not 3 of type 0 (gas), 1 of type 4 (stars)"


def taken_as(unit, omega_m):
    return f"lengths are taken as {unit}, which the file does not say: its particles then make omega_m = {omega_m}"


@pytest.mark.filterwarnings("ignore:.*other species")
def test_what_is_assumed_of_hdf5_is_noted_in_order(with_gas, universe, tmp_path):
    speed = f"velocities are taken as {GADGETS}: the file does not say"
    words = ["kpc/h", GADGETS, "10^10 Msun/h"]
    assert units_of(with_gas) == (words, [OTHERS, taken_as("kpc/h", 0.2685), speed])
    given = {"box": 3e4, "length": "kpc", "velocities": "momentum"}
    words = ["kpc (by option)", "a times peculiar (momentum) (by option)", "10^10 Msun/h"]
    of_mass = "masses are taken as 10^10 Msun/h, which the file does not say"
    assert units_of(with_gas, **given) == (words, [OTHERS, "box = 30000 by option", of_mass])
    path = gadget_hdf5(tmp_path / "lacking.hdf5", universe, MassTable=np.array([0, MASS / QUIJOTE.h, 0]))
    with h5py.File(path, "r+") as file:
        del file["Header"].attrs["BoxSize"], file["Header"].attrs["Redshift"]
        file.create_group("Parameters").attrs["BoxSize"] = BOX * 1e3 / QUIJOTE.h
    notes = [
        "the box is that of /Parameters: /Header does not say it",
        "the redshift is 1 / Time - 1: Time is taken as the scale factor",
        "masses are taken as 10^10 Msun, which the file does not say: its particles then make omega_m = 0.3175",
        speed,
    ]
    assert units_of(path, length="kpc") == (["kpc (by option)", GADGETS, "0.6711 x 10^10 Msun/h"], notes)


def test_units_that_hdf5_says_need_no_note(universe, tmp_path):
    path = gadget_hdf5(tmp_path / "s.hdf5", universe, velocity={"a_scaling": 0.3, "h_scaling": -1.0})
    with h5py.File(path, "r+") as file:
        units = {"UnitLength_in_cm": 7e23, "UnitMass_in_g": 1.989e33, "UnitVelocity_in_cm_per_s": 2e5}
        file["Header"].attrs.update(units)
        file["PartType1/Coordinates"].attrs.update({"a_scaling": 0.5, "h_scaling": -2.0})
    words = ["0.226855 Mpc h^-2 a^-0.5", "peculiar / a^0.3", "1e-10 x 10^10 Msun/h"]
    assert units_of(path) == (words, [])
    with open_particles(path, QUIJOTE) as particles:
        factor = 7e23 / 3.0856775814913673e24 / QUIJOTE.h * (1 + Z) ** 0.5
        assert particles.header.box == pytest.approx(BOX * 1e3 * factor, rel=1e-12)
        assert particles.header.particle_mass == pytest.approx(1e-10 * MASS, rel=1e-12)
        wanted = universe.velocities() * 2 / QUIJOTE.h * (1 + Z) ** -0.3
        np.testing.assert_allclose(particles.velocities, wanted, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*other species")
def test_what_is_assumed_of_binary_files_is_noted_in_order(universe, tmp_path):
    contents = blocks(universe, before=7)
    head = header(npart=(7, COUNT, 0, 0, 0, 0), mass=(1.0, MASS, 0, 0, 0, 0))
    (tmp_path / "gas").write_bytes(b"".join(record(part) for part in (head, *contents.values())))
    notes = [
        "particles of type 1 alone are read, not 7 of type 0 (gas)",
        "box = 50 by option",
        taken_as("Mpc/h", 0.1626),
        f"velocities are taken as {GADGETS.split(',')[0]}, the convention of this format, which has no entry for it",
    ]
    assert units_of(tmp_path / "gas", box=50.0) == (["Mpc/h", GADGETS, "10^10 Msun/h"], notes)
    head = header(unit=1e3 / QUIJOTE.h, mass=(0, MASS / QUIJOTE.h, 0, 0, 0, 0))
    contents = blocks(universe, unit=1e3 / QUIJOTE.h)
    (tmp_path / "kpc").write_bytes(b"".join(record(part) for part in (head, *contents.values())))
    words = ["kpc", "comoving, peculiar / a", "0.6711 x 10^10 Msun/h"]
    of_mass = "masses are taken as 10^10 Msun, which the file does not say: its particles then make omega_m = 0.3175"
    assert units_of(tmp_path / "kpc", length="kpc", velocities="comoving") == (words, [of_mass])
