"""Noisy networks in torch.func, mixed precision, averaged copies and saved states."""

import copy
import functools
import pickle
import subprocess
import sys

import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributed import checkpoint as distributed_checkpoint
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from layerbits import layer_information, layers, noise_of, noise_off, noisify
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
SIGMA = 0.3
# A transform may add the at most 6 terms of each product of matrices in another order, in 3 layers and their gradients:
# some 40 roundings of values below 10.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-5, atol=400 * torch.finfo(torch.float32).eps)


def mlp(seed=1):
    return tanh_mlp(4, 3, 3, 2, seed=seed)


def noisy_network(seed=1, sigma=SIGMA):
    return noisify(mlp(seed), sigma=sigma, inputs=INPUTS)


def noise_alone(sigma=SIGMA):
    """Return a network that only adds noise to its input."""
    return noisify(nn.Sequential(nn.Identity(), nn.Identity()), sigma=sigma, layers="0", inputs=INPUTS)


def output(model, seed=3):
    torch.manual_seed(seed)
    return model(INPUTS)


@pytest.mark.parametrize("dims", [(0, 2, 3, 1), (0, 1, 3, 2)], ids=["channels_last", "transposed"])
def test_noise_is_drawn_in_the_order_of_the_memory(dims):
    # Torch draws values of another order one by one, with other numbers.
    memory = torch.zeros(2, 5, 3, 4)
    signal = memory.permute(dims)
    noise = noisify(nn.Sequential(nn.Identity(), nn.Identity()), sigma=1.0, layers="0", inputs=signal)
    torch.manual_seed(0)
    values = noise(signal)
    torch.manual_seed(0)
    assert torch.equal(values, torch.randn(memory.shape).permute(dims))


def test_vmap_with_different_randomness_gives_each_example_its_noise():
    n = 4000
    torch.manual_seed(0)
    noise = torch.func.vmap(noise_alone(), randomness="different")(torch.zeros(n, 1, 4))[:, 0].double() / SIGMA
    correlation = noise[: n // 2].flatten() @ noise[n // 2 :].flatten() / (2 * n)
    assert abs(correlation) < stats.norm.isf(1e-6) / (2 * n) ** 0.5  # a mean of 2 n products of variance 1
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-4  # other seeds would fail once in 10,000


def test_vmap_with_the_same_randomness_gives_examples_the_same_noise():
    noise = torch.func.vmap(noise_alone(), randomness="same")(torch.zeros(5, 2, 4))
    assert torch.equal(noise, noise[:1].expand(5, 2, 4))
    assert noise.all()


def test_vmap_without_randomness_refuses_noise():
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(noisy_network(), randomness="error")(INPUTS[:, None])


def test_vmap_within_noise_off_needs_no_randomness():
    model = noisy_network()
    with noise_off(model):
        outputs = torch.func.vmap(model, randomness="error")(INPUTS[:, None])[:, 0]
        assert_close(outputs, model(INPUTS))


def test_functional_call_adds_the_noise_to_other_parameters():
    parameters = dict(mlp(seed=2).named_parameters())
    model = noisy_network()
    torch.manual_seed(3)
    assert torch.equal(torch.func.functional_call(model, parameters, INPUTS), output(noisy_network(seed=2)))


def test_functional_gradient_equals_the_gradient_of_a_backward_pass():
    model, parameters = noisy_network(), dict(mlp().named_parameters())

    def loss(values):
        return torch.func.functional_call(model, values, INPUTS).square().sum()

    torch.manual_seed(3)
    gradients = torch.func.grad(loss)(parameters)
    output(model).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert_close(gradients[name], parameter.grad)


def test_gradients_of_examples_have_the_noise_of_each_example():
    model, parameters = noisy_network(), dict(mlp().named_parameters())

    def loss(values, x):
        return torch.func.functional_call(model, values, x[None]).square().sum()

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="different")
    examples = gradients(parameters, INPUTS[:1].expand(2, 4))["4.weight"]
    assert not torch.equal(examples[0], examples[1])


def test_autocast_does_not_change_noise_of_float32_signals():
    expected = output(noise_alone())
    with torch.autocast("cpu", dtype=torch.bfloat16):  # acts on products of matrices, which this network lacks
        assert torch.equal(output(noise_alone()), expected)


def test_noisy_network_keeps_the_dtype_of_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert output(noisy_network()).dtype == torch.bfloat16


def test_noise_of_signals_in_half_precision_is_float32_noise_rounded_once():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Identity())
    nn.init.eye_(model[0].weight)
    noisify(model, sigma=SIGMA, layers="0", inputs=INPUTS)
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        noise = model(torch.zeros(6, 4))
    torch.manual_seed(3)
    assert torch.equal(noise, (SIGMA * torch.randn(6, 4)).to(torch.bfloat16))


