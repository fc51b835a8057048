"""
Compression is clustering
=========================

A noisy network gathers its representations in clusters while it learns. Compare I(X;T) and the activations before and
after.
"""

import matplotlib.pyplot as plt
import torch

import layerbits as lb

torch.manual_seed(0)
signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 10)
labels = (signs @ torch.linspace(0.5, 1.5, 10) > 0).long()
model = torch.nn.Sequential(
    torch.nn.Linear(10, 2), torch.nn.Tanh(), torch.nn.Linear(2, 2)
)
lb.noisify(model, sigma=0.05, inputs=signs)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

figure, axes = plt.subplots(1, 2, figsize=(8, 4))
for position, epochs in enumerate((0, 1500)):
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(signs), labels).backward()
        optimizer.step()
    activations = lb.layer_activations(model, signs)["1"]
    row = lb.layer_information(model, signs)["1", "I(X;T)"]
    lb.plots.scatter(activations, labels, limit=1.1, ax=axes[position])
    axes[position].set_title(
        f"epoch {epochs}: I(X;T) in [{row.lower:.2f}, {row.upper:.2f}] nats"
    )

# %%
# Distances within and between the classes after the training.

lb.plots.distances(lb.pairwise_distance_histogram(activations, labels=labels))
