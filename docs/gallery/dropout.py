"""
Gaussian dropout
================

With `DropoutNoise` the noise grows with the signal: T = S (1 + alpha E) + sigma Z. Plot I(X;T) over alpha.
"""

import matplotlib.pyplot as plt
import torch

import layerbits as lb

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)
)
inputs = torch.randn(300, 8)

alphas = [0.1, 0.2, 0.4, 0.8, 1.6]
tables = [
    lb.layer_information(model, inputs, sigma=lb.DropoutNoise(alpha, sigma=0.1))
    for alpha in alphas
]
rows = [table["1", "I(X;T)"] for table in tables]

_, axes = plt.subplots()
axes.fill_between(
    alphas, [row.lower for row in rows], [row.upper for row in rows], alpha=0.4
)
axes.plot(alphas, [row.value for row in rows], "o-")
axes.set(xlabel="alpha", ylabel="I(X;T) in nats", xscale="log")