def test_gradients_under_a_scaler_equal_those_without_scaler():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    scaled, plain = noisy_network(), noisy_network()
    optimizer = torch.optim.SGD(scaled.parameters(), lr=0.1)
    scaler.scale(output(scaled).square().sum()).backward()
    scaler.unscale_(optimizer)
    output(plain).square().sum().backward()
    for parameter, expected in zip(scaled.parameters(), plain.parameters(), strict=True):
        assert torch.equal(parameter.grad, expected.grad)  # a power of two scales without rounding


def train(model, steps=3):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(INPUTS).square().sum().backward()
        optimizer.step()


AVERAGES = {"mean": {}, "exponential": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}}


@pytest.mark.parametrize("options", AVERAGES.values(), ids=AVERAGES)
def test_averaged_copy_is_noisy_and_can_be_measured(options):
    model = noisy_network()
    averaged = AveragedModel(model, **options)
    train(model)
    averaged.update_parameters(model)
    assert torch.equal(output(averaged), output(noisify(copy.deepcopy(averaged), sigma=SIGMA, inputs=INPUTS)))
    assert layers(averaged, INPUTS).noisy == ("module.1", "module.3")
    information = layer_information(averaged, INPUTS, draws=4)
    assert {row.layer for row in information} == {"module.1", "module.3"}


def test_deep_copy_has_noise_of_its_own():
    model = noisy_network()
    copied = copy.deepcopy(model)
    noise_of(copied)["1"] = 0.7
    with noise_off(copied):
        assert torch.equal(output(model), output(noisy_network()))
    assert torch.equal(output(model), output(noisy_network()))
    assert torch.equal(output(copied), output(noisy_network(sigma={"1": 0.7, "3": SIGMA})))


UNPICKLE = """
import pickle, sys, torch
model = pickle.load(open(sys.argv[1], "rb"))
for _ in range(20):  # more hooks than noisify and its observing pass registered
    model[1].register_forward_hook(lambda module, args, output: None)
torch.manual_seed(3)
torch.save(model(torch.load(sys.argv[2])), sys.argv[3])
"""


def test_pickled_network_keeps_its_noise_under_later_hooks_of_a_new_process(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", 0)  # hooks of both processes get these numbers
    files = [tmp_path / name for name in ("model", "inputs", "output")]
    files[0].write_bytes(pickle.dumps(noisy_network()))
    torch.save(INPUTS, files[1])
    subprocess.run([sys.executable, "-c", UNPICKLE, *map(str, files)], check=True, timeout=300)
    assert torch.equal(torch.load(files[2]), output(noisy_network()))


def test_state_dict_has_the_keys_and_metadata_of_the_network_without_noise():
    state, expected = noisy_network().state_dict(), mlp().state_dict()
    assert list(state) == list(expected)
    assert state._metadata == expected._metadata


def test_networks_with_and_without_noise_load_the_state_dicts_of_each_other():
    plain, model = mlp(seed=5), noisy_network(seed=6)
    plain.load_state_dict(noisy_network().state_dict(), strict=True)
    model.load_state_dict(mlp().state_dict(), strict=True)
    assert torch.equal(plain(INPUTS), mlp()(INPUTS))
    assert torch.equal(output(model), output(noisy_network()))


def test_safetensors_save_and_load_noisy_networks(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_model(noisy_network(), str(tmp_path / "model.safetensors"))
    model, plain = noisy_network(seed=6), mlp(seed=6)
    for loaded in (model, plain):
        safetensors.load_model(loaded, str(tmp_path / "model.safetensors"), strict=True)
    assert torch.equal(output(model), output(noisy_network()))
    assert torch.equal(plain(INPUTS), mlp()(INPUTS))


@pytest.mark.filterwarnings("ignore")  # torch warns of checkpoints in one process
def test_training_resumed_from_a_distributed_checkpoint_has_the_same_noise(tmp_path):
    def state(model):
        return {"model": model.state_dict(), "generator": torch.get_rng_state()}

    save = functools.partial(distributed_checkpoint.save, checkpoint_id=tmp_path, no_dist=True)
    load = functools.partial(distributed_checkpoint.load, checkpoint_id=tmp_path, no_dist=True)
    model, resumed = noisy_network(), noisy_network(seed=6)
    torch.manual_seed(3)
    train(model)
    save(state(model))
    train(model)
    torch.manual_seed(4)
    loaded = state(resumed)
    load(loaded)
    resumed.load_state_dict(loaded["model"])
    torch.set_rng_state(loaded["generator"])
    train(resumed)
    for parameter, expected in zip(resumed.parameters(), model.parameters(), strict=True):
        assert torch.equal(parameter, expected)
