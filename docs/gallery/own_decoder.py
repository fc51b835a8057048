"""
A decoder of your own
=====================

The lower end of an information behind noise comes from a decoder q(x|t). Any object with `fit` and `scores` competes
with the built-in ones; the interval holds with any of them. Here a steep tanh behind noise gives the signals of an
input several modes, which a Gaussian does not describe.
"""

import matplotlib.pyplot as plt
import torch

import layerbits as lb


class NearestMean:
    """Score an input by the distance of a noisy value from the mean of its signals."""

    def fit(self, signals, inputs):
        """Compute the mean of the signals of each input."""
        counts = inputs.bincount()
        self.means = signals.new_zeros(len(counts), signals.shape[1]).index_add(0, inputs, signals) / counts[:, None]

    def scores(self, queries):
        """Return minus half of the squared distances, shape (m, N)."""
        return -torch.cdist(queries, self.means).square() / 2


torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
)
with torch.no_grad():
    model[2].weight.mul_(6)
inputs = torch.randn(50, 4)
lb.noisify(model, sigma=0.5, inputs=inputs)

_, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
for decoders in ([], [NearestMean()], [lb.NetworkDecoder()]):
    row = lb.layer_information(model, inputs, decoders=decoders, draws=64)["3", "I(X;T)"]
    name = type(decoders[0]).__name__ if decoders else "built-in decoders"
    axes.plot([row.lower, row.upper], [name, name], linewidth=8, solid_capstyle="butt")
    print(f"{name:17}  used: {row.decoder:27}  I(X;T) in [{row.lower:.3f}, {row.upper:.3f}] nats")
axes.set(xlabel="I(X;T) in nats", ylim=(-0.5, 2.5))
