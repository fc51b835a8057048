"""
A decoder of your own
=====================

With ``estimator="draws"`` the lower end of an information behind noise comes from a decoder q(x|t). Any object with
`fit` and `scores` competes with the built-in ones, and the interval holds with any of them. Here noise flips the sign
of the signals at random: every input has two opposite modes. A Gaussian does not describe them; a decoder that looks
for them raises the lower end.
"""

import matplotlib.pyplot as plt
import torch

import layerbits as lb


class Flipped(torch.nn.Module):
    """A network in which noise at `gate` flips the sign of the signals at `out`."""

    def __init__(self):
        super().__init__()
        self.linear, self.gate = torch.nn.Linear(4, 1), torch.nn.Tanh()
        self.first, self.tanh, self.second = (
            torch.nn.Linear(4, 16),
            torch.nn.Tanh(),
            torch.nn.Linear(16, 6),
        )
        self.out, self.head = torch.nn.Tanh(), torch.nn.Linear(6, 2)

    def forward(self, inputs):
        sign = self.gate(self.linear(inputs)).sign()
        return self.head(
            self.out(sign * self.second(self.tanh(self.first(inputs))))
        )


class OppositeModes:
    """Score an input by two Gaussians of one variance, equally likely, around opposite points."""

    def fit(self, signals, inputs):
        """Turn the signals of an input to the side of one of them; compute the means and the variance around them."""
        counts = inputs.bincount()
        self.means = signals.new_zeros(len(counts), signals.shape[1])
        self.means[inputs] = signals  # one signal of each input
        signals = (
            signals * (signals * self.means[inputs]).sum(1, keepdim=True).sign()
        )
        self.means = (
            torch.zeros_like(self.means).index_add(0, inputs, signals)
            / counts[:, None]
        )
        # Noise of a layer has variance 1 here.
        self.variance = 1 + (signals - self.means[inputs]).var()

    def scores(self, queries):
        """Return the log densities of all inputs, but for a constant, shape (m, N)."""
        near, far = (
            -torch.cdist(queries, points).square() / (2 * self.variance)
            for points in (self.means, -self.means)
        )
        return torch.logaddexp(near, far)


torch.manual_seed(0)
model, inputs = Flipped(), torch.randn(100, 4)
lb.noisify(model, sigma={"gate": 1.0, "tanh": 0.3, "out": 0.1}, inputs=inputs)

_, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
for decoders in ([], [lb.NetworkDecoder()], [OppositeModes()]):
    table = lb.layer_information(
        model,
        inputs,
        layers="out",
        decoders=decoders,
        estimator="draws",
        draws=16,
    )
    row = table["out", "I(X;T)"]
    name = type(decoders[0]).__name__ if decoders else "built-in decoders"
    axes.plot(
        [row.lower, row.upper], [name, name], linewidth=8, solid_capstyle="butt"
    )
    print(
        f"{name:17}  used: {row.decoder:27}  I(X;T) in [{row.lower:.3f}, {row.upper:.3f}] nats"
    )
axes.set(xlabel="I(X;T) in nats", ylim=(-0.5, 2.5))
