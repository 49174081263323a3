"""Snapshots from arrays and tensors, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import zeldo
from refusals import refusal


@pytest.fixture(scope="module")
def snapshot():
    (snapshot,) = zeldo.run(engine="zeldovich", box=20, n=8, power="eisenstein-hu")
    return snapshot


def test_tensors_come_without_their_gradient(snapshot):
    psi, vel = (torch.from_numpy(field).requires_grad_() for field in (snapshot.psi, snapshot.vel))
    made = replace(snapshot, psi=psi, vel=vel)
    assert np.array_equal(made.psi, snapshot.psi) and np.array_equal(made.vel, snapshot.vel)


@pytest.mark.parametrize("name", ["psi", "vel"])
def test_fields_are_real_numbers(snapshot, name):
    for kind in (complex, str, bool):
        values = getattr(snapshot, name).astype(kind)
        line = refusal(lambda values=values: replace(snapshot, **{name: values}))
        assert (
            line == f"{name} is a ndarray of {values.dtype}: give an array of real numbers, such as float32"
        )


def test_the_cosmology_is_one(snapshot):
    assert "cosmology = 'quijote' is not allowed" in refusal(lambda: replace(snapshot, cosmology="quijote"))


def test_the_redshift_is_a_number(snapshot):
    for value in (0, "0", np.float32(0), np.array(0.0)):
        made = replace(snapshot, redshift=value)
        assert made.redshift == 0 and type(made.redshift) is float
    for value in ("late", None, -1, np.nan, np.inf, [0.0]):
        assert "is not allowed: give a number" in refusal(lambda v=value: replace(snapshot, redshift=v))
