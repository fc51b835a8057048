"""The training loop, an iterator over epochs: the caller evaluates and saves in the body of its ``for``.

The whole data set is on the device as two tensors, and a batch is a slice of a permuted copy. For a small network with
13 batches per epoch, a DataLoader would take longer than the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

_Item = TypeVar("_Item")
Transform = Callable[[Tensor, np.random.Generator], Tensor]


def single_threaded(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the items, each computed with one thread of torch; the caller keeps its own number of threads.

    Threads of a small network only wait for each other. Measured on the SZT network and two cores: an epoch takes 5 ms
    with one thread or two on an idle machine; on a busy machine 9 ms with one thread and up to 70 ms with two. One
    thread also makes the result independent of the number of cores.
    """
    iterator = iter(items)
    while True:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            item = next(iterator)
        except StopIteration:
            return
        finally:
            torch.set_num_threads(threads)
        yield item


@dataclasses.dataclass(frozen=True)
class Batches:
    """The batches of a data set, shuffled anew in each epoch.

    The order of the rows and the random numbers of `transform` depend on `seed` and the epoch alone, so that a resumed
    training uses the same batches.

    Parameters
    ----------
    inputs : torch.Tensor
        Shape (n, ...).
    labels : torch.Tensor
        Shape (n,), int64, on the same device.
    batch_size : int
        Rows per batch; the last batch of an epoch may be smaller.
    seed : int
        Seed of the order of the rows and of `transform`.
    transform : callable, optional
        Maps the inputs of a batch and a generator to the inputs to train on.
    """

    inputs: Tensor
    labels: Tensor
    batch_size: int
    seed: int
    transform: Transform | None = None

    def of_epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and labels of each batch of an epoch."""
        random = np.random.default_rng((self.seed, epoch))
        order = torch.from_numpy(random.permutation(len(self.inputs))).to(self.inputs.device)
        inputs, labels = (torch.split(data[order], self.batch_size) for data in (self.inputs, self.labels))
        for batch_inputs, batch_labels in zip(inputs, labels, strict=True):
            yield batch_inputs if self.transform is None else self.transform(batch_inputs, random), batch_labels


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches, epochs: Iterable[int]) -> Iterator[int]:
    """Train a classifier by cross-entropy and yield each epoch after its training.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits of shape (n, classes); put into training mode at the start of every epoch.
    optimizer : torch.optim.Optimizer
        Over the parameters of `model`.
    batches : Batches
        Data, on the device of `model`.
    epochs : iterable of int
        Numbers of the epochs to train, each at least 1.
    """
    for epoch in epochs:
        model.train()
        for inputs, labels in batches.of_epoch(epoch):
            optimizer.zero_grad()
            cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        yield epoch
