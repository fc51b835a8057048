"""The split into training rows and test rows."""

import pytest
import torch

from layerbits.data import split


def test_every_row_is_in_one_part():
    train, test = split(4096, seed=3)
    assert torch.cat([train, test]).sort().values.equal(torch.arange(4096))


@pytest.mark.parametrize(("n", "fraction", "expected"), [(4096, 0.2, 819), (10, 0.25, 2), (2, 0.01, 1), (2, 0.99, 1)])
def test_test_part_has_its_fraction_and_no_part_is_empty(n, fraction, expected):
    train, test = split(n, test_fraction=fraction, seed=0)
    assert (len(train), len(test)) == (n - expected, expected)


def test_seed_determines_the_split():
    assert split(100, seed=1)[0].equal(split(100, seed=1)[0])
    assert not split(100, seed=1)[0].equal(split(100, seed=2)[0])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="test_fraction"):
        split(10, test_fraction=fraction, seed=0)


@pytest.mark.parametrize(("n", "error"), [(1, ValueError), (2.5, TypeError)])
def test_invalid_number_of_rows_is_named(n, error):
    with pytest.raises(error, match="n: got"):
        split(n, seed=0)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (None, TypeError)])
def test_invalid_seed_is_named(seed, error):
    with pytest.raises(error, match="seed: got"):
        split(10, seed=seed)
