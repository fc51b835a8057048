"""All experiments have one shape."""

import dataclasses

import pytest

from layerbits.experiments import EXPERIMENTS


@pytest.fixture(params=EXPERIMENTS)
def experiment(request):
    return EXPERIMENTS[request.param]


def test_configuration_is_frozen_and_has_a_seed(experiment):
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.Config().seed = 1


def test_quick_settings_make_a_configuration_other_than_the_default(experiment):
    assert dataclasses.replace(experiment.Config(), **experiment.QUICK) != experiment.Config()


def test_description_is_one_sentence(experiment):
    assert experiment.__doc__.partition("\n")[0].endswith(".")


def test_module_measures_and_draws(experiment):
    assert callable(experiment.measure)
    assert callable(experiment.draw)


def test_quick_run_is_expected_to_end_in_a_minute_and_a_half_and_no_later_than_a_full_one(experiment):
    quick = experiment.expected_seconds(dataclasses.replace(experiment.Config(), **experiment.QUICK))
    assert 0 < quick <= 90
    assert quick <= experiment.expected_seconds(experiment.Config())
