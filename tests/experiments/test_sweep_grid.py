"""The cells of a grid, and the grid of a command line."""

import pytest

from layerbits._base import UsageError
from layerbits.experiments import EXPERIMENTS, parse_grid
from layerbits.experiments.sweeps.grid import cells_of

CONFIG = EXPERIMENTS["szt-tanh"].config_type


def test_cells_are_all_combinations_in_the_order_of_the_grid():
    cells = cells_of({"seed": range(2), "sigma": [0.005, 0.05]})
    assert cells == {
        "seed=0,sigma=0.005": {"seed": "0", "sigma": "0.005"},
        "seed=0,sigma=0.05": {"seed": "0", "sigma": "0.05"},
        "seed=1,sigma=0.005": {"seed": "1", "sigma": "0.005"},
        "seed=1,sigma=0.05": {"seed": "1", "sigma": "0.05"},
    }


def test_tuple_is_one_value():
    assert list(cells_of({"widths": [(4, 3), [5]]}).values()) == [{"widths": "4,3"}, {"widths": "5"}]


@pytest.mark.parametrize("text", ["../../tmp", "a/b", "", "x" * 41, "\x1b[31m", "ä"])
def test_text_that_is_no_file_name_is_hashed(text):
    (name,) = cells_of({"data": [text]})
    assert name.startswith("data=")
    assert name.isascii()
    assert "/" not in name
    assert len(name) == len("data=") + 16


def test_name_fits_into_a_file_name_for_any_number_of_settings():
    (name,) = cells_of({f"setting{index}": ["x" * 40] for index in range(20)})
    assert len(name) <= 200


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([("seed", [1])], "grid: got list, wanted a mapping"),
        ({}, "grid: got no settings"),
        ({"seed": []}, "grid: got no values for seed"),
        ({"seed": 3}, "grid: got 3 for seed, wanted a list"),
        ({"sigma": "0.1"}, "grid: got '0.1' for sigma, wanted a list"),
        ({"sigma": [0.1, "0.1"]}, "grid: got a value of sigma twice"),
        ({"seed": range(10**9)}, "more than 100000 cells at seed"),
        ({"seed": range(400), "sigma": range(400)}, "more than 100000 cells at sigma"),
    ],
)
def test_grid_that_has_no_cells_or_too_many_is_refused(grid, message):
    with pytest.raises(UsageError, match=message):
        cells_of(grid)


def test_commas_divide_the_values_of_a_number_and_belong_to_a_tuple():
    grid = parse_grid(CONFIG, ["sigma=.005,.05", "widths=4,3", "widths=5,5"], "0:3")
    assert grid == {"sigma": [".005", ".05"], "widths": ["4,3", "5,5"], "seed": ["0", "1", "2"]}


@pytest.mark.parametrize(("text", "seeds"), [("7", ["7"]), ("0,5,7", ["0", "5", "7"]), ("3:5", ["3", "4"])])
def test_seeds_are_numbers_or_a_range(text, seeds):
    assert parse_grid(CONFIG, [], text) == {"seed": seeds}


@pytest.mark.parametrize(
    ("texts", "seeds", "message"),
    [
        (["sigma"], None, "--set: got 'sigma', wanted KEY=VALUE"),
        (["sigmas=1"], None, "sigmas: no such setting; there are seed"),
        ([], "0-20", "--seeds: got '0-20', wanted seeds such as 0:20"),
        ([], "-1:3", "--seeds: got '-1:3'"),
        (["seed=1"], "0:3", "--seeds: got --set seed= too"),
    ],
)
def test_text_of_another_form_is_refused(texts, seeds, message):
    with pytest.raises(UsageError, match=message):
        parse_grid(CONFIG, texts, seeds)
