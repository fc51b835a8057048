"""The noise of ordinary passes: its distribution, precision, gradients, and its source, torch's own generators."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import LayerSelectionError, layer_information, layers, noise_off, noisify
from layerbits.networks.observation.signal_values import rounding_step
from tests.support.networks import noisy_identities, tanh_mlp

SIGMA = 0.3


def noise(*shape, sigma=SIGMA, dtype=torch.float64, seed=1):
    """Return the values of a noisy layer whose signal is zero."""
    model, zeros = noisy_identities(1, sigma), torch.zeros(*shape, dtype=dtype)
    torch.manual_seed(seed)
    return model(zeros)


def test_noise_is_gaussian_with_standard_deviation_sigma():
    assert stats.kstest(noise(100_000).numpy() / SIGMA, "norm").pvalue > 1e-4  # other seeds would fail once in 10,000


def test_noise_has_variance_sigma_squared():
    n = 100_000
    lower, upper = stats.chi2.interval(1 - 1e-6, df=n)  # the sum of n squared standard normals
    assert lower < float((noise(n) / SIGMA).square().sum()) < upper


def test_noise_of_different_units_is_independent():
    n, d = 20_000, 5
    bound = stats.norm.isf(1e-6) / n**0.5  # the sample correlation of independent normals is N(0, 1/n) to O(1/n)
    assert (torch.corrcoef(noise(n, d).T) - torch.eye(d)).abs().max() < bound


def test_noise_of_different_layers_is_independent():
    model, n, values = noisy_identities(2, SIGMA), 20_000, []
    model(torch.zeros(1))  # the first call observes the layers
    model[0].register_forward_hook(lambda module, args, output: values.append(output))
    torch.manual_seed(1)
    output = model(torch.zeros(n, dtype=torch.float64))
    pairs = torch.stack([values[0], output - values[0]])
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < stats.norm.isf(1e-6) / n**0.5


def test_noise_is_fresh_in_every_pass():
    model = noisy_identities(1, SIGMA)
    assert not torch.equal(model(torch.zeros(8)), model(torch.zeros(8)))


@pytest.mark.parametrize("training", [True, False])
def test_noise_is_on_in_training_and_in_evaluation(training):
    assert noisy_identities(1, SIGMA).train(training)(torch.zeros(8)).all()


def test_seed_of_torch_determines_the_noise():
    assert torch.equal(noise(8), noise(8))
    assert not torch.equal(noise(8, seed=2), noise(8))


def test_noise_is_that_of_randn_like():
    values = noise(8, seed=1)
    torch.manual_seed(1)
    assert torch.equal(values, SIGMA * torch.randn(8, dtype=torch.float64))


def test_noise_off_does_not_use_the_generator():
    model = noisy_identities(1, SIGMA)
    model(torch.zeros(8))
    before = torch.get_rng_state()
    with noise_off(model):
        model(torch.zeros(8))
    assert torch.equal(torch.get_rng_state(), before)


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [SIGMA, torch.full((3,), SIGMA), torch.eye(3)], ids=["float", "deviations", "matrix"])
def test_noise_keeps_the_dtype(sigma, dtype):
    assert noise(2, 3, sigma=sigma, dtype=dtype).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sigma", [SIGMA, torch.full((3,), SIGMA), torch.eye(3)], ids=["float", "deviations", "matrix"])
def test_half_precision_rounds_the_sum_of_float32_noise_once(sigma, dtype):
    model, signal = noisy_identities(1, sigma), torch.linspace(-2, 2, 300).reshape(100, 3).to(dtype)
    model(signal)
    torch.manual_seed(1)
    noisy = model(signal)
    torch.manual_seed(1)
    normal = torch.randn(100, 3)
    # Full matrices are the identity here, so the products are exact.
    sums = signal.float() + (normal if getattr(sigma, "ndim", 0) == 2 else SIGMA * normal)
    # torch.add(a, b, alpha=s) may round s b and the sum together, which moves the sum by an ulp of float32. Within an
    # ulp of the middle between two numbers of half precision, the sum may round to either.
    ulp = torch.finfo(torch.float32).eps * sums.abs()
    assert ((noisy == (sums - ulp).to(dtype)) | (noisy == (sums + ulp).to(dtype))).all()


@pytest.mark.parametrize(
    ("dtype", "value", "step"),
    [
        (torch.float16, 1.0, 2**-10),
        (torch.float16, -3.0, 2**-9),
        (torch.bfloat16, 1.0, 2**-7),
        (torch.bfloat16, 300.0, 2.0),
        (torch.bfloat16, 0.0, 0.0),
        (torch.float32, 300.0, 0.0),
        (torch.bfloat16, math.inf, math.inf),
        (torch.float16, math.nan, math.inf),
    ],
)
def test_rounding_step_is_the_spacing_of_numbers_at_the_largest_value(dtype, value, step):
    assert rounding_step(torch.tensor([0.0, value], dtype=dtype)) == step


@pytest.mark.parametrize(("sigma", "refused"), [(8 * 2**-9 - 1e-6, True), (8 * 2**-9, False)])
def test_sigma_below_eight_steps_of_half_precision_is_refused(sigma, refused):
    model, signal = nn.Sequential(nn.Identity(), nn.Identity()), torch.tensor([[0.5], [3.0]], dtype=torch.float16)
    if refused:
        with pytest.raises(
            ValueError, match=r"^sigma: got .* for '0', near whose largest value .* are 0.00195312 apart"
        ):
            noisify(model, sigma=sigma, layers="0", inputs=signal)
    else:
        noisify(model, sigma=sigma, layers="0", inputs=signal)


def test_infinite_values_in_half_precision_do_not_stop_the_observed_pass():
    class Mask(nn.Module):
        def forward(self, x):
            return x.masked_fill(torch.arange(3) > 1, -math.inf)

    model, x = nn.Sequential(Mask(), nn.Tanh(), nn.Linear(3, 1).bfloat16()), torch.eye(3).bfloat16()
    assert layers(noisify(model, sigma=SIGMA, inputs=x), x).noisy == ("1",)


# Gradients


def test_gradients_are_those_at_the_noisy_value():
    model = noisify(nn.Sequential(nn.Identity(), nn.Linear(4, 1).double()), sigma=SIGMA, layers="0")
    model(torch.zeros(1, 4).double())
    torch.manual_seed(1)
    model(torch.zeros(1, 4).double()).sum().backward()
    assert torch.equal(model[1].weight.grad, noise(1, 4))  # d(W t)/dW = t, which is the noise: nothing is rounded


@pytest.mark.parametrize("sigma", [SIGMA, torch.full((5,), SIGMA), torch.eye(5)], ids=["float", "deviations", "matrix"])
def test_noise_does_not_change_the_gradient(sigma):
    x = torch.zeros(2, 5, requires_grad=True)
    noisy_identities(1, sigma)(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(2, 5))


def test_weights_before_an_in_place_activation_function_have_gradients():
    model = noisify(nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)), sigma=SIGMA)
    model(torch.ones(2, 4)).sum().backward()
    assert model[0].weight.grad is not None


# Feature maps


def test_noise_is_added_at_every_pixel():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))
    images, outputs = torch.zeros(3, 1, 6, 6), []
    noisify(model, sigma=SIGMA, inputs=images)
    model[2].register_forward_pre_hook(lambda module, args: outputs.append(args[0].clone()))
    model(images)
    with noise_off(model):
        model(images)
    assert (outputs[0] - outputs[1]).count_nonzero() == 3 * 2 * 4 * 4


def test_noise_of_a_hidden_layer_changes_the_output():
    model, x = noisify(tanh_mlp(4, 3, 2), sigma=SIGMA), torch.ones(2, 4)
    assert not torch.equal(model(x), model(x))


# Bad sigma


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf")])
def test_sigma_out_of_range_is_named(sigma):
    with pytest.raises(ValueError, match="sigma: got"):
        noisify(tanh_mlp(4, 3, 2), sigma=sigma)


@pytest.mark.parametrize("sigma", [True, "0.1", None, 1j, [0.1, 0.1], torch.ones(3, dtype=torch.int64), {"*": "0.1"}])
def test_sigma_of_a_wrong_type_is_named(sigma):
    with pytest.raises(TypeError, match="sigma"):
        noisify(tanh_mlp(4, 3, 2), sigma=sigma)


@pytest.mark.parametrize("value", [torch.full((3,), 0.1), torch.tensor(0.1).expand(3, 3)], ids=["deviations", "matrix"])
@pytest.mark.parametrize("sigma", [lambda value: value, lambda value: {"1": value}], ids=["value", "mapping"])
def test_sigma_that_requires_gradients_is_named(sigma, value):
    with pytest.raises(ValueError, match=r"^sigma(\['1'\])?: got a tensor that requires gradients, wanted constants"):
        noisify(tanh_mlp(4, 3, 2), sigma=sigma(value.clone().requires_grad_()))


@pytest.mark.parametrize(
    "call",
    [noisify, lambda model, sigma: layer_information(model, torch.ones(2, 4), sigma=sigma)],
    ids=["noisify", "measurement"],
)
def test_empty_mapping_of_sigma_is_named(call):
    with pytest.raises(LayerSelectionError, match=r"^sigma: got an empty mapping, wanted a key for each noisy layer"):
        call(tanh_mlp(4, 3, 2), sigma={})
