"""What zeldo writes is opened by the field's packages, box, masses and velocities in their units, without an option."""

import warnings

import h5py
import numpy as np
import pytest

from refusals import refusal
from zeldo.cosmology.parameters import Cosmology
from zeldo.files import Snapshot, read, write

N, BOX, Z = 16, 50.0, 1.5
COSMOLOGY = Cosmology(omega_m=0.31, omega_b=0.05, h=0.68, n_s=0.97, sigma_8=0.81)
TOTAL = 27.7536627e10 * 0.31 * BOX**3 / 0.68  # Msun, all matter of the box

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def snapshot():
    psi = np.random.default_rng(3).normal(0, 1, (3, N, N, N)).astype(np.float32)
    return Snapshot(psi, 100 * psi, BOX, COSMOLOGY, Z, "cola", seed=7)


@pytest.fixture(params=["gadget-hdf5", "swift"])
def path(request, snapshot, tmp_path):
    return write(snapshot, tmp_path / "out.hdf5", request.param)


def with_numbers(path):
    """The attributes of one number that yt takes for numbers, which in SWIFT's files are arrays, made numbers."""
    with h5py.File(path, "r+") as file:
        for group in ("Header", "Policy", "Units"):
            for name, value in list(file[group].attrs.items()):
                if np.shape(value) == (1,):
                    del file[group].attrs[name]
                    file[group].attrs[name] = value[0]


def test_yt_finds_the_box_and_its_density(snapshot, path):
    """With NumPy 2.4, which makes no number of an array of one, yt 4.4 opens no file of SWIFT's layout as it is."""
    yt = pytest.importorskip("yt")
    yt.set_log_level(50)
    with h5py.File(path) as file:
        swift = file["Header"].attrs.get("Code") == b"SWIFT"
    if swift and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        with_numbers(path)
    data = yt.load(str(path))
    everything = data.all_data()
    order = np.argsort(np.asarray(everything["PartType1", "particle_index"]))
    x = np.asarray(everything["PartType1", "particle_position"].to("Mpccm/h"))[order]
    v = np.asarray(everything["PartType1", "particle_velocity"].to("km/s"))[order]
    mass = float(everything["PartType1", "particle_mass"].sum().to("Msun"))
    np.testing.assert_allclose(np.asarray(data.domain_width.to("Mpccm/h")), BOX, rtol=1e-6)
    assert float(data.current_redshift) == pytest.approx(Z)
    assert float(data.omega_matter) == pytest.approx(0.31)
    assert mass == pytest.approx(TOTAL, rel=1e-4)
    np.testing.assert_allclose(x, snapshot.positions(), rtol=0, atol=1e-6 * BOX)
    # yt takes the length in SWIFT's peculiar velocities for a comoving one, too
    factor = np.float32(0.4) if swift else 1
    np.testing.assert_allclose(v, factor * snapshot.velocities(), rtol=1e-5, atol=1e-3)


def test_pynbody_finds_the_same(snapshot, path):
    pynbody = pytest.importorskip("pynbody")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pynbody.load(str(path))
        box = data.properties["boxsize"].in_units("Mpc a h^-1", **data.conversion_context())
        order = np.argsort(np.asarray(data.dm["iord"]))
        x = np.asarray(data.dm["pos"].in_units("Mpc a h^-1"))[order]
        v = np.asarray(data.dm["vel"].in_units("km s^-1"))[order]
        mass = float(data.dm["mass"].in_units("Msol").sum())
    assert float(box) == pytest.approx(BOX, rel=1e-6)
    assert data.properties["a"] == pytest.approx(0.4)
    assert (data.properties["omegaM0"], data.properties["h"]) == pytest.approx((0.31, 0.68))
    assert mass == pytest.approx(TOTAL, rel=1e-4)
    np.testing.assert_allclose(x, snapshot.positions(), rtol=0, atol=1e-6 * BOX)
    np.testing.assert_allclose(v, snapshot.velocities(), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["gadget-binary", "gadget-binary-2"])
def test_pynbody_reads_the_binary_formats(snapshot, tmp_path, name):
    pynbody = pytest.importorskip("pynbody")
    data = pynbody.load(str(write(snapshot, tmp_path / "out", name)))
    order = np.argsort(np.asarray(data.dm["iord"]))
    x, v = (np.asarray(data.dm[field])[order] for field in ("pos", "vel"))
    np.testing.assert_allclose(x, snapshot.positions(), rtol=0, atol=1e-6 * BOX)
    np.testing.assert_allclose(v * 0.4**0.5, snapshot.velocities(), rtol=1e-5, atol=1e-3)


def test_yt_reads_the_binary_formats_in_kpc(snapshot, tmp_path):
    yt = pytest.importorskip("yt")
    yt.set_log_level(50)
    data = yt.load(str(write(snapshot, tmp_path / "out", "gadget-binary", unit="kpc/h")))
    np.testing.assert_allclose(np.asarray(data.domain_width.to("Mpccm/h")), BOX, rtol=1e-6)


def test_swiftsimio_reads_swifts_layout(snapshot, tmp_path):
    swiftsimio = pytest.importorskip("swiftsimio")
    path = write(snapshot, tmp_path / "out.hdf5", "swift")
    data = swiftsimio.load(str(path))
    order = np.argsort(np.asarray(data.dark_matter.particle_ids))
    x = np.asarray(data.dark_matter.coordinates.to_comoving_value("Mpc"))[order] * 0.68
    v = np.asarray(data.dark_matter.velocities.to_physical_value("km/s"))[order]
    mass = float(data.dark_matter.masses.to_physical_value("Msun").sum())
    np.testing.assert_allclose(data.metadata.boxsize.to_comoving_value("Mpc") * 0.68, BOX, rtol=1e-6)
    assert (data.metadata.z, data.metadata.cosmology.Om0) == pytest.approx((Z, 0.31))
    assert data.metadata.cosmology.H0.value == pytest.approx(68, rel=1e-5)
    assert mass == pytest.approx(TOTAL, rel=1e-4)
    np.testing.assert_allclose(x, snapshot.positions(), rtol=0, atol=1e-6 * BOX)
    np.testing.assert_allclose(v, snapshot.velocities(), rtol=1e-5, atol=1e-3)
    with_numbers(path)
    with pytest.raises(IndexError):  # swiftsimio needs the arrays
        swiftsimio.load(str(path))


