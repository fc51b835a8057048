"""Gaussian dropout: its moments, derivatives, order of random numbers, copies, and refused arguments."""

import copy
import math
import pickle
import shutil

import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.utils.checkpoint import checkpoint

from layerbits import DropoutNoise, RelativeSigma, noise_of, noise_off, noisify, propagate
from tests.support.networks import noisy_identities, tanh_mlp
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code

STANDARD_ERRORS = 5  # a correct build fails one comparison in 1.7 million, and seeds are fixed

NOISE = DropoutNoise(0.5, 0.3)
INPUTS = normal_tensor(6, 4, seed=1).float()
# A few roundings of values below 10, of a handful of operations in another order.
ROUNDING = 100 * torch.finfo(torch.float32).eps


def noisy(sigma=NOISE):
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=sigma, inputs=INPUTS)


def output(model, inputs=INPUTS, seed=3):
    torch.manual_seed(seed)
    return model(inputs)


def gradients(model, run=None):
    """Return the gradients of the squares of an output; `run(model, inputs)` is the pass."""
    model.zero_grad()
    torch.manual_seed(3)
    (run or type(model).__call__)(model, INPUTS).square().sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


# The distribution


def assert_moments(values, signal, alpha=NOISE.alpha, sigma=NOISE.sigma):
    """Compare means and variances of independent values (n, d) ~ N(signal, alpha^2 signal^2 + sigma^2).

    Their standard errors are sqrt(v / n) and v sqrt(2 / n).
    """
    variance, n = (alpha * signal) ** 2 + sigma**2, len(values)
    assert ((values.mean(0) - signal).abs() <= STANDARD_ERRORS * (variance / n).sqrt()).all()
    assert ((values.var(0) - variance).abs() <= STANDARD_ERRORS * variance * math.sqrt(2 / n)).all()


SIGNAL = torch.tensor([0.0, -0.4, 1.0, 3.0], dtype=torch.float64)


def test_noise_of_an_ordinary_pass_has_the_mean_and_variance_of_each_unit():
    values = output(noisy_identities(1, NOISE), SIGNAL.expand(40_000, 4))
    assert_moments(values, SIGNAL)
    standardized = (values - SIGNAL) / (0.25 * SIGNAL**2 + 0.09).sqrt()
    assert stats.kstest(standardized.flatten().numpy(), "norm").pvalue > 1e-4  # other seeds would fail once in 10,000


def test_noise_of_propagation_has_the_mean_and_variance_of_each_unit():
    signals = propagate(noisy_identities(2, {"0": NOISE, "1": 1.0}), SIGNAL.expand(100, 4), draws=400)["1"]
    assert_moments(signals.flatten(0, 1), SIGNAL)


def test_recorded_noise_does_not_depend_on_the_rows_of_a_pass():
    model, inputs = noisy_identities(2, NOISE), normal_tensor(7, 4)
    assert torch.equal(propagate(model, inputs, draws=5)["1"], propagate(model, inputs, draws=5, chunk=3)["1"])


def test_values_of_e_are_generated_before_those_of_z():
    signal = normal_tensor(6, 4)
    torch.manual_seed(3)
    factors, normal = torch.randn_like(signal), torch.randn_like(signal)
    noisy_value = signal * (1 + 0.5 * factors) + 0.3 * normal
    assert torch.allclose(output(noisy_identities(1, NOISE), signal), noisy_value, rtol=1e-14, atol=1e-14)


def test_layers_may_have_different_noise():
    model = noisy({"1": NOISE, "3": 0.2})
    assert dict(noise_of(model)) == {"1": NOISE, "3": noise_of(model)["3"]}
    assert str(noise_of(model)) == "{'1': DropoutNoise(alpha=0.5, sigma=0.3), '3': GaussianNoise(sigma=0.2)}"
    noise_of(model)["1"] = 0.7
    noise_of(model)["3"] = NOISE
    assert torch.equal(output(model), output(noisy({"1": 0.7, "3": NOISE})))


