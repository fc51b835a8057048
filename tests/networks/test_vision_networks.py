"""Networks of torchvision and timm: layers, the noise of each, training, a measurement, and the removal of noise.

Forward hooks give the names of the activation functions in the order of their calls; the operators that torch's
dispatcher runs give their values. Neither uses layerbits.
"""

import collections
import copy
import functools
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import layerbits as lb
from tests.support.small_head import with_small_head
from tests.support.vision import import_torchvision

torchvision = import_torchvision()

# The heads that GoogLeNet runs in training alone have no noise.
pytestmark = pytest.mark.filterwarnings("ignore:layers. None leaves out aux")

CLASSES = 5
# Activation functions as operators, and the ends of the names of their modules.
OPERATORS = ("gelu", "hardsigmoid", "hardswish", "hardtanh", "relu", "sigmoid", "silu", "tanh")
NAMES = ("GELU", "Hardsigmoid", "Hardswish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Tanh")


def build(name):
    models, classes = torchvision.models, {"num_classes": CLASSES}
    if name.startswith("timm"):
        import timm

        if name == "timm vit":
            options = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
            return timm.create_model("vit_tiny_patch16_224", **options, **classes)
        return timm.create_model("mobilenetv3_small_050", **classes)
    if name in ("alexnet", "vgg11_bn"):
        return with_small_head(getattr(models, name), CLASSES)
    if name == "convnext":
        settings = [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 2)]
        return models.ConvNeXt(settings, stochastic_depth_prob=0.1, layer_scale=1.0, **classes)
    if name == "densenet":
        return models.DenseNet(growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16, **classes)
    if name == "maxvit":
        sizes = {"stem_channels": 8, "block_channels": [8, 16], "block_layers": [1, 2], "head_dim": 4}
        return models.MaxVit((32, 32), partition_size=4, stochastic_depth_prob=0.1, **sizes, **classes)
    if name == "swin":
        return models.SwinTransformer([4, 4], 12, [2, 2], [2, 2], [4, 4], **classes)
    if name == "vit":
        return models.VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, **classes)
    if name == "googlenet":
        classes |= {"init_weights": False}
    return getattr(models, name)(**classes)


NETWORKS = (
    "alexnet", "convnext", "densenet", "googlenet", "maxvit", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin", "timm mobilenet", "timm vit", "vgg11_bn", "vit",
)  # fmt: skip
# Networks that call activation functions in different ways; `pytest -m stress` tests the other networks too.
KINDS = ("densenet", "googlenet", "resnet18", "swin", "timm mobilenet", "vit")


def every(names):
    """Run a test with the argument `name` for these networks; `pytest -m stress` runs it for the others."""
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=() if name in names else pytest.mark.stress) for name in NETWORKS]
    )


every_network = every(set(NETWORKS) - {"shufflenet_v2_x0_5", "vgg11_bn"})  # other networks have blocks like theirs
every_kind, every_small_kind = every(KINDS), every(set(KINDS) - {"googlenet"})  # densenet calls functions too
SIZES = {"alexnet": 64}  # sizes of images in pixels; 32 if the pooling of the network allows it


@functools.cache
def built(name):
    torch.manual_seed(0)
    model, size = build(name).eval(), SIZES.get(name, 32)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():  # the last layer of a transformer; it would hide all noise
            nn.init.normal_(parameter, std=0.1)
    return model, torch.randn(4, 3, size, size)


@functools.cache
def built_with_noise(name):
    model, images = built(name)
    return lb.noisify(copy.deepcopy(model), sigma=0.1, inputs=images)


@pytest.fixture
def model(name, one_thread):
    return copy.deepcopy(built(name)[0])


@pytest.fixture
def noisy(name, one_thread):
    return copy.deepcopy(built_with_noise(name))


@pytest.fixture
def images(name):
    return built(name)[1].clone()


def is_activation(module):
    place = type(module).__module__
    return place in ("torch.nn.modules.activation", "timm.layers.activations") and type(module).__name__.endswith(NAMES)


def hook_signals(model, record):
    """Call a function with the name of each activation function and its output; call this before noise is added.

    `BasicConv2d` ends in `relu(self.bn(x))`; torchvision's DenseNet has a `relu` between its features and a mean.
    """
    for name, module in model.named_modules():
        if is_activation(module):
            module.register_forward_hook(lambda _, args, output, name=name: record(name, output.clone()))
        elif type(module).__name__ == "BasicConv2d":
            module.bn.register_forward_hook(
                lambda _, args, output, name=name: record(f"{name}.relu", output.clamp(min=0))
            )
        elif isinstance(module, torchvision.models.DenseNet):
            module.features.register_forward_hook(lambda _, args, output: record("relu", output.clamp(min=0)))


def hook_noisy_values(model, record):
    """Call a function with the name of each activation function and its noisy value; call this after noise is added.

    The classifier of DenseNet gets the noisy value, because the mean before it is over a single pixel.
    """
    for name, module in model.named_modules():
        if is_activation(module):
            module.register_forward_hook(lambda _, args, output, name=name: record(name, output.clone()))
        elif type(module).__name__ == "BasicConv2d":
            module.register_forward_hook(lambda _, args, output, name=name: record(f"{name}.relu", output.clone()))
        elif isinstance(module, torchvision.models.DenseNet):
            module.classifier.register_forward_hook(lambda _, args, output: record("relu", args[0]))


