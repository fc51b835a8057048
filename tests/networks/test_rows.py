"""Rows of a layer belong to rows of the input: the axis is found, and rows that act on one another are refused."""

import functools

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

TOKENS = normal_tensor(6, 5, 4, seed=1).float()


class TokensFirst(nn.Module):
    """A network that moves the axis of tokens to the front."""

    def __init__(self):
        super().__init__()
        self.linear, self.tanh, self.head = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.tanh(self.linear(x.movedim(1, 0)))).mean(0)


class RowsFirst(TokensFirst):
    def forward(self, x):
        return self.head(self.tanh(self.linear(x))).mean(1)


@pytest.fixture
def networks():
    """Two networks with the same weights, of which the first has tokens in front."""
    first, rows = TokensFirst(), RowsFirst()
    rows.load_state_dict(first.state_dict())
    return first, rows


@pytest.mark.parametrize("n_rows", [1, 2, 5, 6], ids=["one row", "two", "as many as tokens", "more"])
def test_an_axis_of_rows_behind_the_tokens_is_found(networks, n_rows):
    inputs = TOKENS[:n_rows]
    actual, expected = (lb.layer_activations(model, inputs)["tanh"] for model in networks)
    assert actual.shape == (n_rows, 15)
    assert actual.equal(expected)


def test_noise_reaches_the_layers_behind_a_moved_axis(networks):
    actual, expected = (lb.layer_information(model, TOKENS, sigma=0.3, queries=4) for model in networks)
    assert [(row.quantity, row.lower, row.upper) for row in actual] == [
        (row.quantity, row.lower, row.upper) for row in expected
    ]
    noisy = [lb.noisify(model, sigma=0.3, layers=["tanh", "head"], inputs=TOKENS) for model in networks]
    signals = [lb.propagate(model, TOKENS, draws=2)["head"] for model in noisy]
    assert signals[0].equal(signals[1])
    assert not signals[0][:, 0].equal(signals[0][:, 1])


class Attention(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.attention, self.tanh = nn.MultiheadAttention(4, 2, batch_first=batch_first), nn.Tanh()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.tanh(self.attention(x, x, x)[0])).mean(1)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), nn.Tanh(), nn.Linear(4, 2)), TOKENS[:, 0]),
        (Attention(batch_first=False), TOKENS),
        (nn.Sequential(nn.Softmax(dim=0), nn.Tanh(), nn.Linear(4, 2)), TOKENS[:, 0]),
    ],
    ids=["batch statistics", "attention over the rows", "softmax over the rows"],
)
def test_rows_that_act_on_one_another_are_refused(model, inputs, tmp_path):
    for measure in (
        lambda: lb.layer_information(model, inputs, sigma=0.2),
        lambda: lb.layer_activations(model, inputs),
        lambda: lb.Monitor(model, inputs, at=[0], directory=tmp_path, sigma=0.2),
    ):
        with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another: in '\w+' the signal"):
            measure()
    noisy = lb.noisify(model, sigma=0.2, inputs=inputs)
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another"):
        lb.propagate(noisy, inputs)


def test_attention_over_the_tokens_of_each_row_is_measured():
    model = Attention(batch_first=True)
    assert lb.layer_information(model, TOKENS, sigma=0.2, queries=3)["tanh", "I(X;T)"].upper > 0


def test_layers_before_the_one_that_mixes_rows_are_measured():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.BatchNorm1d(3, track_running_stats=False), nn.Tanh())
    table = lb.layer_information(model, TOKENS[:, 0], sigma=0.2, layers="1", queries=3)
    assert {row.layer for row in table} == {"1"}
    noisy = lb.noisify(model, sigma=0.2, layers=["1", "3"], inputs=TOKENS[:, 0])
    assert {row.layer for row in lb.layer_information(noisy, TOKENS[:, 0], layers="1", draws=4)} == {"1"}


def test_a_network_with_randomness_of_its_own_is_not_refused():
    class Random(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = tanh_mlp(4, 3, 2)

        def forward(self, x):
            return self.mlp(x + torch.randn_like(x))

    noisy = lb.noisify(Random(), sigma=0.2, inputs=TOKENS[:, 0])
    assert lb.layer_information(noisy, TOKENS[:, 0], draws=4)["mlp.1", "I(X;T)"].upper > 0


def test_a_measurement_leaves_the_generator_and_the_buffers():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(), nn.Linear(3, 2))
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    lb.layer_information(model, TOKENS[:, 0], sigma=0.2, queries=3)
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("row", [0, 1, -1])
def test_rows_that_all_depend_on_the_same_row_are_refused(row):
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = tanh_mlp(4, 3, 2)

        def forward(self, x):
            return self.mlp(x + x[row])

    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another"):
        lb.layer_information(Shifted(), TOKENS[:, 0], sigma=0.2)


