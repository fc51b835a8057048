"""Small networks of six families, each of which can checkpoint a part of itself."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

WIDTH = 4


class Checkpointing(nn.Module):
    """Calls modules within checkpoints if `checkpoints` is True."""

    checkpoints = False

    def call(self, module, *args):
        return checkpoint(module, *args, use_reentrant=False) if self.checkpoints else module(*args)


def relu_convolution(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())


class ResidualNetwork(Checkpointing):
    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = relu_convolution(1, 4), relu_convolution(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = self.stem(x)
        h = h + self.call(self.block, h)
        return self.head(h.mean((2, 3)))


class UNet(Checkpointing):
    def __init__(self):
        super().__init__()
        self.down, self.middle, self.up = relu_convolution(1, 4), relu_convolution(4, 4), relu_convolution(8, 2)

    def forward(self, x):
        skip = self.down(x)
        h = self.call(self.middle, functional.max_pool2d(skip, 2))
        return self.up(torch.cat([functional.interpolate(h, scale_factor=2), skip], 1))


class Encoder(Checkpointing):
    def __init__(self):
        super().__init__()
        options = {"dim_feedforward": 8, "dropout": 0.0, "activation": nn.GELU(), "batch_first": True}
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(WIDTH, 2, **options) for _ in range(2))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x):
        for layer in self.layers:
            x = self.call(layer, x)
        return self.head(x)


class CausalBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.project = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 8), nn.GELU(), nn.Linear(8, WIDTH))

    def forward(self, x):
        query, key, value = self.project(self.norm(x)).chunk(3, -1)
        h = x + functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return h + self.mlp(h)


class LanguageModel(Checkpointing):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 5)
        self.blocks = nn.ModuleList(CausalBlock() for _ in range(2))

    def forward(self, x):
        h = self.embed(x)
        for block in self.blocks:
            h = self.call(block, h)
        return self.head(h)


class Recurrent(Checkpointing):
    """An LSTM, whose outputs a GRUCell reads in a loop."""

    def __init__(self):
        super().__init__()
        self.lstm, self.cell = nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.GRUCell(WIDTH, WIDTH)
        self.act, self.head = nn.Tanh(), nn.Linear(WIDTH, 2)

    def forward(self, x):
        outputs, _ = self.lstm(x)
        state = torch.zeros_like(outputs[:, 0])
        for step in range(outputs.shape[1]):
            state = self.call(self.cell, self.act(outputs[:, step]), state)
        return self.head(state)


class Experts(Checkpointing):
    """Weighs the outputs of the two best of three experts for each row."""

    def __init__(self):
        super().__init__()
        self.router, self.head = nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 2)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in range(3))

    def forward(self, x):
        scores = self.router(x)
        kept = scores >= scores.topk(2, -1).values[..., -1:]
        weights = torch.where(kept, scores, -torch.inf).softmax(-1)
        outputs = [self.call(expert, x) for expert in self.experts]
        return self.head(torch.stack([weights[..., [i]] * output for i, output in enumerate(outputs)]).sum(0))


# The class and the layers of each family.
FAMILIES = {
    "residual": (ResidualNetwork, None),
    "U-Net": (UNet, None),
    "encoder": (Encoder, None),
    "language model": (LanguageModel, None),
    "recurrent": (Recurrent, ["lstm", "act@*", "cell@*"]),
    "experts": (Experts, None),
}


def family(name, *, checkpoints=False):
    """Return a network of a family, the arguments of `noisify`, and inputs of 4 rows."""
    kind, layers = FAMILIES[name]
    torch.manual_seed(0)
    model = kind()
    model.checkpoints = checkpoints
    shape = {"residual": (1, 8, 8), "U-Net": (1, 8, 8), "experts": (WIDTH,)}.get(name, (3, WIDTH))
    inputs = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    return model, {"sigma": 0.3, "layers": layers, "inputs": inputs}, inputs


def gradients(model, network, inputs, seed=5):
    """Return the whole gradients of the parameters of `network` after a pass of `model`, the network or its wrapper.

    `seed` determines the noise of the pass.
    """
    network.zero_grad()
    torch.manual_seed(seed)
    model(inputs).square().mean().backward()
    grads = [parameter.grad for parameter in network.parameters()]
    return [grad.full_tensor() if hasattr(grad, "full_tensor") else grad for grad in grads]
