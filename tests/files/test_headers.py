"""What headers and attributes say in numbers, for the readers of other codes."""

import struct
import warnings

import h5py
import numpy as np
import pytest

import zeldo
from zeldo.cosmology.background import expansion, growth, omega_m_at
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.files.bigfile import block_attributes, write_block
from zeldo.files.gadget_header import gadget2_dtype
from zeldo.files.hdf5_set import counts_of
from zeldo.files.hdf5_writing import age, counts_attributes
from zeldo.particles.lattice import particles_of

QUIJOTE = PRESETS["quijote"]


def test_masses_and_densities_of_swift_are_those_of_the_universe_at_its_time(tmp_path):
    """All that has units of length and mass is without h; the critical density is that of the snapshot."""
    (snapshot,) = zeldo.run(engine="zeldovich", n=8, box=20.0, power="eisenstein-hu", redshift=1)
    path = zeldo.write(snapshot, tmp_path / "swift.hdf5", "swift")
    with h5py.File(path) as file:
        header, cosmology = file["Header"].attrs, file["Cosmology"].attrs
        group = next(file[name] for name in ("PartType1",))
        mass = float(group["Masses"][0])
        assert header["InitialMassTable"][1] == pytest.approx(mass)
        volume = header["BoxSize"][0] ** 3 * 0.5**3
        for name, place in (
            ("Critical density [internal units]", 0.5),
            ("Critical density at redshift zero [internal units]", 1.0),
        ):
            matter = 512 * mass / (volume * (place / 0.5) ** 3)
            assert matter / cosmology[name][0] == pytest.approx(float(omega_m_at(QUIJOTE, place)), rel=1e-5)
        physical, comoving = (
            group["Coordinates"].attrs[f"Conversion factor to {kind}"][0]
            for kind in (
                "physical CGS (including cosmological corrections)",
                "CGS (not including cosmological corrections)",
            )
        )
        assert physical / comoving == pytest.approx(0.5)
        np.testing.assert_allclose(group["Coordinates"][:] * QUIJOTE.h, snapshot.positions(), atol=1e-5)


@pytest.fixture(scope="module")
def snapshot():
    (made,) = zeldo.run(engine="zeldovich", n=8, box=20.0, power="eisenstein-hu", redshift=1)
    return made


def test_the_age_of_an_empty_and_of_a_full_universe():
    """Einstein-de Sitter: t = 2/3 a^1.5 / H0, with 1 / H0 = 9.778 / h billion years."""
    for h in (0.5, 0.8):
        full = Cosmology(1.0, 0.05, h, 0.96, 0.8)
        for a in (0.25, 1.0):
            assert age(full, a) == pytest.approx(2 / 3 * a**1.5 * 9.7779 / h, rel=1e-3)


def test_redshift_space_of_bigfiles_is_a_factor_of_velocities(snapshot, tmp_path):
    path = zeldo.write(snapshot, tmp_path / "z1.bigfile")
    factor = float(np.ravel(block_attributes(path / "Header")["RSDFactor"])[0])
    assert factor * 100 * float(expansion(QUIJOTE, 0.5)) == pytest.approx(
        2.0
    )  # Mpc/h per km/s times H, in units of 1 + z


def bigfile_with(path, snapshot, leave_out=(), **changes):
    """A bigfile whose header has other entries than zeldo writes."""
    zeldo.write(snapshot, path)
    values = {
        name: value for name, value in block_attributes(path / "Header").items() if name not in leave_out
    }
    write_block(path / "Header", np.dtype("i8"), 0, [], values | changes)
    return path


@pytest.mark.parametrize(("left_out", "power"), [((), -1.0), (("RSDFactor",), 0.5)])
def test_velocities_of_mp_gadget_that_are_not_peculiar(snapshot, tmp_path, left_out, power):
    """Snapshots, which have RSDFactor, have a v; initial conditions v over the root of a."""
    path = bigfile_with(tmp_path / "s.bigfile", snapshot, left_out, UsePeculiarVelocity=np.int32(0))
    np.testing.assert_allclose(zeldo.read(path).vel, snapshot.vel * 0.5**power, rtol=1e-6)


