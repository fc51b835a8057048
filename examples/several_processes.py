"""Train a network in several processes, which measure its layers together.

    torchrun --nproc-per-node 2 examples/several_processes.py FOLDER

Rank 0 writes FOLDER/information.csv and prints I(X;T) of the last layer. The same weights give the same numbers in any
number of processes.
"""

from __future__ import annotations

import sys

import torch
import torch.distributed
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import layerbits as lb

EPOCHS = 4


def main(folder: str) -> None:
    """Train for a few epochs, and measure some of them."""
    torch.distributed.init_process_group("gloo")
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2000, 2, generator=generator)
    labels = (inputs[:, 0] * inputs[:, 1] > 0).long()

    torch.manual_seed(0)
    model = DistributedDataParallel(
        nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3), nn.Tanh(), nn.Linear(3, 2))
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    # Every rank gives all inputs to the monitor, not only its share.
    monitor = lb.Monitor(
        model, inputs, labels, at=[1, EPOCHS], directory=folder, sigma=0.1, group=torch.distributed.group.WORLD
    )
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.arange(len(inputs)).split(200):
            own = batch[rank::size]
            optimizer.zero_grad()
            cross_entropy(model(inputs[own]), labels[own]).backward()
            optimizer.step()
        monitor.step(epoch)
    if rank == 0:
        for epoch, table in monitor.tables.items():
            row = table[table.layers[-1], "I(X;T)"]
            print(f"epoch {epoch}: I(X;T) {row.lower:.2f} to {row.upper:.2f} nats")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
