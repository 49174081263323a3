import numpy as np

from zeldo.report.density_picture import Slab, density_figure


def test_long_names_of_files_are_wrapped_and_redshift_is_not_the_axis():
    name = "a_name_of_a_snapshot_that_is_far_too_long_for_a_picture_beside_another_one.hdf5, z = 1"
    slab = Slab(axis=2, start=60.0, thickness=15.0)
    figure = density_figure([np.ones((8, 8))] * 2, [slab] * 2, [100.0] * 2, [name, "b, z = 0"])
    first, second = (ax.get_title().splitlines() for ax in figure.axes[:2])
    assert max(map(len, first)) < 50 and "".join(first[:-1]).replace(" ", "") == name.replace(" ", "")
    assert second == ["b, z = 0", "60 to 75 Mpc/h along z"]
