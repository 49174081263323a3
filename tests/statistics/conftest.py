import pytest


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Fields here are so small that threads cost more than they give, on busy cores many times more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