def test_units_of_bigfiles_are_those_of_their_header(snapshot, tmp_path):
    units = {"UnitLength_in_cm": 3.085678e21, "UnitMass_in_g": 1.989e40, "UnitVelocity_in_cm_per_s": 1e8}
    path = bigfile_with(tmp_path / "s.bigfile", snapshot, **units)
    with zeldo.open_particles(path) as particles:
        assert particles.header.box == pytest.approx(1e-3 * snapshot.box)
        assert particles.header.particle_mass == pytest.approx(1e-3 * snapshot.particle_mass)
        np.testing.assert_allclose(particles.velocities, 1e3 * snapshot.velocities(), rtol=1e-6)


def test_dark_energy_of_bigfiles_is_that_of_their_fluid(snapshot, tmp_path):
    own = [
        name
        for name in block_attributes(zeldo.write(snapshot, tmp_path / "a.bigfile") / "Header")
        if "." in name
    ]
    fluid = {"OmegaLambda": 0.0, "OmegaFld": 1 - QUIJOTE.omega_m, "W0_Fld": -0.9, "WA_Fld": 0.2}
    with zeldo.open_particles(bigfile_with(tmp_path / "b.bigfile", snapshot, own, **fluid)) as particles:
        known = particles.header.parameters
    assert (known["w0"], known["wa"]) == (-0.9, 0.2)


def test_the_high_words_of_small_counts_are_zero(snapshot, tmp_path):
    path = zeldo.write(snapshot, tmp_path / "z1.gadget")
    head = np.frombuffer(path.read_bytes()[4:260], gadget2_dtype("<"))[0]
    assert head["nall"].tolist() == [0, 512, 0, 0, 0, 0] and not head["nall_high"].any()


@pytest.mark.parametrize("precision", ["single", "double"])
def test_the_header_says_the_precision(snapshot, tmp_path, precision):
    path = zeldo.write(snapshot, tmp_path / "z1.gadget", precision=precision)
    head = np.frombuffer(path.read_bytes()[4:260], gadget2_dtype("<"))[0]
    assert head["flag_double"] == (precision == "double")


def test_the_high_words_of_large_counts_are_those_of_all_files(tmp_path):
    entries = counts_attributes([2**32 + 1, 2**32 + 4], 1)
    assert (entries["NumPart_ThisFile"][1], entries["NumPart_Total"][1]) == (2**32 + 4, 2**33 + 5)
    assert entries["NumPart_Total_HighWord"].tolist() == [0, 2, 0, 0, 0, 0]
    # codes whose totals have 32 bits, and others that write all bits and the high word too
    for total in (5, 2**33 + 5):
        said = {"NumPart_Total": np.array([0, total]), "NumPart_Total_HighWord": np.array([0, 2])}
        assert counts_of(said, "NumPart_Total", tmp_path) == [0, 2**33 + 5]


@pytest.mark.parametrize(("unit", "per_mpc"), [("Mpc/h", 1), ("kpc/h", 1000)])
def test_no_position_is_rounded_to_the_end_of_the_box(snapshot, tmp_path, unit, per_mpc):
    lattice = particles_of(snapshot)
    x = lattice.positions.copy()
    x[:3] = snapshot.box - 1e-9
    particles = zeldo.Particles(lattice.header, x, lattice.velocities, lattice.ids)
    path = tmp_path / "edge.gadget"
    zeldo.write(particles, path, unit=unit)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    stored = data[268 : 268 + 512 * 12].view("<f4").reshape(-1, 3)
    assert stored.max() < np.float32(per_mpc * snapshot.box) and not stored[:3].any()


def test_lengths_that_are_physical_in_a_file_become_comoving(snapshot, tmp_path):
    path = zeldo.write(snapshot, tmp_path / "z1.hdf5")
    with h5py.File(path, "r+") as file:
        data = file["PartType1/Coordinates"]
        data[:] = 0.5 * data[:]
        for name in ("a_scaling", "aexp-scale-exponent"):
            data.attrs[name] = 0.0
        for group in ("Header", "Parameters"):
            file[group].attrs["BoxSize"] = 0.5 * snapshot.box
    found = zeldo.read(path)
    assert found.box == pytest.approx(snapshot.box)
    np.testing.assert_allclose(found.psi, snapshot.psi, atol=1e-5)


