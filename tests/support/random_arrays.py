"""Arrays of standard normal values, which depend on the seed alone."""

import numpy as np
import torch


def normal_array(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def normal_tensor(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(normal_array(*shape, seed=seed)).to(dtype)
