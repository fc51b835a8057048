"""A hook or closure that writes on the network in a pass of its copy is refused, and the network is unchanged."""

import threading

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(10, 4, seed=1).float()


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act, self.head = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)
        self.register_buffer("total", torch.zeros(()))
        self.outputs, self.counts, self.seen, self.n_calls, self.last = [], {"act": 0}, {0}, 0, torch.zeros(3)

    def forward(self, x):
        return self.head(self.act(self.linear(x)))

    def state(self):
        tensors = [tensor.clone() for tensor in (*self.parameters(), *self.buffers(), self.last)]
        return tensors, sorted(vars(self)), list(self.outputs), dict(self.counts), set(self.seen), self.n_calls


def count(model, output):
    model.n_calls += 1


def keep(model, output):
    model.features = output


def delete(model, output):
    del model.n_calls


def replace_buffer(model, output):
    model.total = output.mean()


def add_buffer(model, output):
    model.register_buffer("mean", output.mean(0))


def write_buffer(model, output):
    model.total.add_(1)


def write_part(model, output):
    model.last[:] = output[0]


def write_parameter(model, output):
    with torch.no_grad():
        model.linear.weight.mul_(0.5)


def append(model, output):
    model.outputs.append(output)


def count_in_a_dict(model, output):
    model.counts["act"] += 1


def add_to_a_set(model, output):
    model.seen.add(1)


def write_past_the_module(model, output):
    vars(model)["features"] = output


WRITES = {
    count: "the attribute 'n_calls'",
    keep: "the attribute 'features'",
    delete: "the attribute 'n_calls'",
    replace_buffer: "the attribute 'total'",
    add_buffer: "the attribute 'mean'",
    write_buffer: "into the tensor 'total'",
    write_part: "into the tensor 'last'",
    write_parameter: "into the tensor 'weight'",
    append: "into the list 'outputs'",
    count_in_a_dict: "into the dict 'counts'",
    add_to_a_set: "into the set 'seen'",
    write_past_the_module: "the attribute 'features'",
}

CALLS = {
    "layers": lambda model: lb.layers(model, INPUTS),
    "noisify": lambda model: lb.noisify(model, sigma=0.3, inputs=INPUTS),
    "first call": lambda model: lb.noisify(model, sigma=0.3)(INPUTS),
    "activations": lambda model: lb.layer_activations(model, INPUTS),
    "measurement": lambda model: lb.layer_information(model, INPUTS, sigma=0.3, draws=2),
}


@pytest.fixture
def other_thread():
    """Another thread of Python, which waits."""
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    yield
    event.set()
    thread.join()


def assert_same_state(state, before):
    assert all(map(torch.equal, state[0], before[0]))
    assert state[1:] == before[1:]


@pytest.mark.parametrize(("write", "message"), WRITES.items())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_hook_that_writes_on_the_network_is_refused_by_name(call, write, message):
    model = Network()
    handle = model.act.register_forward_hook(lambda module, args, output: write(model, output))
    before = model.state()
    with pytest.raises(lb.LayerSelectionError, match=rf"^model: got a forward method or hook that writes {message} of"):
        call(model)
    handle.remove()
    if call is not CALLS["first call"]:  # the noise that waits is a hook
        assert_same_state(model.state(), before)


@pytest.mark.parametrize(("write", "message"), WRITES.items())
def test_hook_that_comes_after_the_noise_is_refused_by_name(write, message):
    model = lb.noisify(Network(), sigma=0.3, inputs=INPUTS)
    model.act.register_forward_hook(lambda module, args, output: write(model, output))
    before = model.state()
    with pytest.raises(lb.LayerSelectionError, match=rf"^model: got a forward method or hook that writes {message} of"):
        lb.layer_information(model, INPUTS, draws=2)
    assert_same_state(model.state(), before)


def test_hook_that_changes_the_order_of_the_buffers_is_refused():
    model = Network()
    model.register_buffer("mean", torch.zeros(3))
    model.act.register_forward_hook(
        lambda module, args, output: model._buffers.update(total=model._buffers.pop("total"))
    )
    with pytest.raises(lb.LayerSelectionError, match=r"that writes the attribute 'total' of"):
        lb.layers(model, INPUTS)
    assert list(model._buffers) == ["total", "mean"]


def test_all_writes_of_a_hook_are_undone():
    model = Network()
    for write in (count, keep, append):
        model.act.register_forward_hook(lambda module, args, output, write=write: write(model, output))
    before = model.state()
    with pytest.raises(lb.LayerSelectionError, match=r"^model: got a forward method or hook that writes "):
        lb.layers(model, INPUTS)
    assert_same_state(model.state(), before)


@pytest.mark.usefixtures("other_thread")
@pytest.mark.parametrize(("write", "message"), WRITES.items())
def test_hook_beside_a_thread_that_waits_is_refused_by_name(write, message):
    model = Network()
    model.act.register_forward_hook(lambda module, args, output: write(model, output))
    with pytest.raises(lb.LayerSelectionError, match=rf"that writes {message} of"):
        lb.layers(model, INPUTS)


@pytest.mark.parametrize("write", [keep, write_buffer, write_parameter, append, write_past_the_module])
def test_hook_beside_a_thread_of_the_user_is_refused_if_torch_writes_or_it_stores_a_tensor(write):
    model, event = Network(), threading.Event()

    def wait():
        event.wait()

    model.act.register_forward_hook(lambda module, args, output: write(model, output))
    thread = threading.Thread(target=wait)
    thread.start()
    try:
        with pytest.raises(lb.LayerSelectionError, match=rf"that writes {WRITES[write]} of"):
            lb.layers(model, INPUTS)
    finally:
        event.set()
        thread.join()


@pytest.mark.parametrize("write", WRITES)
def test_writes_of_another_thread_are_not_refused(write):
    """The hook waits in the pass until the other thread, which may train the network, has written on it."""
    model, start, has_written, stop = Network(), threading.Event(), threading.Event(), threading.Event()

    def write_once():
        start.wait()
        write(model, torch.ones(3, 3))
        has_written.set()
        stop.wait()

    def in_the_pass(module, args, output):
        start.set()
        assert has_written.wait(timeout=60)

    model.act.register_forward_hook(in_the_pass)
    thread = threading.Thread(target=write_once, daemon=True)
    thread.start()
    try:
        lb.layers(model, INPUTS)
    finally:
        start.set()
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "hook",
    [
        lambda model, kept: lambda module, args, output: setattr(module, "n_calls", getattr(module, "n_calls", 0) + 1),
        lambda model, kept: lambda module, args, output: kept.update(output=output),
        lambda model, kept: lambda module, args, output: output * model.linear.weight.mean() + model.total,
    ],
    ids=["the module that runs", "an object of the user", "reading"],
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_other_hooks_are_not_refused(call, hook):
    model = Network()
    model.act.register_forward_hook(hook(model, {}))
    call(model)