def test_units_and_exponents_of_swift_are_those_of_the_file(snapshot, tmp_path):
    """Physical lengths, comoving velocities, and a unit of time that makes these ten times as large."""
    path = zeldo.write(snapshot, tmp_path / "s.hdf5", "swift")
    with h5py.File(path, "r+") as file:
        for group in ("Units", "InternalCodeUnits"):
            file[group].attrs["Unit time in cgs (U_t)"] /= 10
        file["PartType1/Coordinates"].attrs["a-scale exponent"] = 0.0
        velocities = file["PartType1/Velocities"].attrs
        velocities["a-scale exponent"] = 1.0
        velocities["Conversion factor to physical CGS (including cosmological corrections)"] /= 2
        velocities["h-scale exponent"] = 1.0
    with zeldo.open_particles(path) as particles:
        assert particles.header.box == pytest.approx(2 * snapshot.box)
        np.testing.assert_allclose(particles.positions, 2 * snapshot.positions(), rtol=1e-6, atol=1e-9)
        physical = 10 / 2 * snapshot.cosmology.h * snapshot.velocities()
        np.testing.assert_allclose(particles.velocities, physical, rtol=1e-6)


def units_of(path, **options):
    """Lengths, velocities and masses in words, and what was assumed."""
    with zeldo.open_particles(path, QUIJOTE, **options) as particles:
        stored = particles.header.stored
        return [stored[name] for name in ("lengths", "velocities", "masses")], list(particles.header.notes)


def test_what_is_assumed_of_bigfiles_is_noted_in_order(snapshot, tmp_path):
    unsaid = ("UnitLength_in_cm", "UnitMass_in_g", "UsePeculiarVelocity")
    path = bigfile_with(tmp_path / "a.bigfile", snapshot, unsaid)
    notes = [
        "box = 25 by option",
        "lengths are taken as Mpc/h, which the file does not say: its particles then make omega_m = 0.1626",
        "velocities are taken as peculiar: the file has no UsePeculiarVelocity",
    ]
    assert units_of(path, box=25.0) == (["Mpc/h", "peculiar", "10^10 Msun/h"], notes)
    entries = {"UsePeculiarVelocity": np.int32(0), "UnitLength_in_cm": 7e23, "UnitMass_in_g": 1.989e42}
    path = bigfile_with(tmp_path / "b.bigfile", snapshot, **entries)
    words = ["0.226855 Mpc/h", "a times peculiar (momentum)", "0.10003 x 10^10 Msun/h"]
    assert units_of(path) == (words, ["UsePeculiarVelocity is 0: a snapshot has a v"])
    words = ["kpc (by option)", "comoving, peculiar / a (by option)", "0.10003 x 10^10 Msun/h"]
    assert units_of(path, length="kpc", velocities="comoving") == (words, [])
    path = bigfile_with(tmp_path / "c.bigfile", snapshot, ("RSDFactor",), UsePeculiarVelocity=np.int32(0))
    words = ["Mpc/h", "peculiar / sqrt(a), Gadget's convention", "10^10 Msun/h"]
    assert units_of(path) == (words, ["UsePeculiarVelocity is 0: initial conditions have v / sqrt(a)"])


