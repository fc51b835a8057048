"""Noise, training, measurement and removal of noise in five families of networks; a mixture density network."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import layerbits as lb
from tests.support.random_arrays import normal_tensor

N = 40


class Perceiver(nn.Module):
    """Latent tokens attend to the input twice, with tied weights of the MLP; blocks are checkpointed in training."""

    noisy_layers = ("mlp.1", "mlp.1@2")
    inputs = (normal_tensor(N, 6, 3).float(),)

    def __init__(self, *, checkpoints):
        super().__init__()
        self.checkpoints, self.latents, self.embed = checkpoints, nn.Parameter(torch.randn(4, 8)), nn.Linear(3, 8)
        self.cross = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
        self.mlp, self.head = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)), nn.Linear(8, 2)

    def block(self, index, latents, x):
        latents = latents + self.cross[index](latents, x, x, need_weights=False)[0]
        return latents + self.mlp(latents)

    def forward(self, x):
        x = self.embed(x)
        latents = self.latents.expand(len(x), -1, -1)
        for index in range(2):
            if self.checkpoints and self.training:
                latents = checkpoint(self.block, index, latents, x, use_reentrant=False)
            else:
                latents = self.block(index, latents, x)
        return self.head(latents.mean(1))


class Capsules(nn.Module):
    """Dynamic routing: three iterations, whose weights depend on the input."""

    noisy_layers = ("relu",)
    inputs = (normal_tensor(N, 1, 8, 8).float(),)

    def __init__(self, *, checkpoints):
        super().__init__()
        self.checkpoints, self.conv = checkpoints, nn.Conv2d(1, 8, 3, 2)
        self.weight = nn.Parameter(0.3 * torch.randn(3, 18, 4, 4))

    @staticmethod
    def squash(capsules):
        squares = capsules.square().sum(-1, keepdim=True)
        return capsules * squares / (1 + squares) / (squares + 1e-8).sqrt()

    def route(self, votes):
        logits = torch.zeros(votes.shape[:3])
        for _ in range(3):
            capsules = self.squash((logits.softmax(1)[..., None] * votes).sum(2))
            logits = logits + (votes * capsules[:, :, None]).sum(-1)
        return capsules.norm(dim=-1)

    def forward(self, x):
        parts = self.squash(functional.relu(self.conv(x)).reshape(len(x), -1, 4))
        votes = torch.einsum("kidj,bid->bkij", self.weight, parts)
        if self.checkpoints and self.training:
            return checkpoint(self.route, votes, use_reentrant=False)
        return self.route(votes)


class Diffusion(nn.Module):
    """A U-Net of one level with an embedding of time and group normalization."""

    noisy_layers = ("time.1", "level.act", "level.act@2")
    inputs = (normal_tensor(N, 1, 8, 8).float(), torch.arange(N) * 7 % 100)

    class Level(nn.Module):
        def __init__(self):
            super().__init__()
            self.top, self.down, self.act = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1), nn.SiLU()
            self.norm, self.up = nn.GroupNorm(2, 8), nn.ConvTranspose2d(8, 8, 2, 2)
            self.out = nn.Conv2d(16, 1, 3, padding=1)

        def forward(self, x, time):
            high = self.act(self.norm(self.top(x)) + time[..., None, None])
            low = self.act(self.down(high) + time[..., None, None])
            return self.out(torch.cat([high, self.up(low)], 1))

    def __init__(self, *, checkpoints):
        super().__init__()
        self.checkpoints, self.level = checkpoints, self.Level()
        self.time = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8))

    def forward(self, x, time):
        angles = time[:, None].float() * torch.exp(-math.log(1e4) * torch.arange(4) / 4)
        embedded = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        if self.checkpoints and self.training:
            return checkpoint(self.level, x, embedded, use_reentrant=False)
        return self.level(x, embedded)


class Graphs(nn.Module):
    """Messages along the edges of small graphs, each of which is a row: nodes (n, 5, 3), edges (n, 2, 7)."""

    noisy_layers = ("relu", "relu@2")
    inputs = (normal_tensor(N, 5, 3).float(), torch.arange(N * 14).reshape(N, 2, 7) * 11 % 5)

    def __init__(self, *, checkpoints):
        super().__init__()
        self.checkpoints = checkpoints
        self.first, self.second, self.head = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def receive(self, nodes, edges):
        source, target = edges[:, :, :, None].expand(-1, -1, -1, nodes.shape[2]).unbind(1)
        return nodes + torch.zeros_like(nodes).scatter_add(1, target, nodes.gather(1, source))

    def forward(self, nodes, edges):
        nodes = functional.relu(self.first(self.receive(nodes, edges)))
        if self.checkpoints and self.training:
            nodes = checkpoint(self.receive, nodes, edges, use_reentrant=False)
        else:
            nodes = self.receive(nodes, edges)
        return self.head(functional.relu(self.second(nodes)).sum(1))


class DenseBlock(nn.Module):
    """Layers that take all earlier outputs, concatenated and checkpointed as in the memory-efficient DenseNet."""

    noisy_layers = ("layers.0.1", "layers.1.1", "layers.2.1", "relu")
    inputs = (normal_tensor(N, 3, 8, 8).float(),)

    def __init__(self, *, checkpoints):
        super().__init__()
        self.checkpoints, self.stem = checkpoints, nn.Conv2d(3, 8, 3, 2, 1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(inplace=True), nn.Conv2d(8 + 4 * i, 4, 3, padding=1))
            for i in range(3)
        )
        self.head = nn.Linear(20, 3)

    def forward(self, x):
        parts = [self.stem(x)]
        for layer in self.layers:

            def together(*parts, layer=layer):
                return layer(torch.cat(parts, 1))

            if self.checkpoints and self.training:
                parts.append(checkpoint(together, *parts, use_reentrant=False))
            else:
                parts.append(together(*parts))
        return self.head(functional.relu(torch.cat(parts, 1)).mean((2, 3)))


FAMILIES = [Perceiver, Capsules, Diffusion, Graphs, DenseBlock]
families = pytest.mark.parametrize("family", FAMILIES)


def network(family, *, checkpoints=False):
    torch.manual_seed(1)
    return family(checkpoints=checkpoints)


def noisy_network(family, *, checkpoints=False):
    return lb.noisify(network(family, checkpoints=checkpoints), sigma=0.5, inputs=family.inputs)


def trained(model, inputs):
    """Return the parameters after two steps, and the losses."""
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01)
    torch.manual_seed(2)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        losses.append(model(*inputs).square().mean())
        losses[-1].backward()
        optimizer.step()
    return [*model.parameters(), *losses]


@families
def test_default_layers_have_noise(family):
    assert tuple(lb.noise_of(noisy_network(family))) == family.noisy_layers


@families
def test_training_with_checkpoints_equals_training_without_them(family):
    models = [noisy_network(family, checkpoints=checkpoints) for checkpoints in (False, True)]
    expected, actual = (trained(model, family.inputs) for model in models)
    assert all(map(torch.equal, expected, actual))


@families
def test_compiled_network_has_the_same_noise(family):
    model = noisy_network(family).eval()
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)
    outputs = []
    for run in (model, compiled):
        torch.manual_seed(3)
        with torch.no_grad():
            outputs.append(run(*family.inputs))
    assert torch.equal(*outputs)


@families
def test_measurements_have_an_interval_for_every_layer(family):
    model = noisy_network(family)
    for table in (
        lb.layer_information(network(family), family.inputs, sigma=0.5, queries=100),
        lb.layer_information(model, family.inputs, draws=8, queries=100),
    ):
        rows = [row for row in table if row.quantity == "I(X;T)"]
        assert tuple(row.layer for row in rows) == family.noisy_layers
        assert all(0 <= row.lower <= row.upper <= math.log(N) for row in rows)
    # The signals of the first noisy layer are functions of the input, so `information` measures the same quantity.
    first = family.noisy_layers[0]
    exact = lb.information(lb.layer_activations(model, family.inputs)[first], 0.5)["signals", "I(X;T)"]
    assert rows[0].lower <= exact.upper
    assert exact.lower <= rows[0].upper


@families
def test_network_without_its_noise_is_the_network_before(family):
    model, before = lb.remove_noise(noisy_network(family)).eval(), network(family).eval()
    with torch.no_grad():
        assert torch.equal(model(*family.inputs), before(*family.inputs))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_mixture_density_network_that_returns_a_distribution_is_measured():
    class MixtureDensity(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
            self.weights, self.means, self.scales = nn.Linear(8, 3), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x):
            hidden = self.body(x)
            return torch.distributions.MixtureSameFamily(
                torch.distributions.Categorical(logits=self.weights(hidden)),
                torch.distributions.Normal(self.means(hidden), self.scales(hidden).exp()),
            )

    inputs = normal_tensor(N, 4).float()
    model = lb.noisify(MixtureDensity(), sigma=0.3, inputs=inputs)
    model(inputs).log_prob(torch.zeros(N)).mean().backward()
    assert tuple(lb.noise_of(model)) == ("body.1", "body.3")
    assert lb.layer_information(model, inputs, draws=8)["body.1", "I(X;T)"].upper <= math.log(N)
    assert lb.remove_noise(model)(inputs).mean.equal(model(inputs).mean)
