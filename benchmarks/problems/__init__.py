"""Seeded problems that all methods share, and their true log-sums."""

from benchmarks.problems.layers import LayerProblem, szt_layer, trained_layers
from benchmarks.problems.log_sums import LogSumProblem, cube, groups, mixture
from benchmarks.problems.networks import noisy_szt_network, trained_szt_network
from benchmarks.problems.true_values import TrueLogSums, true_gradients, true_log_sums
from benchmarks.problems.wide_networks import WideNetwork, linear_network, mnist_cnn, mnist_mlp, tanh_network

__all__ = [
    "LayerProblem",
    "LogSumProblem",
    "TrueLogSums",
    "WideNetwork",
    "cube",
    "groups",
    "linear_network",
    "mixture",
    "mnist_cnn",
    "mnist_mlp",
    "noisy_szt_network",
    "szt_layer",
    "tanh_network",
    "trained_layers",
    "trained_szt_network",
    "true_gradients",
    "true_log_sums",
]
