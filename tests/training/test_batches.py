"""Samples are shared out evenly over the epochs."""

import numpy as np
import pytest

from zeldo.training.batches import epoch_order


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
