"""The benchmark of wide layers: a line for each layer, and the true value of a linear network."""

import re

import torch

from benchmarks.problems import WideNetwork, linear_network
from benchmarks.topics.wide_layers import lines
from layerbits import noisify
from tests.support.networks import tanh_mlp


def test_line_of_a_linear_network_ends_with_its_true_value():
    (line,) = lines("linear", linear_network(4, 30), "known")
    lower, upper = map(float, re.findall(r"\[(.*?), (.*?)\]", line)[1])
    value, error = map(float, re.fullmatch(r".* true (\S+) ± (\S+)", line).groups())
    assert 0 < error <= 0.01  # at most log 30 / sqrt(20,000), rounded
    assert lower - 3 * error <= value <= upper + 3 * error


def test_every_layer_behind_noise_has_a_line_with_both_intervals():
    model = noisify(tanh_mlp(3, 4, 4, 4, 2), sigma=0.3)
    printed = list(lines("small", WideNetwork(model, torch.eye(3), ("3", "5")), "known"))
    assert [line.split()[:2] for line in printed] == [["small", "3"], ["small", "5"]]
    assert all(line.count("[") == 2 for line in printed)
