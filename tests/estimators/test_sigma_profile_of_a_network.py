"""`sigma_profile` of a network: the activations of its layers, other arguments, and refused networks."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb
from layerbits.estimators.known_activations import known_activations
from layerbits.networks import read_inputs
from tests.support.networks import Jitter, tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS, LABELS = normal_tensor(40, 4, seed=3).float(), torch.arange(40) % 3
SIGMAS = [1.0, 0.1]


@pytest.fixture
def model():
    return tanh_mlp(4, 3, 3, 2)


def test_profile_is_that_of_the_activations(model):
    expected = lb.sigma_profile(lb.layer_activations(model, INPUTS), SIGMAS, labels=LABELS)
    assert lb.sigma_profile(model, INPUTS, LABELS, sigmas=SIGMAS) == expected
    assert lb.sigma_profile(model, INPUTS.numpy(), labels=LABELS, sigmas=np.array(SIGMAS)) == expected
    assert [row.layer for row in expected] == ["1"] * 6 + ["3"] * 6


def test_intervals_agree_with_those_of_the_table(model):
    """Both intervals contain the true value with probability 1 - 1e-6; seeds are fixed."""
    options = {"queries": 200, "confidence": 1 - 1e-6}
    for row in lb.sigma_profile(model, INPUTS, sigmas=SIGMAS, **options):
        measured = lb.layer_information(model, INPUTS, sigma=row.sigma, **options)[row.layer, "I(X;T)"]
        assert row.lower <= measured.upper
        assert measured.lower <= row.upper
        assert row.upper - row.lower < 0.3


def test_layers_may_be_chosen(model):
    profile = lb.sigma_profile(model, INPUTS, sigmas=[0.5], layers=["0", "4"])
    assert [row.layer for row in profile] == ["0", "4"]


def test_inputs_may_be_a_loader_with_labels(model):
    loader = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=7)
    assert lb.sigma_profile(model, loader, 1, sigmas=SIGMAS) == lb.sigma_profile(model, INPUTS, LABELS, sigmas=SIGMAS)


def test_a_limit_takes_that_many_inputs(model):
    row = lb.sigma_profile(model, INPUTS, sigmas=[1e-6], limit=10).rows[0]
    assert row.upper == pytest.approx(math.log(10), abs=1e-9)


def test_several_label_sets_are_refused(model):
    with pytest.raises(ValueError, match="labels: got 2 label sets"):
        lb.sigma_profile(model, INPUTS, {"A": LABELS, "B": LABELS}, sigmas=SIGMAS)


def test_network_and_generators_stay_as_they_were(model):
    before, state = model.train()(INPUTS), torch.get_rng_state()
    lb.sigma_profile(model, INPUTS, sigmas=SIGMAS)
    assert model.training
    assert torch.equal(model(INPUTS), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_sigmas_of_activations_may_have_their_name():
    assert lb.sigma_profile(INPUTS, sigmas=SIGMAS) == lb.sigma_profile(INPUTS, SIGMAS)


def test_a_noisy_network_is_refused(model):
    with pytest.raises(ValueError, match=r"model: got a network that has noise of its own, .*remove_noise"):
        lb.sigma_profile(lb.noisify(model, sigma=0.1), INPUTS, sigmas=SIGMAS)


def test_activations_that_differ_in_two_passes_are_refused():
    """The channel of such activations is not S + sigma Z with one signal S for each input."""
    with pytest.raises(ValueError, match="layers: got '1', whose activations differ in two passes"):
        lb.sigma_profile(nn.Sequential(Jitter(), nn.Identity()), INPUTS, sigmas=SIGMAS, layers="1")


def test_a_sigma_that_half_precision_would_distort_is_refused(model):
    with pytest.raises(ValueError, match=r"sigma: got 0\.001 for '1'"):
        lb.sigma_profile(model.bfloat16(), INPUTS.bfloat16(), sigmas=[1.0, 0.001])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("network", INPUTS), {}, "sigmas: got NoneType"),
        (("network", SIGMAS), {"sigmas": SIGMAS}, "inputs: got"),
        (("network",), {"sigmas": SIGMAS}, "inputs: got NoneType"),
        ((INPUTS, SIGMAS), {"limit": 2}, "limit: got a value beside activations"),
        ((INPUTS, INPUTS), {"sigmas": SIGMAS}, "inputs: got values beside activations"),
        ((INPUTS, SIGMAS), {"layers": "1"}, "layers: got a value beside activations"),
        ((INPUTS,), {}, "sigmas: got NoneType"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(model, arguments, options, message):
    with pytest.raises(TypeError, match=message):
        lb.sigma_profile(*(model if isinstance(argument, str) else argument for argument in arguments), **options)


def test_activations_of_a_second_pass_are_not_kept():
    model = tanh_mlp(4, 3, 2)
    ((_, activations),) = known_activations(model, read_inputs(INPUTS, model), None)
    assert activations.untyped_storage().nbytes() == activations.nbytes


def test_layers_that_do_not_fit_together_are_recorded_in_turn():
    """Two passes of 100 inputs take 1.6 MB in each of two layers of 2,000 units."""
    model, inputs = tanh_mlp(4, 2000, 2000, 2), normal_tensor(100, 4, seed=3).float()
    passes = []
    model[3].register_forward_hook(lambda *_: passes.append(1))
    groups = known_activations(model, read_inputs(inputs, model), None, max_memory=2**20)
    (first, activations), n_passes = next(groups), len(passes)
    (second, later_activations), n_later_passes = next(groups), len(passes)
    assert (first, second) == ("1", "3")
    assert n_later_passes > n_passes
    together = dict(known_activations(model, read_inputs(inputs, model), None))
    assert_close(activations, together["1"])
    assert_close(later_activations, together["3"])


def test_budget_does_not_change_a_profile():
    model, inputs = tanh_mlp(4, 2000, 2000, 2), normal_tensor(100, 4, seed=3).float()
    profiles = [lb.sigma_profile(model, inputs, sigmas=[3.0], max_memory=budget) for budget in (2**20, 2**30)]
    values = [[row.value for row in profile] for profile in profiles]
    # Passes of other numbers of rows round otherwise. Errors of 1e-6 in 2,000 units of sigma 3 move a center by 1.5e-5
    # sigma, hence the logarithm of a density by that times |Z| along one direction, which is below 6.
    assert values[0] == pytest.approx(values[1], abs=1e-4)


@pytest.mark.parametrize("function", [lb.suggest_sigma, functools.partial(lb.sigma_profile, sigmas=[1.0])])
def test_budget_is_checked(function):
    with pytest.raises(ValueError, match=r"^max_memory: got 1000, wanted"):
        function(tanh_mlp(4, 3, 2), INPUTS, max_memory=1000)