def test_swiftsimio_reads_a_part_of_the_box(snapshot, tmp_path):
    swiftsimio = pytest.importorskip("swiftsimio")
    path = write(snapshot, tmp_path / "out.hdf5", "swift")
    region = swiftsimio.mask(str(path))
    region.constrain_spatial([[0 * width, 0.5 * width] for width in region.metadata.boxsize])
    assert len(swiftsimio.load(str(path), mask=region).dark_matter.masses)


def test_the_bigfile_package_reads_what_is_written(snapshot, tmp_path):
    bigfile = pytest.importorskip("bigfile")
    with bigfile.File(str(write(snapshot, tmp_path / "out.bigfile", files=3))) as file:
        assert {"Header", "1/Position", "1/Velocity", "1/ID"} <= set(file.blocks)
        np.testing.assert_array_equal(file["1/Position"][:], snapshot.positions())
        np.testing.assert_array_equal(file["1/Velocity"][:], snapshot.velocities())
        np.testing.assert_array_equal(file["1/ID"][:], np.arange(1, N**3 + 1))
        attributes = file["Header"].attrs
        assert float(attributes["BoxSize"][0]) == BOX
        assert int(attributes["UsePeculiarVelocity"][0]) == 1
        assert "".join(attributes["CodeVersion"]) == "zeldo"
        np.testing.assert_array_equal(attributes["TotNumPart"], [0, N**3, 0, 0, 0, 0])


def test_zeldo_reads_what_the_bigfile_package_writes(snapshot, tmp_path):
    bigfile = pytest.importorskip("bigfile")
    with bigfile.File(str(tmp_path / "out"), create=True) as file:
        with file.create("Header") as block:
            block.attrs["BoxSize"], block.attrs["Time"], block.attrs["HubbleParam"] = BOX * 1e3, 0.4, 0.68
            block.attrs["TotNumPart"] = np.array([0, N**3, 0, 0, 0, 0])
            block.attrs["MassTable"] = np.array([0, snapshot.particle_mass, 0, 0, 0, 0])
            block.attrs["Omega0"], block.attrs["UsePeculiarVelocity"] = 0.31, 0
            block.attrs["RSDFactor"] = 0.01  # a snapshot: velocities times a
            block.attrs["Periodic"] = True  # not read, and no damage
        for name, values in (
            ("Position", snapshot.positions() * 1e3),
            ("Velocity", snapshot.velocities() * np.float32(0.4)),
            ("ID", np.arange(N**3, dtype=np.uint64)),
        ):
            file.create_from_array(f"1/{name}", values, Nfile=2)
    again = read(tmp_path / "out", COSMOLOGY, ids="i-major")
    np.testing.assert_allclose(again.vel, snapshot.vel, rtol=3e-7)
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-5)
    with bigfile.File(str(tmp_path / "out")) as file, file["Header"] as block:
        block.attrs["BoxSize"] = np.array([BOX, BOX, 2 * BOX]) * 1e3
    assert "is not a cube" in refusal(lambda: read(tmp_path / "out", COSMOLOGY, ids="i-major"))


def test_xarray_opens_zarr_with_named_dimensions(snapshot, tmp_path):
    xarray = pytest.importorskip("xarray")
    data = xarray.open_zarr(write(snapshot, tmp_path / "out.zarr"), consolidated=False)
    assert dict(data.sizes) == {"particle": N**3, "axis": 3}
    assert data.positions.attrs["units"] == "Mpc/h"
    assert (data.attrs["box"], data.attrs["redshift"]) == (BOX, Z)
    np.testing.assert_array_equal(data.positions.values, snapshot.positions())


def test_zeldo_reads_initial_conditions_by_swiftsimio(snapshot, tmp_path):
    swiftsimio = pytest.importorskip("swiftsimio")
    unyt = pytest.importorskip("unyt")

    def comoving(values, unit, exponent):
        return swiftsimio.cosmo_array(values, unit, comoving=True, scale_factor=0.4, scale_exponent=exponent)

    h, msun = 0.68, unyt.Msun
    writer = swiftsimio.Writer(boxsize=comoving([BOX / h] * 3, unyt.Mpc, 1), scale_factor=0.4)
    writer.dark_matter.coordinates = comoving(snapshot.positions() / h, unyt.Mpc, 1)
    writer.dark_matter.velocities = comoving(snapshot.velocities(), unyt.km / unyt.s, 0)
    writer.dark_matter.masses = comoving(np.full(N**3, snapshot.particle_mass / h * 1e10), msun, 0)
    writer.dark_matter.particle_ids = np.arange(1, N**3 + 1)
    writer.write(str(tmp_path / "ics.hdf5"))
    again = read(tmp_path / "ics.hdf5", COSMOLOGY, ids="i-major")
    assert (again.box, again.redshift) == pytest.approx((BOX, Z))
    np.testing.assert_allclose(again.psi, snapshot.psi, rtol=0, atol=1e-5)
    np.testing.assert_allclose(again.vel, snapshot.vel, rtol=1e-6)
