"""Claims about comparing a prediction with a reference."""

import importlib.util
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import zeldo
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.initial.recovery import shifted
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.comparison import K_SHOWN, Reference, compare_snapshots

BOX = 100.0
SHARED = Path(__file__).parents[2].parent / "shared"


def snapshot(seed=1, n=8, scale=1.0, vel=True, redshift=0.0, box=BOX):
    rng = np.random.default_rng(seed)
    psi = rng.standard_normal((3, n, n, n))
    return Snapshot(
        scale * psi, scale * psi[::-1] if vel else None, box, Cosmology.preset("quijote"), redshift, "test"
    )


def test_a_snapshot_agrees_with_itself():
    found = compare_snapshots(snapshot(), snapshot())
    assert set(found.fields) == {"density", "displacement", "velocity"}
    for field in found.fields.values():
        assert np.array_equal(field.transfer, np.ones_like(field.k))
        assert np.abs(field.one_minus_r2).max() < 1e-14


def test_lattices_that_begin_elsewhere_are_compared_where_their_particles_are():
    """One universe, sampled by particles that set out from lattice points and by others from between these."""
    ics = zeldo.initial_conditions(n=16, box=32, seed=3, power="eisenstein-hu")
    between = replace(ics, delta_lin=shifted(ics.delta_lin, (-0.5, -0.5, -0.25)))
    engine = zeldo.engine("zeldovich")
    (here,), (there,) = engine.run(ics, [9.0]), engine.run(between, [9.0])
    there = replace(there, offset=(0.5, 0.5, 0.25))
    for prediction, reference in ((here, there), (there, here)):
        found = compare_snapshots(prediction, reference)
        for label, limit in (("density", 1e-3), ("displacement", 1e-5), ("velocity", 1e-5)):
            assert found.fields[label].one_minus_r2[:4].max() < limit


def test_a_field_twice_as_large_has_twice_the_transfer_and_full_correlation():
    found = compare_snapshots(snapshot(scale=2.0), snapshot())
    # bins of the fundamental mode: six modes of one and twelve of sqrt 2, on the lattice as on the mesh of the density
    first = 2 * np.pi / BOX * (6 + 12 * np.sqrt(2)) / 18
    for field, bins in (("density", 7), ("displacement", 3), ("velocity", 3)):
        assert found.fields[field].k[0] == pytest.approx(first) and found.fields[field].k.size == bins
    for name in ("displacement", "velocity"):
        assert np.allclose(found.fields[name].transfer, 2, rtol=1e-6)
        assert np.abs(found.fields[name].one_minus_r2).max() < 1e-10


def test_noise_of_known_variance_lowers_the_correlation_as_it_must():
    n = 32
    a, b = snapshot(1, n), snapshot(2, n)
    mixed = Snapshot(a.psi + 0.5 * b.psi, None, BOX, a.cosmology, 0.0, "mixed")
    found = compare_snapshots(mixed, a).fields["displacement"]
    assert found.one_minus_r2[8:].mean() == pytest.approx(0.2, abs=0.005)  # 0.25 / 1.25
    assert found.transfer[8:].mean() == pytest.approx(np.sqrt(1.25), abs=0.01)


def test_images_of_a_displacement_are_the_same_displacement():
    a = snapshot()
    psi = a.psi.copy()
    psi[0, :3] += BOX
    far = Snapshot(psi, a.vel, BOX, a.cosmology, 0.0, "far")
    for field in compare_snapshots(far, a).fields.values():
        assert np.abs(field.one_minus_r2).max() < 1e-6


def test_one_reference_serves_many_predictions():
    reference = Reference(snapshot(1), name="truth")
    for seed in (2, 3):
        once = compare_snapshots(snapshot(seed), snapshot(1), reference_name="truth", wall_seconds=1.5)
        again = reference.compare(snapshot(seed), wall_seconds=1.5)
        assert once.to_dict() == again.to_dict()
        assert again.reference == "truth" and again.wall_seconds == 1.5


def test_velocities_are_compared_only_where_both_have_them():
    assert "velocity" not in compare_snapshots(snapshot(vel=False), snapshot()).fields
    assert "velocity" not in compare_snapshots(snapshot(), snapshot(vel=False)).fields


def test_the_dictionary_is_json_even_where_there_is_nothing_to_compare():
    nothing = Snapshot(
        np.zeros((3, 8, 8, 8)), None, BOX, Cosmology.preset("quijote"), 0.0, "rest", settings={"a": 1}
    )
    found = json.loads(json.dumps(compare_snapshots(nothing, snapshot()).to_dict(), allow_nan=False))
    assert found["fields"]["displacement"]["one_minus_r2"][0] is None
    assert found["settings"] == {"a": 1} and found["n"] == 8


@pytest.mark.parametrize(
    ("other", "word"),
    [(snapshot(n=16), "n = 16"), (snapshot(box=50.0), "box = 50"), (snapshot(redshift=1.0), "redshift = 1")],
)
def test_snapshots_that_do_not_belong_together_are_refused(other, word):
    with pytest.raises(InputError, match=word):
        compare_snapshots(other, snapshot())


def test_transfer_and_correlation_agree_with_an_independent_code(tmp_path):
    source, data = SHARED / "tools" / "referee.py", SHARED / "reference" / "small.npz"
    if not (source.exists() and data.exists()):
        pytest.skip("the independent comparison and its reference run are not beside this checkout")
    spec = importlib.util.spec_from_file_location("referee", source)
    referee = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(referee)
    f = np.load(data)
    n, box = int(f["n"]), float(f["box"])
    cosmology = Cosmology(*(float(f[x]) for x in ("omega_m", "omega_b", "h", "n_s", "sigma_8")))
    psi, vel = f["psi_z0"] * float(f["psi_step"]), f["vel_z0"] * float(f["vel_step"])
    reference = Snapshot(psi, vel, box, cosmology, 0.0, "reference")
    modes = np.fft.rfftn(f["delta_lin"] * float(f["delta_step"]))
    k = 2 * np.pi / box * np.fft.fftfreq(n, 1 / n)
    axes = np.meshgrid(k, k, np.abs(k[: n // 2 + 1]), indexing="ij")
    modes /= np.maximum(sum(x**2 for x in axes), 1e-10)
    linear = np.stack([np.fft.irfftn(1j * x * modes, s=3 * (n,), axes=(0, 1, 2)) for x in axes])
    prediction = Snapshot(linear, 50 * linear, box, cosmology, 0.0, "zeldovich")
    found = compare_snapshots(prediction, reference).fields

    def lattice(x):
        return x.reshape(3, n, n, n)

    checks = {"density": 2 * n, "displacement": n, "velocity": n}
    for name, m in checks.items():
        s = referee.Spectra(m, box)
        if name == "density":
            pair = [[s.transform(referee.cic(x.positions(), m, box), 2)] for x in (reference, prediction)]
        elif name == "displacement":
            pair = [
                [s.transform(c) for c in referee.displacement(x.positions(), n, box)]
                for x in (reference, prediction)
            ]
        else:
            pair = [[s.transform(c) for c in lattice(x.vel)] for x in (reference, prediction)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # its bin at k = 0
            transfer, one_minus_r2 = referee.compare(*pair, s)
        assert np.allclose(found[name].k, s.k[1:], rtol=1e-6)
        assert np.abs(found[name].transfer / transfer[1:] - 1).max() < 1e-4
        assert np.abs(found[name].one_minus_r2 - one_minus_r2[1:]).max() < 1e-4
    at = found["density"].nearest(K_SHOWN[3])
    assert found["density"].k[at] == pytest.approx(0.5, abs=0.03)
