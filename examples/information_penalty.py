"""Train a classifier whose code T has little information about its input: minimize cross-entropy + penalty * I(X;T).

    python examples/information_penalty.py

The inputs have log 4096 = 8.32 nats of information; the labels need log 2 = 0.69.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import layerbits as lb

SIGMA = 0.1
BATCH = 512


def data() -> tuple[Tensor, Tensor]:
    """Return all 4096 vectors of 12 signs, shape (4096, 12), and labels, shape (4096,): the side of a plane."""
    inputs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 12)
    return inputs, (inputs @ torch.linspace(0.5, 1.5, 12) > 0).long()


def information(points: Tensor, signals: Tensor) -> Tensor:
    """Estimate I(X;T) in nats from the signals s and the noisy points t = s + z of a batch, both of shape (n, d).

    The estimate is the mean of log p(t|x) - log p(t), where p(t|x) = N(t; s, sigma^2 I) and p(t) is their mixture.
    It is at most log n, and differentiable in both arguments.
    """
    conditional = torch.distributions.Normal(signals, SIGMA).log_prob(points).sum(1)
    return (conditional - lb.mixture_log_density(points, signals, SIGMA)).mean()


def train(inputs: Tensor, labels: Tensor, *, penalty: float, epochs: int, seed: int = 0) -> nn.Module:
    """Train a network 12-10-3-2 with noise on its code of 3 units; `penalty` is the cost of a nat of I(X;T)."""
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 3))
    head = nn.Linear(3, 2)
    noisy = lb.noisify(nn.Sequential(OrderedDict(code=encoder, logits=head)), sigma=SIGMA, layers="code", inputs=inputs)
    optimizer = torch.optim.Adam(noisy.parameters(), lr=0.01)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            with lb.noise_off(noisy):
                signals = encoder(inputs[batch])
            points = signals + SIGMA * torch.randn_like(signals)
            loss = cross_entropy(head(points), labels[batch]) + penalty * information(points, signals)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return noisy


def main() -> None:
    """Train with and without the penalty, and measure."""
    torch.set_num_threads(1)  # threads of a small network only wait for each other
    inputs, labels = data()
    for penalty in (0, 0.1):
        noisy = train(inputs, labels, penalty=penalty, epochs=60)
        with torch.no_grad():
            accuracy = (noisy(inputs).argmax(1) == labels).float().mean()
        table = lb.layer_information(noisy, inputs, labels)
        rows = [table["code", quantity] for quantity in ("I(X;T)", "I(T;Y)")]
        intervals = (f"{row.quantity} {row.lower:.2f} to {row.upper:.2f} nats" for row in rows)
        print(f"penalty {penalty}: accuracy {accuracy:.3f}", *intervals, sep=", ")


if __name__ == "__main__":
    main()