def test_noise_is_off_in_a_block():
    model = noisy()
    with noise_off(model):
        assert torch.equal(model(INPUTS), tanh_mlp(4, 3, 3, 2)(INPUTS))


@pytest.mark.filterwarnings("ignore:.*nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_noise_is_added_to_nested_tensors_of_rows(layout):
    rows = [torch.ones(2, 3), torch.ones(4, 3)]
    values = output(noisy_identities(1, NOISE), torch.nested.nested_tensor(rows, layout=layout))
    assert [tuple(value.shape) for value in values.unbind()] == [(2, 3), (4, 3)]
    assert not torch.equal(values.unbind()[0], rows[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once_from_float32(dtype):
    signal = normal_tensor(50, 4, seed=2).to(dtype)
    assert torch.equal(
        output(noisy_identities(1, NOISE), signal), output(noisy_identities(1, NOISE), signal.float()).to(dtype)
    )


def test_a_sigma_below_eight_units_in_the_last_place_is_refused():
    signal = torch.full((2, 3), 1.5, dtype=torch.bfloat16)  # numbers from 1 to 2 are 2^-7 apart
    noisy_identities(1, DropoutNoise(0.5, 8 * 2**-7), inputs=signal)
    with pytest.raises(ValueError, match=r"sigma: got 0.06 for '0', .* wanted at least 0.0625"):
        noisy_identities(1, DropoutNoise(0.5, 0.06), inputs=signal)


# Derivatives and transforms


def test_first_and_second_derivatives_are_those_of_the_formula():
    model = noisify(nn.Sequential(nn.Tanh(), nn.Tanh()), sigma=NOISE, layers="*")
    x = normal_tensor(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: output(model, x), x)
    assert torch.autograd.gradgradcheck(lambda x: output(model, x), x)


def test_derivative_is_the_factor_of_the_signal():
    signal = normal_tensor(6, 4).requires_grad_()
    values = output(noisy_identities(1, NOISE), signal)
    torch.manual_seed(3)
    factors = torch.randn_like(signal)
    assert torch.allclose(torch.autograd.grad(values.sum(), signal)[0], 1 + 0.5 * factors, rtol=1e-14)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradients_of_a_checkpointed_network_are_the_same_to_the_bit(reentrant):
    def run(model, x):
        return checkpoint(model, x.clone().requires_grad_(), use_reentrant=reentrant)

    for gradient, expected in zip(gradients(noisy(), run), gradients(noisy()), strict=True):
        assert torch.equal(gradient, expected)


def test_vmap_gives_each_example_its_noise():
    n = 20_000
    torch.manual_seed(0)
    model = noisy_identities(1, NOISE, inputs=SIGNAL[None])
    values = torch.func.vmap(model, randomness="different")(SIGNAL.expand(n, 1, 4))[:, 0]
    assert_moments(values, SIGNAL)


def test_functional_gradient_equals_the_gradient_of_a_backward_pass():
    model = noisy()

    def loss(values):
        return torch.func.functional_call(model, values, INPUTS).square().sum()

    torch.manual_seed(3)
    functional = torch.func.grad(loss)(dict(model.named_parameters()))
    for gradient, expected in zip(functional.values(), gradients(model), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=ROUNDING, atol=ROUNDING)


# Compiled code


class Checkpointed(nn.Module):
    """Runs a network in a checkpoint, or without."""

    def __init__(self, has_checkpoint):
        super().__init__()
        self.inner, self.has_checkpoint = tanh_mlp(4, 3, 3, 2), has_checkpoint

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False) if self.has_checkpoint else self.inner(x)


needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
backends = pytest.mark.parametrize(
    "backend", ["eager", "aot_eager", pytest.param("inductor", marks=[needs_compiler, pytest.mark.stress])]
)


@pytest.fixture
def compiler():
    torch.compiler.reset()
    yield lambda function, backend: torch.compile(function, fullgraph=True, backend=backend)
    torch.compiler.reset()


def assert_close(tensors, expected):
    for tensor, other in zip(tensors, expected, strict=True):
        torch.testing.assert_close(tensor, other, rtol=ROUNDING, atol=ROUNDING)


@backends
def test_compiled_passes_and_gradients_equal_uncompiled_ones(compiler, backend):
    model = noisy()
    compiled = compiler(model, backend)
    assert_close(output(compiled), output(noisy()))
    assert_close(gradients(model, lambda _, x: compiled(x)), gradients(noisy()))


def test_gradients_of_a_checkpoint_in_compiled_code_equal_those_without(compiler):
    models = [noisify(Checkpointed(parts), sigma=NOISE, inputs=INPUTS) for parts in (True, False)]
    compiled = compiler(models[0], "aot_eager")
    assert_close(gradients(models[0], lambda _, x: compiled(x)), gradients(models[1]))


@backends
def test_changes_take_effect_after_a_compiled_call(compiler, backend):
    compiled = compiler(noisy(), backend)
    compiled(INPUTS)
    with noise_off(compiled):
        assert_close(compiled(INPUTS), tanh_mlp(4, 3, 3, 2)(INPUTS))
    noise_of(compiled)["1"] = DropoutNoise(0.1, 0.2)
    assert_close(output(compiled), output(noisy({"1": DropoutNoise(0.1, 0.2), "3": NOISE})))


# The value


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_have_the_same_noise(make_copy):
    assert make_copy(NOISE) == NOISE
    assert torch.equal(output(make_copy(noisy())), output(noisy()))


def test_divergence_is_that_of_the_gaussians():
    """The rows differ by 0 to 10; for the small differences, subtracting the variances would cancel."""
    signals = normal_tensor(5, 4)
    others = signals + torch.tensor([0.0, 1e-6, 1e-2, 1.0, 10.0], dtype=torch.float64)[:, None] * normal_tensor(
        5, 4, seed=1
    )
    gaussians = [Normal(values, (0.25 * values**2 + 0.09).sqrt()) for values in (signals, others)]
    expected = kl_divergence(*gaussians).sum(1)
    # kl_divergence subtracts ratios of variances near 1: four units round by 4 eps each.
    torch.testing.assert_close(NOISE.divergence(signals, others), expected, rtol=1e-12, atol=16 * 2.3e-16)


def test_noise_is_a_value():
    assert DropoutNoise(1, 2) == DropoutNoise(1.0, 2.0) != DropoutNoise(1.0, 3.0)
    assert repr(DropoutNoise(1, 2)) == "DropoutNoise(alpha=1.0, sigma=2.0)"
    assert len({DropoutNoise(1, 2), DropoutNoise(1.0, 2.0)}) == 1


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "1", None, True, torch.tensor(1.0), RelativeSigma(0.1)])
def test_a_value_that_is_not_a_positive_number_is_refused_by_name(value):
    with pytest.raises((TypeError, ValueError), match=r"^alpha: got .*wanted a positive"):
        DropoutNoise(value, 1.0)
    with pytest.raises((TypeError, ValueError), match=r"^sigma: got .*wanted a positive"):
        DropoutNoise(1.0, value)


@pytest.mark.parametrize("sigma", [1e-38, 1e38])
def test_a_sigma_below_or_above_the_accepted_range_is_refused(sigma):
    with pytest.raises(ValueError, match=r"^sigma: got a standard deviation of 1e[+-]38, wanted one from 1e-37 to"):
        DropoutNoise(1.0, sigma)


def test_a_zero_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="alpha: got 0, wanted a positive"):
        DropoutNoise(0, 1.0)
    with pytest.raises(ValueError, match=r"sigma: got 0, .*signal is 0 would have no noise"):
        DropoutNoise(1.0, 0)
