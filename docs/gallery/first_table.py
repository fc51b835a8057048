"""
Information layer by layer
==========================

Measure a network without noise of its own, and plot the interval of I(X;T) of each layer.
"""

import itertools

import torch

import layerbits as lb

torch.manual_seed(0)
widths = (12, 10, 7, 5, 3)
layers = [
    module
    for sizes in itertools.pairwise(widths)
    for module in (torch.nn.Linear(*sizes), torch.nn.Tanh())
]
model = torch.nn.Sequential(*layers, torch.nn.Linear(3, 2))
inputs = torch.randn(1000, 12)
labels = (inputs.sum(1) > 0).long()

# %%
# The measurement adds noise of standard deviation 0.3 to each layer. X is uniform over the 1000 inputs, so I(X;T) is at
# most log 1000 = 6.91 nats.

table = lb.layer_information(model, inputs, labels, sigma=0.3)
print(table)

# %%
# Points are values. Their bars, the 95 % intervals, are narrower than the points here. Dashed lines are upper limits.

lb.plots.intervals(table)
