"""What bad input is answered with."""

from __future__ import annotations

import pytest

from zeldo.errors import InputError


def refusal(call) -> str:
    """The one line of an InputError."""
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line
