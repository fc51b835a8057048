"""
A neuron that clusters its inputs
=================================

X is uniform on -3, -1, 1 and 3, and T = tanh(w x - 2 w) + Z. As w grows, the four values move apart, and then gather
in the two clusters of the saturated tanh: I(X;T) rises towards log 4 and falls.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

import layerbits as lb

x = np.array([-3.0, -1.0, 1.0, 3.0])
weights = np.geomspace(0.01, 10, 40)
estimates = [
    lb.mixture_information(np.tanh(w * x - 2 * w)[:, None], sigma=0.05)
    for w in weights
]

_, axes = plt.subplots()
axes.fill_between(
    weights,
    [e.lower for e in estimates],
    [e.upper for e in estimates],
    alpha=0.4,
    label="95 % interval",
)
axes.plot(weights, [e.value for e in estimates])
axes.axhline(math.log(4), color="0.4", linestyle="--", label="log 4")
axes.set(xlabel="w", ylabel="I(X;T) in nats", xscale="log")
axes.legend()

# %%
# Three of the inputs end in one cluster: the limit is the binary entropy of 1/4.

print(estimates[-1].value, -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
