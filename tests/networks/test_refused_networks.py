"""Networks that layerbits cannot run or observe are refused, by name and with a remedy; noise of parts of a network."""

import pytest
import torch
from torch import nn

from layerbits import information_between_layers, layer_information, layers, noise_of, noisify, propagate
from tests.support.networks import tanh_mlp


def mlp():
    return tanh_mlp(4, 3, 2)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")
def test_torchscript_module_is_refused():
    with pytest.raises(TypeError, match=r"^model: got RecursiveScriptModule, a TorchScript module, wanted the Python"):
        noisify(torch.jit.script(mlp()), sigma=0.1)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")
def test_torchscript_module_inside_is_refused_with_its_place():
    with pytest.raises(TypeError, match=r"^model: got RecursiveScriptModule at '0', a TorchScript module"):
        noisify(nn.Sequential(torch.jit.script(mlp())), sigma=0.1)


def test_exported_network_is_refused_with_a_remedy():
    exported = torch.export.export(mlp(), (torch.randn(2, 4),)).module()
    with pytest.raises(TypeError, match=r"^model: got GraphModule from torch\.export, .*the network that was exported"):
        layers(exported, torch.randn(2, 4))


def test_weights_without_values_are_refused_by_name():
    with pytest.raises(ValueError, match=r"^model: got '0\.weight' on the meta device, wanted values"):
        layers(mlp().to("meta"), torch.randn(2, 4))


@pytest.mark.parametrize("base", ["FSDPModule", "FullyShardedDataParallel"])
def test_sharded_network_is_refused_with_a_remedy(base):
    sharded = type(
        "ShardedLinear", (type(base, (nn.Linear,), {}),), {}
    )  # sharded classes are recognized by these names
    with pytest.raises(TypeError, match=r"ShardedLinear at '0', which is sharded.*noisify\(model, inputs=batch"):
        noisify(nn.Sequential(sharded(4, 3), nn.Tanh()), sigma=0.1)


@pytest.mark.parametrize("module", [nn.LazyLinear(3), nn.LazyBatchNorm1d(affine=False)], ids=["parameter", "buffer"])
def test_tensor_without_a_shape_is_refused_with_its_name(module):
    with pytest.raises(ValueError, match=r"^model: got '0\.\w+' without a shape, .*; run the network once before"):
        noisify(nn.Sequential(module), sigma=0.1)


@pytest.mark.parametrize("call", [layers, lambda model, x: noisify(model, sigma=0.1)], ids=["layers", "noisify"])
@pytest.mark.parametrize("model", [3, None, len, nn.Tanh, torch.zeros(2)], ids=lambda model: type(model).__name__)
def test_model_that_is_no_network_is_named(model, call):
    with pytest.raises(TypeError, match=f"^model: got {type(model).__name__}, wanted a torch.nn.Module"):
        call(model, torch.zeros(2, 4))


def test_network_that_contains_one_without_observed_layers_is_refused():
    model = nn.Sequential(nn.Flatten(), noisify(mlp(), sigma=0.1))
    with pytest.raises(ValueError, match=r"contains one whose layers have not been observed.*run that inner"):
        layers(model, torch.zeros(3, 2, 2))
    model(torch.zeros(3, 2, 2))
    assert layers(model, torch.zeros(3, 2, 2)).noisy == ("1.1",)


def network_with_a_part():
    """Return a network whose noise waits for the first call, and a part of it."""
    part = mlp()
    return noisify(nn.Sequential(nn.Flatten(), part, nn.Tanh(), nn.Linear(2, 2)), sigma=0.1), part


@pytest.mark.parametrize("inputs", [torch.zeros(2, 4), None], ids=["observed part", "waiting part"])
@pytest.mark.parametrize(
    "call", [lambda model, x: model(x), layers, propagate], ids=["first call", "layers", "propagate"]
)
def test_noise_of_a_part_is_not_replaced_by_older_noise_of_the_whole(call, inputs):
    model, part = network_with_a_part()
    noisify(part, sigma=0.2, inputs=inputs)
    with pytest.raises(
        ValueError, match=r"^model: got (noise of '1' after the noise of the whole|a network that cont)"
    ):
        call(model, torch.zeros(3, 2, 2))
    part(torch.zeros(2, 4))
    assert noise_of(part)["1"].sigma == 0.2


def test_noise_of_the_whole_may_be_installed_before_that_of_a_part():
    model, part = network_with_a_part()
    model(torch.zeros(3, 2, 2))
    noisify(part, sigma=0.2, inputs=torch.zeros(2, 4))
    model(torch.zeros(3, 2, 2))
    assert {name: noise.sigma for name, noise in noise_of(model).items()} == {"1.1": 0.2, "2": 0.1}


def test_noise_of_a_part_is_replaced_by_newer_noise_of_the_whole():
    part = noisify(mlp(), sigma=0.2, inputs=torch.zeros(2, 4))
    model = noisify(nn.Sequential(nn.Flatten(), part, nn.Tanh(), nn.Linear(2, 2)), sigma=0.1)
    model(torch.zeros(3, 2, 2))
    assert {name: noise.sigma for name, noise in noise_of(model).items()} == {"1.1": 0.1, "2": 0.1}


TRANSFORMS = {
    "vmap": lambda model: torch.func.vmap(model, randomness="different")(torch.ones(3, 2, 4)),
    "grad": lambda model: torch.func.grad(lambda x: model(x).sum())(torch.ones(2, 4)),
    "jvp": lambda model: torch.func.jvp(model, (torch.ones(2, 4),), (torch.ones(2, 4),)),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")  # torch calls it in its first forward derivative
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_first_call_within_a_function_transform_is_refused_with_a_remedy(transform):
    model = noisify(mlp(), sigma=0.1)
    with pytest.raises(ValueError, match=r"^model: got a first call within a torch.func transform, .* inputs= to"):
        transform(model)
    model(torch.ones(2, 4))
    transform(model)


@pytest.mark.parametrize("make", [lambda: nn.ModuleList([nn.Tanh()]), lambda: nn.ModuleDict({"0": nn.Tanh()})])
@pytest.mark.parametrize("call", [layers, layer_information, lambda model, x: noisify(model, sigma=0.1)])
def test_modules_without_forward_are_refused_by_name(call, make):
    with pytest.raises(TypeError, match=r"^model: got Module(List|Dict), which has no forward, wanted a network"):
        call(make(), torch.randn(2, 4))


def test_network_whose_forward_is_an_attribute_is_accepted():
    model = nn.Module()
    model.forward = torch.tanh
    assert layers(model, torch.randn(2, 4)).names == ("tanh",)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")
@pytest.mark.parametrize(
    "measure", [layer_information, propagate, lambda model, x: information_between_layers(model, x, "1", "2")]
)
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: torch.jit.script(mlp()), TypeError, "a TorchScript module"),
        (lambda: torch.export.export(mlp(), (torch.randn(2, 4),)).module(), TypeError, r"from torch\.export"),
        (lambda: mlp().to("meta"), ValueError, "on the meta device"),
    ],
    ids=["script", "export", "meta"],
)
def test_kind_of_a_network_is_checked_before_its_noise(make, error, message, measure):
    with pytest.raises(error, match=f"^model: got .*{message}"):
        measure(make(), torch.randn(2, 4))
