"""
Slices of a wide layer
======================

I(X;T) of a wide layer is log N at any small noise, which says only that the layer tells all inputs apart. Slices, views
of few dimensions, go on changing.
"""

import torch

import layerbits as lb

torch.manual_seed(0)
inputs = torch.randn(300, 20)
labels = (inputs[:, 0] > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(20, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))
readouts = [None, lb.RandomSlices(1, count=32), lb.PrincipalSlices(1), lb.LearntSlices(1, target="Y")]
before = lb.layer_information(model, inputs, labels, sigma=0.3, readout=readouts)

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
after = lb.layer_information(model, inputs, labels, sigma=0.3, readout=readouts)

# %%
# Before and after the training: the layer stays at log 300 = 5.70 nats.

for old, new in zip(before, after, strict=True):
    if "X;T)" in old.quantity or "T;Y)" in old.quantity:
        print(f"{old.layer:>22} {old.quantity:9} {old.value:5.2f} -> {new.value:5.2f} nats")

# %%
# The slices after the training, with their intervals.

lb.plots.intervals(after, layers=[layer for layer in after.layers if layer != "1"])
