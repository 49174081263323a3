"""Initial conditions from arrays and tensors, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import zeldo
from refusals import refusal


@pytest.fixture(scope="module")
def ics():
    return zeldo.initial_conditions(box=20, n=8, power="eisenstein-hu")


def test_a_tensor_comes_without_its_gradient(ics):
    field = torch.from_numpy(ics.delta_lin).requires_grad_()
    made = replace(ics, delta_lin=field)
    assert type(made.delta_lin) is np.ndarray and np.array_equal(made.delta_lin, ics.delta_lin)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda field: field + 0j, "ndarray of complex64"),
        (lambda field: torch.from_numpy(field + 0j), "Tensor of complex64"),
        (lambda field: torch.from_numpy(field).bfloat16(), "Tensor"),
        (lambda field: field.astype(str), "ndarray of <U"),
        (lambda field: [[1.0], [1.0, 2.0]], "list"),
        (lambda field: None, "NoneType of object"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(ics, change, kind):
    line = refusal(lambda: replace(ics, delta_lin=change(ics.delta_lin)))
    assert line.startswith(f"delta_lin is a {kind}") and "give an array of real numbers" in line


def test_the_cosmology_is_one(ics):
    assert "cosmology = 'quijote' is not allowed: give a" in refusal(
        lambda: replace(ics, cosmology="quijote")
    )
