"""Scores by redshift."""

from zeldo.training.validation import Score, by_redshift, summary


def test_boxes_of_the_same_redshift_count_together_where_rounding_differs():
    scores = [Score(z, loss, {"l": loss}, {}) for z, loss in ((1.0, 1.0), (1 + 1e-10, 3.0), (0.0, 5.0))]
    assert [item.loss for item in by_redshift(scores).values()] == [2.0, 5.0]
    assert summary(scores)["z = 1"]["loss"] == 2.0 and summary(scores)["loss"] == 3.0
