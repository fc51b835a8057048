"""Words about graphs stand only where an argument is one: edges, or an adjacency matrix; others are of masks."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

FEATURES, TOKENS = normal_tensor(20, 6, seed=3).float(), normal_tensor(20, 7, 6, seed=4).float()
ADJACENCY, EDGES = torch.eye(20), torch.arange(40).view(2, 20) % 20
GRAPH = "for the nodes of one graph, let a module that holds the graph take numbers of nodes, or measure signals"


class Network(nn.Module):
    """Applies a function between two layers, to the hidden values and the further arguments."""

    def __init__(self, function):
        super().__init__()
        self.linear, self.act, self.head, self.function = nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2), function

    def forward(self, rows, *others):
        return self.head(self.function(self.act(self.linear(rows)), *others))


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (torch.add, (FEATURES, EDGES)),
        (torch.add, (FEATURES, ADJACENCY, torch.arange(5))),
        (torch.add, (FEATURES, ADJACENCY.to_sparse())),
        (lambda hidden, adjacency: adjacency @ hidden, (FEATURES, ADJACENCY)),
        (lambda hidden: ADJACENCY @ hidden, FEATURES),
        (lambda hidden: hidden[EDGES[1]], FEATURES),
    ],
    ids=["edges", "square", "sparse", "multiplied", "buffer", "edges of a buffer"],
)
def test_a_graph_has_its_remedy(function, inputs):
    with pytest.raises((TypeError, ValueError), match=rf"^inputs: got .*; {GRAPH}"):
        lb.layer_activations(Network(function), inputs)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (torch.add, FEATURES[:, :4]),
        (torch.add, (FEATURES, FEATURES[:10])),
        (torch.add, (FEATURES, torch.arange(3))),
        (lambda hidden: torch.eye(20)[torch.arange(len(hidden)) + 19], FEATURES),
    ],
    ids=["width", "rows", "vector", "table"],
)
def test_other_mismatches_have_no_words_about_graphs(function, inputs):
    with pytest.raises(ValueError, match=r"^inputs: got ") as refusal:
        lb.layer_activations(Network(function), inputs)
    assert "graph" not in str(refusal.value)


def test_a_mask_of_all_inputs_has_remedies_that_work():
    mask = torch.ones(7, 7).tril()
    with pytest.raises(ValueError, match=r"; let a module hold the tensor of shape \(7, 7\) as a buffer, .* expand"):
        lb.layer_activations(Network(lambda hidden, mask: mask @ hidden), (TOKENS, mask))
    as_buffer = lb.layer_activations(Network(lambda hidden: mask @ hidden), TOKENS)
    expanded = lb.layer_activations(Network(lambda hidden, mask: mask @ hidden), (TOKENS, mask.expand(20, -1, -1)))
    assert as_buffer["act"].shape == expanded["act"].shape


def test_a_mask_of_as_many_tokens_as_inputs_has_a_remedy():
    model = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    with pytest.raises(ValueError, match=r"; if all inputs share the mask, let a module hold it as a buffer$"):
        lb.layer_activations(model, (TOKENS[:7], torch.zeros(7, 7).bool()))
