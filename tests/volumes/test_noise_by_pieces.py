"""Planes of the white noise by themselves."""

import numpy as np
import pytest

from zeldo.initial.noise import white_noise
from zeldo.volumes.noise import noise_planes


@pytest.mark.parametrize("options", [{}, {"fixed": True, "flip": True}])
@pytest.mark.parametrize("n", [4, 6, 16])
def test_they_are_those_of_the_whole_to_the_last_bit(n, options):
    whole = white_noise(n, 5, **options)
    parts = [noise_planes(n, 5, first, first + 2, **options) for first in range(0, n, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
