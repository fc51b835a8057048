"""All experiments have one shape."""

import dataclasses
import math

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


@pytest.mark.parametrize("name", ["estimator-comparison", "reed-muller", "spiral"])
def test_expected_sampling_grows_with_the_inverse_square_of_the_tolerance_up_to_the_most_draws(name):
    module = EXPERIMENTS[name]
    # The first three between the first batches and the limit of a plug-in, the last two beyond it.
    wide, middle, narrow, least, less = (
        module.expected_seconds(dataclasses.replace(module.Config(), **{**module.QUICK, "tolerance": tolerance}))
        for tolerance in (0.008, 0.008 / math.sqrt(2), 0.004, 1e-5, 1e-6)
    )
    assert narrow - middle == pytest.approx(2 * (middle - wide))
    assert narrow < least == less
