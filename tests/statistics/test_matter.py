"""What statistics refuse of the particles that they are given."""

from dataclasses import replace

import numpy as np
import pytest

import zeldo
from refusals import refusal

STATISTICS = (
    zeldo.power_spectrum,
    zeldo.redshift_space_multipoles,
    zeldo.equilateral_bispectrum,
    zeldo.friends_of_friends,
    zeldo.halos,
    zeldo.measure,
)


@pytest.fixture(scope="module")
def snapshot():
    (snapshot,) = zeldo.run(engine="zeldovich", box=20, n=8, power="eisenstein-hu")
    return snapshot


def with_one(values, bad):
    values = values.copy()
    values.flat[7] = bad
    return values


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(snapshot, statistic, bad):
    broken = replace(snapshot, psi=with_one(snapshot.psi, bad))
    line = refusal(lambda: statistic(broken))
    assert line.startswith("psi of this snapshot (zeldovich, z = 0) holds values that are not finite: check")
    header = zeldo.Header(count=8**3, box=20.0, redshift=0.0, cosmology=snapshot.cosmology)
    particles = zeldo.Particles(header, with_one(snapshot.positions(), bad), snapshot.velocities())
    line = refusal(lambda: statistic(particles))
    assert line.startswith("positions of particles holds values that are not finite")


def test_velocities_are_finite_too(snapshot):
    broken = replace(snapshot, vel=with_one(snapshot.vel, np.nan))
    assert np.isfinite(zeldo.power_spectrum(broken).power).all()
    assert "vel of this snapshot" in refusal(lambda: zeldo.redshift_space_multipoles(broken, "x"))