class Calls:
    """The calls of layers in a pass, by the names ``layer``, ``layer@2``, ..."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.values, self.counts = {}, collections.Counter()

    def __call__(self, name, tensor):
        self.counts[name] += 1
        self.values[name if self.counts[name] == 1 else f"{name}@{self.counts[name]}"] = tensor


def signals_of_pass(model, images):
    """Return the outputs of the activation functions of a network without noise, in the order of their calls."""
    calls, copied = Calls(), copy.deepcopy(model)
    hook_signals(copied, calls)
    with torch.no_grad():
        copied(images)
    return calls.values


class ActivationOperators(TorchDispatchMode):
    """Records the results of the operators that are activation functions."""

    def __init__(self):
        super().__init__()
        self.values = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__.removesuffix("_") in OPERATORS:
            self.values.append(output.flatten(1).clone())  # the network may change it in place
        return output


def output_of(model, images):
    with torch.no_grad():
        return model(images)


def gradients_of_step(model, images):
    """Take one step of gradient descent in training mode, and return the gradients."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    torch.manual_seed(1)
    output = model(images)
    logits = output if isinstance(output, torch.Tensor) else output.logits
    logits.square().sum().backward()
    optimizer.step()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


class TestVisionNetwork:
    @every_network
    def test_hidden_activation_functions_are_layers_in_the_order_of_the_data(self, model, noisy, images):
        names = list(signals_of_pass(model, images))
        assert list(lb.noise_of(noisy)) == names
        assert list(lb.layers(noisy, images).noisy) == names

    @every_network
    def test_each_layer_has_the_values_of_its_operator(self, model, noisy, images):
        with ActivationOperators() as operators:
            output_of(model, images)
        activations = lb.layer_activations(noisy, images)
        assert len(activations) == len(operators.values)
        assert all(map(torch.equal, activations.values(), operators.values))

    @every_small_kind
    def test_an_activation_function_that_returns_the_output_has_no_noise(self, model, images):
        names = list(signals_of_pass(model, images))
        classifier = lb.noisify(nn.Sequential(model, nn.Sigmoid()), sigma=0.1, inputs=images)
        assert list(lb.noise_of(classifier)) == [f"0.{name}" for name in names]

    @every_kind
    def test_each_call_has_its_own_noise(self, model, noisy, images):
        names = list(lb.noise_of(noisy))
        sigma = {name: 0.05 * (1 + index % 3) for index, name in enumerate(names)}
        signals, noisy_values = Calls(), Calls()
        hook_signals(model, signals)
        hook_noisy_values(lb.noisify(model, sigma=sigma, inputs=images), noisy_values)
        assert {name: noise.sigma for name, noise in lb.noise_of(model).items()} == sigma
        for training in (False, True):
            signals.clear()
            noisy_values.clear()
            torch.manual_seed(2)
            output_of(model.train(training), images)
            for name in names:
                noise = noisy_values.values[name].flatten() - signals.values[name].flatten()
                # The root mean square has a standard error of sigma / sqrt(2 n), and there are about 2000 comparisons.
                bound = 6 * sigma[name] / math.sqrt(2 * len(noise))
                assert abs(float(noise.square().mean().sqrt()) - sigma[name]) < bound, name

    @every_small_kind
    def test_network_trains_with_noise(self, model, noisy, images):
        plain = gradients_of_step(model, images)
        weights = {name: parameter.clone() for name, parameter in noisy.named_parameters()}
        gradients = gradients_of_step(noisy, images)
        assert gradients.keys() == plain.keys()
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        assert all(gradients[name].any() for name, gradient in plain.items() if gradient.any())
        assert not all(torch.equal(parameter, weights[name]) for name, parameter in noisy.named_parameters())

    @every_small_kind
    def test_measurement_uses_the_signals_of_the_network_and_does_not_change_it(self, model, images):
        signals = signals_of_pass(model, images)
        first, last = next(iter(signals)), list(signals)[-1]
        signal = signals[first].flatten(1)
        # With noise of a third of the distances, the information is between 0 and log 4.
        sigma = float(torch.pdist(signal).mean()) / 3
        lb.noisify(model, layers=[first, last], sigma={first: sigma, last: 0.1}, inputs=images)
        state, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
        table = lb.layer_information(model, images, layers=[first, last], draws=4)
        assert torch.equal(torch.get_rng_state(), generator)
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        rows = {row.layer: row for row in table if row.quantity == "I(X;T)"}
        assert list(rows) == [first, last]
        known = lb.mixture_information(signal, sigma)
        assert 0.1 < known.value < math.log(4) - 0.1
        assert rows[first].lower <= known.upper
        assert known.lower <= rows[first].upper
        assert 0 <= rows[last].lower <= rows[last].upper <= math.log(4) + 1e-12

    @every_small_kind
    def test_network_is_as_before_after_its_noise_is_removed(self, model, images):
        before, keys = output_of(model, images), list(model.state_dict())
        lb.noisify(model, sigma=0.1, inputs=images)
        assert list(model.state_dict()) == keys
        assert not torch.equal(output_of(model, images), before)
        with lb.noise_off(model):
            assert torch.equal(output_of(model, images), before)
        lb.remove_noise(model)
        assert torch.equal(output_of(model, images), before)
        assert list(model.state_dict()) == keys


def test_position_biases_of_swin_v2_have_no_noise():
    models = torchvision.models.swin_transformer
    options = {"block": models.SwinTransformerBlockV2, "downsample_layer": models.PatchMergingV2}
    model = models.SwinTransformer([4, 4], 12, [1, 1], [2, 2], [4, 4], num_classes=CLASSES, **options)
    with pytest.warns(UserWarning, match=r"1\.0\.attn\.cpb_mlp\.1, .*, each of which does not depend on the input"):
        lb.noisify(model, sigma=0.1, inputs=torch.randn(1, 3, 32, 32))
    assert list(lb.noise_of(model)) == ["features.1.0.mlp.1", "features.3.0.mlp.1"]
