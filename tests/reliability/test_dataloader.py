"""The DataLoader of torch with workers that call layerbits, for every start method."""

import multiprocessing

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from layerbits import mixture_log_density

CENTERS = torch.from_numpy(np.random.default_rng(0).standard_normal((2000, 3)))


class Densities(Dataset):
    """A dataset that computes its items in the worker, like an augmentation."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return mixture_log_density(CENTERS[index * 300 : (index + 1) * 300], CENTERS, 0.5)


def density_of_batch(items):
    """Return the items, and log densities at their first three values, computed in the worker that collates."""
    batch = torch.stack(items)
    return batch, mixture_log_density(batch[:, :3], batch[:, :3], 0.5)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the test forks a process with threads
def test_workers_give_the_bits_of_this_process(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    expected = list(DataLoader(Densities(), batch_size=2, collate_fn=density_of_batch))
    workers = DataLoader(
        Densities(),
        batch_size=2,
        collate_fn=density_of_batch,
        num_workers=2 if method == "fork" else 1,  # a worker that is not forked imports torch first
        multiprocessing_context=method,
        timeout=90,
    )
    for batch, expected_batch in zip(workers, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, expected_batch, strict=True))
