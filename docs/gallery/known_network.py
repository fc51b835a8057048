"""
Wide layers behind noise
========================

Behind the noise of earlier layers, intervals from draws are wide. With `estimator="known"` the network itself, which
can be run with given noises and differentiated, takes the place of the draws.
"""

import matplotlib.pyplot as plt
import torch

import layerbits as lb

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(20, 32),
    torch.nn.Tanh(),
    torch.nn.Linear(32, 32),
    torch.nn.Tanh(),
    torch.nn.Linear(32, 10),
)
inputs = torch.randn(100, 20)
lb.noisify(model, sigma=0.6, inputs=inputs)

tables = {
    name: lb.layer_information(model, inputs, estimator=name, draws=32)
    for name in ("draws", "known")
}
rows = {name: table["3", "I(X;T)"] for name, table in tables.items()}

_, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
for position, (_name, row) in enumerate(rows.items()):
    axes.plot(
        [row.lower, row.upper],
        [position, position],
        linewidth=8,
        solid_capstyle="butt",
    )
axes.set(
    yticks=[0, 1],
    yticklabels=list(rows),
    ylim=(-0.5, 1.5),
    xlabel="I(X;T) of the second layer in nats",
)
