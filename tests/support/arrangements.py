"""Numbers of public functions under arrangements that must not change a bit: threads, ISA level, batches, memory."""

import contextlib
import hashlib
import itertools
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.distributed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb
from layerbits.kernels import cpu_operations


class Arrangement(NamedTuple):
    """One way to compute the numbers: the threads of the kernels, and how data is stored and read."""

    threads: int = 1
    level: str = ""  # empty: the best one
    batch: int = 0  # rows of a batch of a DataLoader; 0: a tensor
    workers: int = 0  # of the DataLoader
    method: str | None = None  # how its workers start
    order: str = "C"  # memory order of all arrays


N, WIDTHS = 150, (6, 5, 4)


def _values(count, width=WIDTHS[0]):
    """Return values that need no generator of NumPy or torch, so that they are the same in every version."""
    return np.modf(np.sqrt(np.arange(1, count * width + 1)) * 7.3)[0].reshape(count, width) * 4 - 2


def _ordered(array, order):
    if order == "strided":
        return np.repeat(array, 3, axis=0)[::3]
    return np.array(array, order=order)


def _network():
    layers = []
    for i, (width, next_width) in enumerate(itertools.pairwise(WIDTHS)):
        linear = nn.Linear(width, next_width)
        linear.weight.data = torch.tensor(_values(next_width, width) * 0.8, dtype=torch.float32)
        linear.bias.data = torch.full((next_width,), 0.1 * i)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 2))


def _inputs(arrangement):
    values = torch.from_numpy(_ordered(_values(N).astype(np.float32), arrangement.order))
    if not arrangement.batch:
        return values
    return DataLoader(
        TensorDataset(values),
        batch_size=arrangement.batch,
        num_workers=arrangement.workers,
        multiprocessing_context=arrangement.method,
    )


def _rows(table):
    return [(row.layer, row.quantity, row.value, row.lower, row.upper, row.plug_in) for row in table]


def _measurements(arrangement, group):
    """Yield the names and the numbers of each measurement."""
    points, weights = (_ordered(array, arrangement.order) for array in (_values(N, 3), np.arange(1.0, N + 1)))
    labels = _ordered(np.arange(N) % 3, arrangement.order)
    network = lb.noisify(_network(), sigma=0.3)
    yield "layers", _rows(lb.layer_information(network, _inputs(arrangement), draws=4, queries=2, group=group))
    yield "known", _rows(lb.layer_information(_network(), _inputs(arrangement), sigma=0.3, queries=2, group=group))
    yield (
        "profile",
        [tuple(row.__dict__.values()) for row in lb.sigma_profile(points, [0.1, 0.5], labels=labels, group=group)],
    )
    yield "density", lb.mixture_log_density(points, points, 0.4, weights=weights).tolist()
    yield "mixture", repr(lb.mixture_information(points, 0.4, tolerance=0.05, group=group))
    yield "information", _rows(lb.information({"points": points}, 0.4, labels, queries=2))
    yield "histogram", repr(lb.pairwise_distance_histogram(points, labels, bins=20, group=group))
    yield "separation", repr(lb.class_separation(points, labels))
    yield "entropy", repr(lb.mixture_entropy(points, 0.4, weights=weights, tolerance=0.05))
    yield "binned", repr(lb.binned_information(points, 0.3, labels=labels))
    yield "bounds", repr(lb.baselines.pairwise_bounds(points, sigma=0.4, labels=labels))
    yield "Renyi", repr(lb.baselines.matrix_renyi_entropy(points, labels=labels))
    yield "KDE", repr(lb.baselines.kde_entropy(points))
    yield "neighbours", repr(lb.baselines.kozachenko_leonenko_entropy(points, labels=labels))
    yield "KSG", repr(lb.baselines.ksg_information(points, inputs=points[:, :2]))
    yield "sliced KSG", repr(lb.baselines.sliced_ksg_information(points, inputs=points, slices=4))


@contextlib.contextmanager
def _kernels(threads, level):
    with pytest.MonkeyPatch.context() as patch:
        # The package never takes more threads than there are cores; the kernels can.
        patch.setattr(cpu_operations, "threads", lambda: threads)
        patch.setenv("LAYERBITS_MAX_ISA", level)
        yield


def digests(arrangement, group=None):
    """Return a hash of the numbers of each measurement."""
    with _kernels(arrangement.threads, arrangement.level):
        numbers = dict(_measurements(arrangement, group))
    return {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, value in numbers.items()}


def digests_of_rank(rank, arrangement):
    """Return the hashes of `digests` for the process `rank` of a group."""
    return digests(arrangement, torch.distributed.group.WORLD)
