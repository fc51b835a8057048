"""
The information plane of a training
===================================

Measure I(X;T) and I(T;Y) of each layer while a noisy network learns, and plot them against one another.
"""

import tempfile

import torch

import layerbits as lb

torch.manual_seed(0)
signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 10)
labels = (signs @ torch.linspace(0.5, 1.5, 10) > 0).long()
model = torch.nn.Sequential(
    torch.nn.Linear(10, 6),
    torch.nn.Tanh(),
    torch.nn.Linear(6, 3),
    torch.nn.Tanh(),
    torch.nn.Linear(3, 2),
)
lb.noisify(model, sigma=0.1, inputs=signs)

# %%
# The monitor measures ten of the epochs. `draws` is small, so that the script takes seconds; intervals are wider then.

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
with tempfile.TemporaryDirectory() as folder:
    monitor = lb.Monitor(
        model,
        signs,
        labels,
        at=lb.log_spaced(1, 300, 10),
        directory=folder,
        settings=lb.MeasurementSettings(draws=8),
    )
    for epoch in range(1, 301):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(signs), labels).backward()
        optimizer.step()
        monitor.step(epoch)
    history = monitor.history

# %%
# Each rectangle is the pair of intervals of a layer at an epoch.

lb.plots.information_plane(history)

# %%
# The same numbers over the epochs.

lb.plots.curves(history)
