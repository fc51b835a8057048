"""The experiment single-neuron: quadrature against known values, the estimator against quadrature."""

import math

import pytest

from layerbits.errors import UsageError
from layerbits.experiments import single_neuron
from layerbits.experiments.run_folder import RunFolder
from layerbits.experiments.single_neuron import Config, Point, information_by_quadrature
from layerbits.training.records import read_csv

KNOWN = [
    (weight, sigma, value)
    for weight, row in single_neuron._PUBLISHED.items()
    for sigma, value in zip(single_neuron._SIGMAS, row, strict=True)
]


@pytest.mark.parametrize(("weight", "sigma", "value"), KNOWN)
def test_quadrature_gives_the_known_value(weight, sigma, value):
    assert information_by_quadrature(weight, sigma) == pytest.approx(value, abs=1e-4)  # the accuracy of the table


def test_inputs_far_apart_give_log_4():
    assert information_by_quadrature(0.2, 1e-4) == pytest.approx(math.log(4), abs=1e-9)


def test_saturated_neuron_tells_one_input_from_three():
    # tanh(10) and -tanh(30), -tanh(50), ...: one against three, {1/4, 3/4} at +-1; known to be .562335 for sigma <= .1.
    assert information_by_quadrature(10.0, 0.1) == pytest.approx(0.562335, abs=1e-6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = Config(tolerance=0.02)
    folder = RunFolder(tmp_path_factory.mktemp("run"), experiment="single-neuron", config=config, resume=False)
    with folder.running():
        single_neuron.run(config, folder)
    return folder


def test_run_leaves_all_its_files(finished):
    assert {path.name for path in finished.path.iterdir()} == {"run.json", "curves.csv", "single-neuron.png"}


def test_intervals_hold_the_truth_of_quadrature_and_are_as_narrow_as_asked(finished):
    points = [Point(*map(float, row)) for row in read_csv(finished.path / "curves.csv", Point._fields)]
    assert len(points) == 22 * 6
    assert max(point.upper - point.lower for point in points) <= 2 * 0.02
    # Of 132 intervals of 95 % as many as 20 fail by a chance of 1e-5. Quadrature is off by 1e-9.
    assert sum(not point.lower - 1e-9 <= point.truth <= point.upper + 1e-9 for point in points) < 20


def test_weight_without_a_known_value_has_none(tmp_path):
    config = Config(weights=(0.3,), sigmas=(0.1,), tolerance=0.1)
    folder = RunFolder(tmp_path, experiment="single-neuron", config=config, resume=False)
    single_neuron.measure(config, folder)
    assert math.isnan(Point(*map(float, read_csv(tmp_path / "curves.csv", Point._fields)[0])).published)


@pytest.mark.parametrize("change", [{"seed": -1}, {"weights": ()}, {"sigmas": (0.1, 0.0)}, {"tolerance": 0.0}])
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
