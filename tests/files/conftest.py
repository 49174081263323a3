"""One small snapshot with everything that a file must keep."""

import numpy as np
import pytest

from zeldo.cosmology.parameters import Cosmology
from zeldo.files import Snapshot

N, BOX = 8, 20.0


@pytest.fixture
def snapshot():
    """8^3 particles in 20 Mpc/h at z = 1.5, displaced by a few cells: many cross the box's faces."""
    rng = np.random.default_rng(3)
    return Snapshot(
        psi=rng.normal(0, 4, (3, N, N, N)).clip(-9.9, 9.9).astype(np.float32),
        vel=rng.normal(0, 300, (3, N, N, N)).astype(np.float32),
        box=BOX,
        cosmology=Cosmology(omega_m=0.31, omega_b=0.05, h=0.68, n_s=0.97, sigma_8=0.81, w0=-0.9, wa=-0.2),
        redshift=1.5,
        engine="cola",
        seed=7,
        settings={"steps": 10, "mesh_factor": 2, "spacing": "a"},
        version="0.1.0",
        fixed=True,
        flip=False,
        power="camb",
    )
