"""Shadows share the parameters of a network, and copy its modules, buffers and attributes; copies of arguments."""

import collections
import functools
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from layerbits import layers, noisify, propagate
from layerbits.networks.execution.shadow import copy_arguments, shadow, unwrapped
from tests.support.networks import tanh_mlp

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def mlp():
    return tanh_mlp(4, 3, 2)


class Scaled(nn.Module):
    """Multiplies tanh by its attribute `scale`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() * self.scale


class Holder(nn.Module):
    """Calls a module through an attribute."""

    def __init__(self, hold, call) -> None:
        super().__init__()
        self.act, self.call = Scaled(), call
        self.held = hold(self.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.held, x)


def test_parameters_are_shared():
    model = mlp()
    copied = shadow(model)
    model[0].weight.data.fill_(2.0)
    assert list(map(id, copied.parameters())) == list(map(id, model.parameters()))
    assert torch.equal(copied(INPUTS), model(INPUTS))


def test_buffers_are_cloned():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Tanh())
    copied = shadow(model).train()
    copied(INPUTS + 5)
    assert int(model[0].num_batches_tracked) == 0
    assert torch.equal(model[0].running_mean, torch.zeros(4))


def test_buffer_that_two_modules_share_stays_shared():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    model[1].running_mean = model[0].running_mean
    copied = shadow(model)
    assert copied[0].running_mean is copied[1].running_mean is not model[0].running_mean


def test_tensors_that_are_no_buffers_are_cloned():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.total, self.totals, self.act = torch.zeros(1), [torch.zeros(1)], nn.Tanh()

        def forward(self, x: Tensor) -> Tensor:
            self.total += 1
            self.totals[0] += 1
            return self.act(x)

    model = Counting()
    layers(model, INPUTS)
    assert float(model.total) == float(model.totals[0]) == 0


def test_attributes_that_a_pass_sets_are_not_set_in_the_network():
    class Storing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.hidden, self.history, self.by_name = nn.Tanh(), None, [], {}

        def forward(self, x: Tensor) -> Tensor:
            self.hidden = self.act(x)
            self.history.append(self.hidden)
            self.by_name["act"] = self.hidden
            return self.hidden

    model = Storing()
    layers(model, INPUTS)
    assert (model.hidden, model.history, model.by_name) == (None, [], {})


def test_training_mode_of_each_module_stays():
    model = mlp()
    model[1].eval()
    copied = shadow(model)
    assert [module.training for module in model] == [True, False, True]
    assert not any(module.training for module in copied.modules())


def test_hooks_of_the_network_run_in_a_shadow_and_hooks_of_the_shadow_do_not_run_in_the_network():
    model = mlp()
    model[0].register_forward_hook(lambda module, args, output: output + 1)
    copied = shadow(model)
    assert torch.equal(copied(INPUTS), model(INPUTS))
    copied[0].register_forward_hook(lambda module, args, output: output * 0)
    assert not torch.equal(copied(INPUTS), model(INPUTS))
    assert len(model[0]._forward_hooks) == 1


def call_itself(held, x):
    return held(x)


def call_first(held, x):
    return held[0](x)


def call_a(held, x):
    return held["a"](x)


WAYS = {
    "module": (lambda act: act, call_itself),
    "method": (lambda act: act.forward, call_itself),
    "partial": (functools.partial, call_itself),
    "argument of a partial": (lambda act: functools.partial(call_itself, act), call_itself),
    "keyword of a partial": (lambda act: functools.partial(call_itself, held=act), lambda held, x: held(x=x)),
    "list": (lambda act: [act], call_first),
    "tuple": (lambda act: (act,), call_first),
    "set": (lambda act: {act}, lambda held, x: next(iter(held))(x)),
    "deque": (lambda act: collections.deque([act]), call_first),
    "dict": (lambda act: {"a": act}, call_a),
    "OrderedDict": (lambda act: collections.OrderedDict(a=act), call_a),
    "defaultdict": (lambda act: collections.defaultdict(list, a=act), call_a),
    "nested": (lambda act: {"a": ([act],)}, lambda held, x: held["a"][0][0](x)),
}


@pytest.mark.parametrize(("hold", "call"), WAYS.values(), ids=WAYS.keys())
def test_module_behind_an_attribute_is_that_of_the_shadow(hold, call):
    model = Holder(hold, call)
    copied = shadow(model)
    copied.act.scale = 2.0
    assert torch.equal(copied(INPUTS), 2 * INPUTS.tanh())
    assert torch.equal(model(INPUTS), INPUTS.tanh())


def test_default_of_a_defaultdict_stays():
    model = Holder(lambda act: collections.defaultdict(list), call_a)
    assert shadow(model).held["absent"] == []


def test_noise_is_added_behind_a_list_of_modules():
    model = noisify(Holder(lambda act: [act], call_first), sigma=0.5, layers="act")
    assert list(propagate(model, INPUTS, draws=1)) == ["act"]


def test_method_of_a_module_is_bound_to_the_shadow():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Tanh()
            self.step = self.inner

        def inner(self, x: Tensor) -> Tensor:
            return self.act(x)

        def forward(self, x: Tensor) -> Tensor:
            return self.step(x)

    model = noisify(Outer(), sigma=0.5, layers="act", inputs=INPUTS)
    assert model.step.__self__ is model
    assert layers(model, INPUTS).noisy == ("act",)


def test_module_that_two_parents_share_stays_shared():
    act = nn.Tanh()
    copied = shadow(nn.Sequential(nn.Sequential(act), nn.Sequential(act)))
    assert copied[0][0] is copied[1][0] is not act


def test_module_that_refers_to_its_parent_is_copied():
    model = mlp()
    model[0].parent = [model]
    copied = shadow(model)
    assert copied[0].parent[0] is copied


@pytest.mark.parametrize("normalize", ["weight_norm", "spectral_norm"])
def test_normalized_weights_are_those_of_the_network(normalize):
    model = mlp().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates the old forms, and networks still have them
        getattr(nn.utils, normalize)(model[0])
    getattr(parametrizations, normalize)(model[2])
    expected = model(INPUTS)
    assert torch.equal(shadow(model)(INPUTS), expected)
    assert torch.equal(model(INPUTS), expected)


def test_weight_that_a_hook_computes_is_not_replaced_in_the_network():
    model = mlp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(model[0])
    weight = model[0].weight
    layers(model, INPUTS)
    assert model[0].weight is weight


def test_lstm_has_the_same_output():
    model = nn.LSTM(4, 3, batch_first=True)
    assert torch.equal(shadow(model)(INPUTS[:, None])[0], model(INPUTS[:, None])[0])


def test_compiled_module_inside_runs_uncompiled():
    model = mlp()
    expected = model(INPUTS)
    model[1] = torch.compile(model[1], backend="eager")
    assert_runs_uncompiled(model, "1._orig_mod", expected)


def test_module_that_is_compiled_in_place_runs_uncompiled():
    model = mlp()
    expected = model(INPUTS)
    model[1].compile(backend="eager")
    assert_runs_uncompiled(model, "1", expected)


def assert_runs_uncompiled(model, name, expected):
    copied, calls = shadow(model), []
    copied.get_submodule(name).register_forward_hook(lambda *args: calls.append(torch.compiler.is_compiling()))
    assert torch.equal(copied(INPUTS), expected)
    assert calls == [False]


def test_unwrapped_returns_the_network_inside_all_wrappers():
    model = mlp()
    assert unwrapped(nn.DataParallel(torch.compile(model, backend="eager"))) is model


# Arguments


def test_arguments_are_copied_with_their_contents():
    class Cache:
        def __init__(self) -> None:
            self.keys = [torch.zeros(2)]

    x, cache = torch.zeros(2, requires_grad=True), Cache()
    (copied_x, other), named = copy_arguments(((2 * x, [cache]), {"x": x, "f": len, "n": 3}))
    assert not copied_x.requires_grad
    assert other[0] is not cache
    other[0].keys[0] += 1
    named["x"] += 1
    assert not cache.keys[0].any()
    assert not x.any()
    assert (named["f"], named["n"]) == (len, 3)


def test_argument_that_refuses_copies_is_shared():
    class Stream:
        def __init__(self) -> None:
            self.position = 0

        def __copy__(self):
            raise TypeError("no copies")

    stream = Stream()
    assert copy_arguments([stream])[0] is stream
