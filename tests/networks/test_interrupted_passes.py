"""After a KeyboardInterrupt in a pass of a noisy network, no later pass has the noise of that pass."""

import functools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.overrides import _len_torch_function_stack

from layerbits import LayerSelectionError, layer_information, noise_off, noisify, remove_noise
from layerbits.networks.noise import function_hooks

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # from torch's own code
    pytest.mark.filterwarnings("ignore:Dynamo"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
REFUSED = r"\Amodel: got a noisy Network whose last pass was interrupted, .* run that Network once without"


class Network(nn.Module):
    """Calls tanh as a function, and a function that may raise a KeyboardInterrupt."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.tanh, self.then = nn.Linear(4, 4), nn.Linear(4, 2), torch.tanh, torch.clone

    def forward(self, x):
        return self.last(self.then(self.tanh(self.first(x))))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.tanh(self.linear(x))


def stop(_):
    raise KeyboardInterrupt


def interrupted():
    """Return a noisy network whose last pass was interrupted, which leaves a mode on torch's stack."""
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    interrupt(model)
    return model


def interrupt(model):
    model.then = stop
    with pytest.raises(KeyboardInterrupt):
        model(INPUTS)
    model.then = torch.clone
    assert _len_torch_function_stack() == 1


def output(function):
    torch.manual_seed(3)
    return function(INPUTS)


@pytest.fixture(autouse=True)
def _compile_anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    while _len_torch_function_stack():  # of a test that failed
        torch.overrides._pop_mode()


def test_removed_noise_does_not_come_back():
    assert torch.equal(output(remove_noise(interrupted())), output(Network()))
    assert _len_torch_function_stack() == 0


@pytest.mark.parametrize("inputs", [INPUTS, None], ids=["inputs", "first call"])
def test_new_noise_replaces_that_of_the_interrupted_pass(inputs):
    model = noisify(interrupted(), sigma=0.1, inputs=inputs)
    assert torch.equal(output(model), output(noisify(Network(), sigma=0.1, inputs=INPUTS)))


@pytest.mark.parametrize("sigma", [None, 0.1])
def test_noise_that_another_thread_changes_does_not_come_back(sigma):
    model = interrupted()
    change = remove_noise if sigma is None else functools.partial(noisify, sigma=sigma, inputs=INPUTS)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(change, model).result()
    fresh = Network() if sigma is None else noisify(Network(), sigma=sigma, inputs=INPUTS)
    assert torch.equal(output(model), output(fresh))


def test_interrupt_at_the_end_of_a_module_leaves_functions_usable(monkeypatch):
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    with monkeypatch.context() as patch:
        patch.setattr(function_hooks._FunctionMode, "__exit__", lambda *_: stop(_))
        with pytest.raises(KeyboardInterrupt):
            model(INPUTS)
    assert torch.equal(torch.tanh(INPUTS), INPUTS.tanh())
    assert torch.equal(output(model), output(noisify(Network(), sigma=0.5, inputs=INPUTS)))
    assert _len_torch_function_stack() == 0


def test_interrupt_of_a_lost_network_does_not_stop_others():
    interrupted()
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    assert _len_torch_function_stack() == 0
    assert torch.equal(output(torch.compile(model, backend="eager", fullgraph=True)), output(model))


class Catching(nn.Module):
    """Catches the interrupt of its part, and calls a function."""

    def __init__(self, kind):
        super().__init__()
        self.part, self.kind = Network(), kind

    def forward(self, x):
        try:
            y = self.part(x)
        except self.kind:
            y = x[:, :2]
        return torch.relu(y) + 1


def test_interrupt_that_forward_catches_is_refused():
    model = noisify(Catching(KeyboardInterrupt), sigma=0.5, layers=["relu", "part.tanh"], inputs=INPUTS)
    model.part.then = stop
    with pytest.raises(LayerSelectionError, match="got a forward of Catching that caught a KeyboardInterrupt"):
        model(INPUTS)


def test_noise_of_other_layers_can_be_turned_off():
    model = noisify(interrupted(), sigma=0.5, layers="first", inputs=INPUTS)
    with noise_off(model):
        assert torch.equal(output(model), output(Network()))


def test_compiled_network_without_noise_gets_none():
    model, plain = interrupted(), Plain()
    compiled = torch.compile(plain, backend="eager")
    for _ in range(2):
        assert torch.equal(output(compiled), plain(INPUTS))
    remove_noise(model)
    assert torch.equal(output(compiled), plain(INPUTS))


def test_one_graph_without_noise_is_refused_until_the_noisy_network_has_run():
    model = interrupted()
    compiled = torch.compile(Plain(), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=REFUSED):
        compiled(INPUTS)
    model(INPUTS)
    assert torch.equal(compiled(INPUTS), compiled(INPUTS))


@pytest.mark.parametrize("fullgraph", [False, True])
def test_compiled_network_has_its_own_noise_after_an_interrupted_pass(fullgraph):
    expected = output(noisify(Network(), sigma=0.5, inputs=INPUTS))
    model = interrupted()
    compiled = torch.compile(model, backend="eager", fullgraph=fullgraph)
    assert torch.equal(output(compiled), expected)
    interrupt(model)
    assert torch.equal(output(compiled), expected)


def test_compiled_network_around_an_interrupted_one_has_its_noise_or_is_refused():
    """Code that is compiled around the noisy network contains the hook at the start of its pass."""
    expected = output(noisify(Network(), sigma=0.5, inputs=INPUTS))
    around = nn.Sequential(interrupted())
    with pytest.raises(Exception, match=REFUSED):
        torch.compile(around, backend="eager", fullgraph=True)(INPUTS)
    torch.compiler.reset()
    compiled = torch.compile(around, backend="eager")
    for _ in range(2):
        assert torch.equal(output(compiled), expected)


def test_functions_compiled_in_a_running_pass_keep_their_noise():
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    expected = output(model)
    model.tanh = torch.compile(lambda x: torch.tanh(x), backend="eager", fullgraph=True)
    assert torch.equal(output(model), expected)


def test_forward_method_compiled_in_a_running_pass_keeps_its_noise():
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    expected = output(model)
    model.forward = torch.compile(model.forward, backend="eager", fullgraph=True)
    assert torch.equal(output(model), expected)


class Translated(nn.Module):
    """A module in which an interrupt becomes a RuntimeError, as in an import inside torch."""

    def __init__(self, chained):
        super().__init__()
        self.chained = chained

    def forward(self, inputs):
        if not self.chained:
            raise RuntimeError("KeyboardInterrupt: <EMPTY MESSAGE>")
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("an import failed") from error


@pytest.mark.parametrize("chained", [False, True])
def test_interrupt_that_torch_translates_stays_one(chained):
    model = nn.Sequential(nn.Linear(3, 3), Translated(chained), nn.Tanh(), nn.Linear(3, 2))
    with pytest.raises(KeyboardInterrupt):
        layer_information(model, torch.eye(3), sigma=0.5)
