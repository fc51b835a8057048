"""The noise of a noisy network: its distribution, its layers, gradients and refusals."""

import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import LayerSelectionError, noisify
from tests.support.networks import Twice, noisy_identities, tanh_mlp

SIGMA = 0.3


def mlp():
    return tanh_mlp(4, 3, 3, 2)


def noisy_identity(**options):
    return noisy_identities(1, SIGMA, **options)


def noise_of(noisy, *shape, dtype=torch.float32):
    return noisy(torch.zeros(*shape, dtype=dtype))


def test_noise_is_gaussian_with_standard_deviation_sigma():
    noise = noise_of(noisy_identity(), 100_000, dtype=torch.float64) / SIGMA
    assert stats.kstest(noise.numpy(), "norm").pvalue > 1e-4  # other seeds would fail once in 10,000


def test_noise_has_variance_sigma_squared():
    n = 100_000
    energy = float((noise_of(noisy_identity(), n, dtype=torch.float64) / SIGMA).square().sum())
    lower, upper = stats.chi2.interval(1 - 1e-6, df=n)  # the sum of n squared standard normals
    assert lower < energy < upper


def test_noise_of_different_units_is_independent():
    n, d = 20_000, 5
    correlation = torch.corrcoef(noise_of(noisy_identity(), n, d, dtype=torch.float64).T)
    bound = stats.norm.isf(1e-6) / n**0.5  # the sample correlation of independent normals is N(0, 1/n) to O(1/n)
    assert (correlation - torch.eye(d)).abs().max() < bound


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_noise_keeps_the_dtype(dtype):
    assert noise_of(noisy_identity(), 3, dtype=dtype).dtype == dtype


def test_noise_is_fresh_in_every_pass():
    noisy = noisy_identity()
    assert not torch.equal(noise_of(noisy, 8), noise_of(noisy, 8))


@pytest.mark.parametrize("training", [True, False])
def test_noise_is_on_in_training_and_in_evaluation(training):
    assert noise_of(noisy_identity().train(training), 8).all()


def test_noise_is_on_when_the_network_is_called_without_its_wrapper():
    assert noisy_identity().model(torch.zeros(8)).all()


def test_seed_determines_the_noise():
    noise = noise_of(noisy_identity(seed=1), 8)
    assert torch.equal(noise_of(noisy_identity(seed=1), 8), noise)
    assert not torch.equal(noise_of(noisy_identity(seed=2), 8), noise)


def test_seed_may_exceed_64_bits():
    assert not torch.equal(noise_of(noisy_identity(seed=2**70), 8), noise_of(noisy_identity(seed=0), 8))


def test_global_generator_is_not_advanced():
    model = mlp()
    before = torch.get_rng_state()
    noise_of(noisify(model), 2, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_does_not_depend_on_the_global_generator():
    torch.manual_seed(1)
    noise = noise_of(noisy_identity(), 8)
    torch.manual_seed(2)
    assert torch.equal(noise_of(noisy_identity(), 8), noise)


def test_gradients_are_those_at_the_noisy_value():
    model = nn.Sequential(nn.Identity(), nn.Linear(4, 1)).double()
    noisy = noisify(model, sigma=SIGMA, layers="0")
    noisy(torch.zeros(1, 4, dtype=torch.float64)).sum().backward()
    expected = noise_of(noisify(nn.Sequential(nn.Identity()), sigma=SIGMA, layers="0"), 1, 4, dtype=torch.float64)
    assert torch.equal(model[1].weight.grad, expected)  # d(Wt)/dW = t, which is the noise: nothing is rounded


def test_noise_does_not_change_the_gradient():
    x = torch.zeros(5, requires_grad=True)
    noisy_identity()(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(5))


def test_noise_is_not_written_into_the_activation():
    x = torch.ones(8)
    noisy = noisify(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 1)), sigma=SIGMA)
    noisy(x)
    assert torch.equal(x, torch.ones(8))


def test_network_trains_through_an_in_place_activation():
    noisy = noisify(nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)), sigma=SIGMA)
    noisy(torch.ones(2, 4)).sum().backward()
    assert noisy.model[0].weight.grad is not None


def test_noise_is_added_at_every_pixel():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))
    noisy, images = noisify(model, sigma=SIGMA), torch.zeros(3, 1, 6, 6)
    outputs = []
    model[2].register_forward_pre_hook(lambda module, args: outputs.append(args[0].clone()))
    noisy(images)
    with noisy.noise_off():
        noisy(images)
    assert (outputs[0] - outputs[1]).count_nonzero() == 3 * 2 * 4 * 4


def test_calls_that_are_not_selected_have_no_noise():
    noisy = noisify(Twice(), sigma=SIGMA, layers="module@2")
    outputs = []
    noisy.model.module.register_forward_hook(lambda module, args, output: outputs.append(output))
    noisy(torch.zeros(4, 3))
    assert [bool(output.any()) for output in outputs] == [False, True]


def test_call_of_a_module_outside_a_pass_does_not_shift_the_calls_of_the_next_pass():
    noisy = noisify(Twice(), sigma=SIGMA, layers="module@2")
    noisy.model.module(torch.zeros(4, 3))
    outputs = []
    noisy.model.module.register_forward_hook(lambda module, args, output: outputs.append(output))
    noisy(torch.zeros(4, 3))
    assert [bool(output.any()) for output in outputs] == [False, True]


def test_layer_names_are_in_the_order_of_the_data():
    assert noisify(mlp(), layers=["3", "1"]).layer_names == ("1", "3")


def test_noisy_network_prints_its_noise():
    assert "sigma=0.005, layers=['1', '3']" in str(noisify(mlp()))


@pytest.mark.parametrize(
    ("layer", "x"),
    [(nn.LSTM(4, 3), torch.zeros(2, 4)), (nn.Identity(), torch.zeros(2, dtype=torch.int64))],
    ids=["tuple", "integers"],
)
def test_output_that_is_not_a_floating_point_tensor_is_refused(layer, x):
    noisy = noisify(nn.Sequential(layer), layers="0")
    with pytest.raises(LayerSelectionError, match="'0', which returns"):
        noisy(x)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf")])
def test_sigma_out_of_range_is_named(sigma):
    with pytest.raises(ValueError, match="sigma: got"):
        noisify(mlp(), sigma=sigma)


@pytest.mark.parametrize("sigma", [True, "0.1", None, 1j])
def test_sigma_that_is_not_a_number_is_named(sigma):
    with pytest.raises(TypeError, match="sigma: got"):
        noisify(mlp(), sigma=sigma)


def test_negative_seed_is_named():
    with pytest.raises(ValueError, match="seed: got -1"):
        noisify(mlp(), seed=-1)


@pytest.mark.parametrize("seed", [True, 1.0, None])
def test_seed_that_is_not_an_integer_is_named(seed):
    with pytest.raises(TypeError, match="seed: got"):
        noisify(mlp(), seed=seed)


def test_model_that_is_not_a_module_is_named():
    with pytest.raises(TypeError, match="model: got int"):
        noisify(3)


@pytest.mark.parametrize("wrap", [lambda noisy: noisy, lambda noisy: noisy.model, nn.Sequential])
def test_noisy_network_is_refused(wrap):
    noisy = noisify(mlp())
    with pytest.raises(ValueError, match="already noisy"):
        noisify(wrap(noisy))


def test_refused_network_is_not_changed():
    model = mlp()
    with pytest.raises(LayerSelectionError):
        noisify(model, layers=["1", "absent"])
    assert not any(module._forward_hooks for module in model.modules())
