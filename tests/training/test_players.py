"""The rate rises and falls as stated."""

import numpy as np
import pytest

from zeldo.training.players import cosine


def test_the_rate_rises_to_one_and_falls_to_the_last():
    shares = np.linspace(0, 1, 101)
    rates = np.array([cosine(s, 0.1, 0.01) for s in shares])
    assert rates.argmax() == 10
    assert rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert cosine(0.55, 0.1, 0.01) == pytest.approx(0.505)
    assert cosine(0.0, 0.0, 0.0) == 1.0
