"""
A binned entropy is not I(X;T)
==============================

The layers of a network without noise are functions of the input. As long as all rows of a layer differ, I(X;T) is
log N. H(Bin(T)) depends on the size of the bins: it is log N for small bins and less for large ones.
"""

import math

import matplotlib.pyplot as plt
import torch

import layerbits as lb

torch.manual_seed(0)
inputs = torch.randn(1000, 12)
model = torch.nn.Sequential(
    torch.nn.Linear(12, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
)
activations = lb.layer_activations(model, inputs)["1"]

widths = [2.0**-k for k in range(12)]
entropies = [lb.binned_entropy(activations, width) for width in widths]

_, axes = plt.subplots()
axes.semilogx(widths, entropies, "o-", label="H(Bin(T))")
axes.axhline(
    math.log(1000), color="0.4", linestyle="--", label="I(X;T) = log 1000"
)
axes.set(xlabel="bin size", ylabel="nats")
axes.legend()

# %%
# `discrete_information` counts the rows that differ: all do.

information = lb.discrete_information(activations)
print(f"I(X;T) = {information.value:.4f} {information.unit}")
