"""Noise that half precision would round away, in networks that were observed with another dtype or other noise."""

import copy

import pytest
import torch

from layerbits import noise_of, noise_off, noisify
from layerbits.networks.noise import resolution
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
HALF = INPUTS.bfloat16()
# Values of tanh in [1/2, 1) are 2^-8 apart in bfloat16, those in [1/4, 1/2) 2^-9: the least sigma is 8 times as large.
TOO_SMALL, LARGE = 0.015, 0.04
REFUSED = r"^sigma: got 0.015 for '1', near whose largest value the numbers of bfloat16 are 0.00\d+ apart, wanted at"

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # from torch's own code
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # torch._dynamo reads it
]


@pytest.fixture(autouse=True)
def _compile_anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def noisy(sigma):
    return noisify(tanh_mlp(4, 3, 3, 2), sigma=sigma, inputs=INPUTS)


def compiled(model):
    return torch.compile(model, backend="eager", fullgraph=True)


CALLS = {"uncompiled": lambda model: model, "compiled": compiled}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@calls
def test_network_that_changes_to_half_precision_after_noisify_is_refused_if_sigma_is_too_small(call):
    model = noisy(TOO_SMALL).bfloat16()
    for _ in range(2):
        with pytest.raises(ValueError, match=REFUSED):
            call(model)(HALF)
    call(noisy(LARGE).bfloat16())(HALF)


@calls
def test_sigma_that_is_too_small_under_autocast_is_refused(call):
    model = noisy(TOO_SMALL)
    call(model)(INPUTS)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match=REFUSED):
        call(model)(INPUTS)


@calls
def test_sigma_that_is_set_too_small_for_half_precision_is_refused(call):
    model = noisify(tanh_mlp(4, 3, 3, 2).bfloat16(), sigma=LARGE, inputs=HALF)
    call(model)(HALF)
    noise_of(model)["1"] = TOO_SMALL
    with pytest.raises(ValueError, match=REFUSED):
        call(model)(HALF)
    with noise_off(model):
        call(model)(HALF)


def test_copy_in_half_precision_is_refused_after_its_original_had_noise_that_is_large_enough():
    model = noisy(TOO_SMALL)
    model(INPUTS)
    with pytest.raises(ValueError, match=REFUSED):
        copy.deepcopy(model).bfloat16()(HALF)


def test_overflow_in_half_precision_is_left_to_the_gradient_scaler():
    model = noisy(LARGE).bfloat16()
    assert model(HALF * torch.inf).isnan().all()  # inf - inf in the first layer
    model(HALF)


def test_half_precision_is_checked_for_all_examples_of_vmap():
    model = noisify(torch.nn.Sequential(torch.nn.Identity()), sigma=1.0, layers="0", inputs=torch.zeros(1, 2))
    examples = torch.tensor([[0.5, 0.5], [1000.0, 0.5]], dtype=torch.float16)  # 1000 has neighbours 1/2 apart
    with pytest.raises(
        ValueError, match=r"^sigma: got 1 for '0', near whose largest value the numbers of float16 are 0.5 apart"
    ):
        torch.func.vmap(model, randomness="different")(examples)


def test_noise_is_checked_in_one_pass_only(monkeypatch):
    model, steps = noisy(LARGE).bfloat16(), []
    step = resolution.rounding_step
    monkeypatch.setattr(resolution, "rounding_step", lambda signal: steps.append(1) or step(signal))
    for _ in range(3):
        model(HALF)
    assert len(steps) == 2  # of two layers
