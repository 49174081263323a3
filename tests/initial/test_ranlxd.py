"""ranlxd1: Luescher's check value, uniformity, seeds."""

import numpy as np
from draws import uniforms


def test_the_ten_thousandth_number_of_seed_1():
    assert int(2**32 * uniforms(1, 10_000)[-1]) == 1998227290


def test_numbers_follow_the_recurrence_in_exact_arithmetic():
    """Written with Python's integers, one step at a time, as the papers state it."""
    seed = 2001
    bits = [(seed >> i) & 1 for i in range(31)]
    while len(bits) < 12 * 48 + 31:
        bits.append(bits[-31] ^ bits[-13])
    x = [int("".join(str(1 - bit) for bit in bits[48 * i : 48 * i + 48]), 2) for i in range(12)]
    borrow, wanted = 0, []
    for _ in range(3):
        for _ in range(202):
            x.append(x[-5] - x[-12] - borrow)
            borrow = int(x[-1] < 0)
            x[-1] %= 2**48
        wanted += x[-12:]
    np.testing.assert_array_equal(uniforms(seed, 36) * 2.0**48, np.array(wanted, float))


def test_numbers_are_uniform_and_know_nothing_of_each_other():
    numbers = uniforms(42, 100_000)
    assert numbers.min() >= 0 and numbers.max() < 1
    counts, _ = np.histogram(numbers, 50, (0, 1))
    assert 20 < np.sum((counts - 2000) ** 2 / 2000) < 90  # chi squared of 49 degrees of freedom
    for lag in (1, 5, 7, 12):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 4 / np.sqrt(numbers.size)


def test_seeds_count_by_their_31_bits_and_0_is_1():
    assert not np.isin(uniforms(1, 12), uniforms(2, 12)).any()
    np.testing.assert_array_equal(uniforms(0, 12), uniforms(1, 12))
    np.testing.assert_array_equal(uniforms(2**31 + 5, 12), uniforms(5, 12))