@pytest.mark.parametrize(
    "move", [lambda x: x.flip(0), lambda x: x.roll(1, 0), lambda x: x[[0, 2, 1, *range(3, len(x))]]]
)
def test_rows_that_are_permuted_are_refused(move):
    class Permuted(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = tanh_mlp(4, 3, 2)

        def forward(self, x):
            return self.mlp(move(x) if len(x) > 2 else x)

    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another"):
        lb.layer_information(Permuted(), TOKENS[:, 0], sigma=0.2)


def test_rows_that_are_routed_by_their_values_are_refused():
    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList([tanh_mlp(4, 3, 4), tanh_mlp(4, 3, 4)])

        def forward(self, x):
            output = torch.zeros_like(x)
            for index, expert in enumerate(self.experts):
                rows = ((x[:, 0] > 0).long() == index).nonzero()[:, 0]
                output = output.index_add(0, rows, expert(x[rows]))
            return output

    inputs = TOKENS[:, 0].abs() * torch.tensor([1.0, -1, -1, 1, 1, -1])[:, None]
    with pytest.raises(lb.LayerSelectionError, match=r"^layers: got 'experts\.\d\.1', which returns shape"):
        lb.layer_information(Routed(), inputs, sigma=0.2, layers="experts.*.1")


class Function(nn.Module):
    """A function of the input, returned by the layer act."""

    def __init__(self, function):
        super().__init__()
        self.function, self.act = function, nn.Identity()

    def forward(self, x):
        return self.act(self.function(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("measure", [lb.layer_activations, functools.partial(lb.layer_information, sigma=0.5)])
def test_signals_that_depend_on_the_number_of_rows_are_refused(dtype, measure):
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another"):
        measure(Function(lambda x: x / len(x)), normal_tensor(5, 3).to(dtype), layers="act")


def test_graph_whose_edges_are_in_the_network_gets_a_remedy():
    """The passes that check the rows have fewer nodes than the graph."""
    model = Function(lambda x: x.index_add(0, torch.tensor([0, 1]), x[torch.tensor([4, 0])]))
    with pytest.raises(ValueError, match=r"^inputs: .* cannot take: .*; for the nodes of one graph, let a module"):
        lb.layer_activations(model, torch.ones(5, 3), layers="act")


def test_layer_of_node_numbers_is_measured_as_recorded_signals_are():
    """A module that holds the graph takes numbers of nodes, so each row is a function of its own input."""

    class Nodes(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.rows = nn.Linear(3, 4), nn.Identity()
            self.features, self.edges = normal_tensor(30, 3).float(), torch.arange(60).view(2, 30) % 30

        def forward(self, nodes):
            hidden = self.linear(self.features)
            return self.rows(hidden.index_add(0, self.edges[0], hidden[self.edges[1]]).tanh()[nodes]).sum(1)

    model, nodes = Nodes(), torch.arange(30)
    signals = {}
    model.rows.register_forward_hook(lambda module, args, output: signals.update(rows=output.detach()))
    model(nodes)
    expected = lb.information(signals, 0.5)["rows", "I(X;T)"]
    row = lb.layer_information(model, nodes, sigma=0.5, layers="rows")["rows", "I(X;T)"]
    assert (row.lower, row.upper) == (expected.lower, expected.upper)


def test_layer_without_units_is_refused():
    model = Function(lambda x: x[:, :0])
    with pytest.raises(
        lb.LayerSelectionError, match=r"^layers: got 'act', whose signal of shape \(3, 0\) for 3 rows has no units"
    ):
        lb.layer_information(model, torch.ones(5, 3), sigma=0.5, layers="act")


class BeyondProbes(nn.Module):
    """A network whose rows act on one another only in passes of more rows than the probing passes have."""

    def __init__(self, act):
        super().__init__()
        self.linear, self.tanh, self.head, self.act = nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), act
        self.last = nn.Tanh()

    def forward(self, x):
        return self.last(self.act(self.head(self.tanh(self.act(self.linear(x))))))


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x - x.mean(0) if len(x) > 16 else x,
        lambda x: torch.cat([x[:20], torch.zeros_like(x[20:])]),
    ],
    ids=["mean of large batches", "capacity"],
)
@pytest.mark.parametrize("n_rows", [1, 40])
def test_rows_that_act_on_one_another_in_large_passes_are_refused(act, n_rows):
    inputs, model = normal_tensor(n_rows, 3).float(), BeyondProbes(act)
    noisy = lb.noisify(BeyondProbes(act), sigma=0.3, layers=["tanh", "last"], inputs=inputs[:1])
    message = "^inputs: got rows that act on one another: in '(tanh|last)'"
    if n_rows > 20:
        with pytest.raises(ValueError, match=message):
            lb.layer_activations(model, inputs, layers=["tanh", "last"])
        with pytest.raises(ValueError, match=message):
            lb.layer_information(model, inputs, sigma=0.3, layers=["tanh", "last"])
    with pytest.raises(ValueError, match=message):
        lb.propagate(noisy, inputs, draws=32)


@pytest.mark.parametrize("n_rows", [1, 2, 17, 40])
def test_large_passes_of_independent_rows_are_measured(n_rows):
    inputs = normal_tensor(n_rows, 3).float()
    noisy = lb.noisify(BeyondProbes(torch.abs), sigma=0.3, layers=["tanh", "last"], inputs=inputs)
    assert lb.propagate(noisy, inputs, draws=32)["last"].shape == (n_rows, 32, 3)


def test_rows_that_act_on_one_another_before_an_earlier_noisy_layer_are_refused():
    """Layers that are not recorded are compared too: the small passes go on with the noisy values of the large one."""
    inputs = normal_tensor(50, 4).float()

    class Capacity(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = tanh_mlp(4, 3, 3, 2)

        def forward(self, x):
            return self.network(torch.cat([x[:128], torch.zeros_like(x[128:])]))

    model = lb.noisify(Capacity(), sigma=0.3, inputs=inputs)
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another: in 'network.1'"):
        lb.layer_information(model, inputs)
