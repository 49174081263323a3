"""Samples are shared out evenly, and the rate rises and falls as stated."""

import numpy as np
import pytest

from zeldo.training.schedule import cosine, epoch_order


@pytest.mark.parametrize(("pairs", "samples"), [(7, 7), (7, 3), (7, 20), (1, 4)])
def test_over_many_epochs_every_pair_is_seen_as_often_as_any_other(pairs, samples):
    epochs = [epoch_order(pairs, samples, seed=3, epoch=e) for e in range(7)]
    assert all(len(order) == samples for order in epochs)
    counts = np.bincount(np.concatenate(epochs), minlength=pairs)
    assert counts.max() - counts.min() <= 1


def test_the_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(epoch_order(9, 9, 3, 2), epoch_order(9, 9, 3, 2))
    assert (epoch_order(9, 9, 3, 2) != epoch_order(9, 9, 3, 1)).any()
    assert (epoch_order(9, 9, 3, 2) != epoch_order(9, 9, 4, 2)).any()


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
