"""Forces that become sharper towards the end of a run."""

import numpy as np
import pytest
from waves import QUIJOTE, plane_wave, rms

from zeldo.engines.registry import engine
from zeldo.engines.steppers import BullFrog
from zeldo.engines.table import SHARP, SOFT, timetable
from zeldo.mesh.gravity import gravity
from zeldo.statistics import Reference

MESHES = pytest.mark.parametrize("name", ["pm", "cola"])


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_windows_are_divided_out_late_and_not_early(end):
    rows = timetable(
        QUIJOTE,
        BullFrog(QUIJOTE),
        steps=10,
        start_redshift=9.0,
        redshifts=[end],
        moving=False,
        sharpening=2.0,
    ).rows
    share = rows.columns.a1 * (1 + end)
    windows = rows.columns.sharpening
    assert not windows[share < SOFT].any() and (windows[share > SHARP] == 2).all()
    assert (np.diff(windows) >= 0).all() and 0 < windows[np.searchsorted(share, 0.5 * (SOFT + SHARP))] < 2


@pytest.mark.parametrize("gradient", ["difference", "spectral"])
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_sharpening_is_a_further_deconvolution(gradient, device):
    """One window more is what a mesh with one window more does."""
    psi = 3 * np.random.default_rng(4).standard_normal((3, 16, 16, 16), dtype=np.float32)
    soft, sharp = (
        gravity(50.0, 32, gradient=gradient, deconvolution=power, device=device) for power in (0.5, 1.5)
    )
    force = soft.numpy(soft(soft.array(psi), 0.5, None, 1.0))
    expected = sharp.numpy(sharp(sharp.array(psi), 0.5))
    assert rms(force - expected) < 1e-5 * rms(expected)
    assert rms(soft.numpy(soft(soft.array(psi), 0.5)) - expected) > 0.05 * rms(expected)


@MESHES
def test_long_waves_do_not_notice(name):
    ics = plane_wave(0.3)
    soft, sharp = (next(iter(engine(name, sharpening=s).run(ics, [0.0]))).psi for s in (0.0, 2.0))
    assert 0 < rms(sharp - soft) < 5e-3 * rms(soft)


@MESHES
def test_sharper_forces_are_nearer_to_the_n_body_run(name, small):
    ics, truth = small
    reference = Reference(truth[0.0])
    soft, sharp = (
        reference.compare(next(iter(engine(name, sharpening=s).run(ics, [0.0])))).fields for s in (0.0, 1.5)
    )
    for field in ("density", "displacement", "velocity"):
        k = sharp[field].k
        small = (k > 0.7) & (k < 1.5)
        assert (sharp[field].one_minus_r2[small] < soft[field].one_minus_r2[small]).mean() > 0.9
