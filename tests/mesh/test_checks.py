"""The one check of meshes: kernels, statistics and gradients refuse the same numbers in the same words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from refusals import refusal
from zeldo.gradients.statistics import density
from zeldo.mesh import numba_kernels, splines, torch_kernels
from zeldo.mesh.checks import check_mesh
from zeldo.statistics.spectra import bins

PSI = np.zeros((3, 4, 4, 4), np.float32)
POINTS = np.zeros((5, 3), np.float32)


@pytest.mark.parametrize("mesh", [2, 7, 8.0, 8.5, True, "8", None])
def test_what_is_no_even_number_is_refused_everywhere(mesh):
    refusals = [
        refusal(lambda: check_mesh(mesh)),
        refusal(lambda: splines.paint(POINTS, mesh, 1.0)),
        refusal(lambda: bins(mesh)),
    ]
    assert set(refusals) == {
        f"a mesh of {mesh!r} points per side is not allowed: give an even number from 4 on"
    }
    most = [
        refusal(lambda: numba_kernels.paint(PSI, mesh, 1.0)),
        refusal(lambda: density(torch.from_numpy(PSI), mesh, 1.0)),
    ]
    assert "even number from 4" in most[0] and "even number from 4" in most[1]


@pytest.mark.parametrize("mesh", [8, np.int64(8), np.array(8)])
def test_whole_numbers_in_other_clothes_are_taken(mesh):
    assert check_mesh(mesh) == 8 and type(check_mesh(mesh)) is int


def test_there_may_be_a_largest_mesh_and_odd_ones():
    assert "from 4 to 8" in refusal(lambda: check_mesh(10, 8))
    assert check_mesh(3, least=2, even=False) == 3
    assert "a whole number from 2 on" in refusal(lambda: torch_kernels.paint(torch.from_numpy(PSI), 1, 1.0))
