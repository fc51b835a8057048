"""
Slices of a wide layer
======================

I(X;T) of a wide layer is log N at any small noise, which says only that the layer tells all inputs apart. Slices, views
of few dimensions, go on changing.
"""

import matplotlib.pyplot as plt
import torch

import layerbits as lb

torch.manual_seed(0)
inputs = torch.randn(300, 20)
labels = (inputs[:, 0] > 0).long()
model = torch.nn.Sequential(
    torch.nn.Linear(20, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2)
)
readouts = [
    None,
    lb.RandomSlices(1, count=32),
    lb.PrincipalSlices(1),
    lb.LearntSlices(1, target="Y"),
]
before = lb.layer_information(model, inputs, labels, sigma=0.3, readout=readouts)

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
after = lb.layer_information(model, inputs, labels, sigma=0.3, readout=readouts)

# %%
# Before and after the training: the layer stays at log 300 = 5.70 nats.

_, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for table, color, label in ((before, "0.6", "before"), (after, "C0", "after")):
    rows = [row for row in table if row.quantity.endswith("(X;T)")]
    names = [f"{row.quantity} of {row.layer}" for row in rows]
    axes.plot([row.value for row in rows], names, "o", color=color, label=label)
    axes.hlines(
        names,
        [row.lower for row in rows],
        [row.upper for row in rows],
        color=color,
    )
axes.set(xlabel="nats")
axes.legend()

# %%
# The information of the slices about the class.

for old, new in zip(before, after, strict=True):
    if old.quantity.endswith("(T;Y)"):
        print(
            f"{old.layer:>20} {old.quantity:9} {old.value:5.2f} -> {new.value:5.2f} nats"
        )
