"""What a model card allows."""

from dataclasses import replace

import pytest

import zeldo
from zeldo.cosmology.parameters import PRESETS
from zeldo.errors import InputError

QUIJOTE = PRESETS["quijote"]


@pytest.mark.parametrize("change", [{"w0": -0.9}, {"wa": 0.2}])
def test_a_network_that_saw_a_cosmological_constant_takes_no_other_dark_energy(change):
    card = replace(zeldo.engine("vnet")._cards[0], w0=None, wa=None)
    spacing = sum(card.spacing) / 2
    card.check_range(QUIJOTE, redshift=card.redshift[0], spacing=spacing)
    with pytest.raises(InputError, match=next(iter(change))):
        card.check_range(replace(QUIJOTE, **change), redshift=card.redshift[0], spacing=spacing)