def test_what_is_assumed_of_swift_is_noted_in_order(snapshot, tmp_path):
    path = zeldo.write(snapshot, tmp_path / "s.hdf5", "swift")
    assert units_of(path) == (["Mpc", "peculiar", "10^10 Msun"], [])
    with h5py.File(path, "r+") as file:
        for group in (file["Header"], file["Cosmology"]):
            for name in {"Redshift", "Scale-factor"} & set(group.attrs):
                del group.attrs[name]
        file["PartType0/Masses"] = np.ones(3)
        file["PartType0/Coordinates"] = np.ones((3, 3))
        for name in ("NumPart_ThisFile", "NumPart_Total"):
            counts = file["Header"].attrs[name]
            counts[0] = 3
            file["Header"].attrs[name] = counts
        velocities = file["PartType1/Velocities"].attrs
        velocities["Conversion factor to physical CGS (including cosmological corrections)"] /= 2
        file["PartType1/Masses"].attrs["h-scale exponent"] = -1.0
    notes = [
        "particles of type 1 alone are read, not 3 of type 0 (gas)",
        "redshift = 1 by option",
        "velocities have a-scale exponent 0 and factors to CGS of exponent 1: the factors count",
        "box = 30 by option",
    ]
    words = ["Mpc", "comoving, peculiar / a", "10^10 Msun/h"]
    assert units_of(path, box=30.0, redshift=1.0) == (words, notes)
    words = ["kpc/h (by option)", "a times peculiar (momentum) (by option)", "10^10 Msun/h"]
    given = {"length": "kpc/h", "velocities": "momentum", "redshift": 1.0}
    assert units_of(path, **given) == (words, [notes[0], notes[1]])


def write_grafic(folder, name, fields, offset=(0, 0, 0)):
    """Fields of GRAFIC at a = 0.5 on 8^3 points of 20 Mpc/h, that begin so many cells from the corner."""
    h, cell = QUIJOTE.h, 20 / 8 / QUIJOTE.h
    starts = [cells * cell for cells in offset]
    head = struct.pack("<3i8f", 8, 8, 8, cell, *starts, 0.5, QUIJOTE.omega_m, 1 - QUIJOTE.omega_m, 100 * h)
    for axis, field in zip("xyz", fields, strict=True):
        records = [head, *(np.ascontiguousarray(plane).astype("<f4").tobytes() for plane in field.T)]
        with open(folder / f"{name}{axis}", "wb") as file:
            for record in records:
                file.write(struct.pack("<i", len(record)) + record + struct.pack("<i", len(record)))


def test_velocities_alone_are_displacements_of_zeldovich(snapshot, tmp_path):
    """GRAFIC's header has cells in Mpc and H0, its velocities are peculiar: psi in Mpc/h is v / (100 a E f)."""
    write_grafic(tmp_path, "ic_velc", snapshot.vel)
    found, a = zeldo.read(tmp_path, QUIJOTE), 0.5
    wanted = snapshot.vel / (100 * a * float(expansion(QUIJOTE, a)) * float(growth(QUIJOTE).f1(a)))
    np.testing.assert_allclose(found.psi, wanted, atol=1e-3 * wanted.std())
    np.testing.assert_allclose(found.psi, snapshot.psi, atol=1e-3 * wanted.std())


def test_fields_of_grafic_begin_where_their_header_says(snapshot, tmp_path):
    offset = (0.5, 0.25, 0.0)
    write_grafic(tmp_path, "ic_posc", snapshot.psi, offset)
    write_grafic(tmp_path, "ic_velc", snapshot.vel, offset)
    found = zeldo.read(tmp_path, QUIJOTE)
    assert found.offset == pytest.approx(offset, abs=1e-6)
    np.testing.assert_allclose(found.psi, snapshot.psi, atol=1e-5)
    np.testing.assert_allclose(found.vel, snapshot.vel, rtol=1e-6)
    with zeldo.open_particles(tmp_path) as particles:
        away = particles.positions - snapshot.positions() - np.array(offset) * 20 / 8
    np.testing.assert_allclose(away - 20 * np.round(away / 20), 0, atol=1e-5)


def test_dark_energy_that_a_format_has_no_room_for_is_told(tmp_path):
    universe = {"engine": "zeldovich", "n": 8, "box": 20.0, "power": "eisenstein-hu"}
    with pytest.warns(zeldo.errors.ZeldoWarning, match="have no room for w0 and wa"):
        zeldo.run(output=tmp_path / "dark.gadget", w0=-0.9, **universe)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zeldo.run(output=tmp_path / "constant.gadget", **universe)
