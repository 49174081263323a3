"""Scores by redshift."""

import pytest

from zeldo.training.validation import Score, by_redshift, mean, summary


def test_boxes_of_the_same_redshift_count_together_where_rounding_differs():
    scores = [Score(z, loss, {"l": loss}, {}) for z, loss in ((1.0, 1.0), (1 + 1e-10, 3.0), (0.0, 5.0))]
    assert [item.loss for item in by_redshift(scores).values()] == [2.0, 5.0]
    assert summary(scores)["z = 1"]["loss"] == 2.0 and summary(scores)["loss"] == 3.0


def test_figures_are_means_at_the_wavenumbers_that_all_boxes_have():
    """A smaller box lacks the longest waves, and one without velocities their figures."""
    large = Score(0.0, 1.0, {}, {"density transfer": {0.1: 0.9, 0.5: 0.8}, "velocity transfer": {0.5: 0.7}})
    small = Score(0.0, 1.0, {}, {"density transfer": {0.5: 0.6, 1.0: 0.5}})
    for pair in ([large, small], [small, large]):
        assert mean(pair).at["density transfer"] == {0.5: pytest.approx(0.7)}
        assert not mean(pair).at.get("velocity transfer")
