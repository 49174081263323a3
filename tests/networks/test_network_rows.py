import numpy as np
import pytest
import torch

from zeldo.networks.rows import as_row, empty


@pytest.mark.parametrize("shape", [(1, 3, 4, 5, 6), (2, 1, 1, 1, 1), (1, 16, 64, 64, 64)])
def test_an_empty_field_is_one_row_of_its_own_that_begins_with_a_cache_line(shape):
    fields = [empty(shape) for _ in range(5)]
    for number, field in enumerate(fields):
        field.fill_(number)
    for number, field in enumerate(fields):
        assert field.shape == shape and field.dtype == torch.float32 and field.is_contiguous()
        assert field.data_ptr() % 64 == 0
        assert np.array_equal(as_row(field), np.full(np.prod(shape), number, np.float32))
