"""Properties of all experiments."""

import dataclasses
import math

import pytest

from layerbits.experiments import EXPERIMENTS, Configuration


@pytest.fixture(params=EXPERIMENTS)
def experiment(request):
    return EXPERIMENTS[request.param]


def test_registry_has_the_experiments_by_name():
    assert all(experiment.name == name for name, experiment in EXPERIMENTS.items())


def test_configuration_is_frozen_and_has_a_seed(experiment):
    config = experiment.config_type()
    assert isinstance(config, Configuration)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


def test_quick_settings_differ_from_the_default(experiment):
    assert experiment.quick_config() != experiment.config_type()


def test_description_is_one_line_and_ends_with_a_period(experiment):
    assert experiment.description.endswith(".")
    assert "\n" not in experiment.description


def test_expected_time_of_a_quick_run_is_at_most_90_seconds(experiment):
    assert 0 < experiment.expected_seconds(experiment.quick_config()) <= 90


def test_expected_time_of_a_quick_run_is_at_most_that_of_a_full_run(experiment):
    quick, full = map(experiment.expected_seconds, (experiment.quick_config(), experiment.config_type()))
    assert quick <= full


@pytest.mark.parametrize(
    ("experiment", "preset"), [(item, name) for item in EXPERIMENTS.values() for name in item.presets]
)
def test_expected_time_of_a_preset_is_between_those_of_a_quick_and_a_full_run(experiment, preset):
    config = dataclasses.replace(experiment.config_type(), **experiment.presets[preset])
    quick, seconds, full = map(
        experiment.expected_seconds, (experiment.quick_config(), config, experiment.config_type())
    )
    assert quick < seconds < full


@pytest.mark.parametrize("name", ["estimator-comparison", "reed-muller", "spiral"])
def test_expected_time_of_sampling_is_inversely_quadratic_in_the_tolerance_up_to_the_largest_number_of_draws(name):
    experiment = EXPERIMENTS[name]

    def seconds(tolerance):
        return experiment.expected_seconds(dataclasses.replace(experiment.quick_config(), tolerance=tolerance))

    # These three tolerances need more draws than the smallest number of a plug-in and fewer than the largest.
    durations = [seconds(tolerance) for tolerance in (0.008, 0.008 / math.sqrt(2), 0.004)]
    assert durations[2] - durations[1] == pytest.approx(2 * (durations[1] - durations[0]))
    # These two tolerances need more draws than the largest number.
    assert durations[2] < seconds(1e-5) == seconds(1e-6)
