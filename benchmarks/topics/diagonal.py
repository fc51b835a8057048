"""Log-sums over components with diagonal covariances: the kernel beside torch and the isotropic kernel.

    python -m benchmarks.topics.diagonal

Ratios are of processor time on one thread, in one run, so that a busy machine changes them little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from layerbits.kernels import as_sigma, log_sum_exp_diagonal, log_sum_exp_isotropic

# Rows of points and of components, by dimension.
_SIZES = {2: 4096, 10: 4096, 64: 2048, 512: 2048}

# Values of a block of differences in torch: the fastest of 2^14, 2^16, ..., 2^22 for 2048 rows in 10 dimensions.
_BLOCK_VALUES = 2**20

_ROUNDS = 5


def log_sums_of_torch(points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Return the log-sums by operators of torch, in blocks of points."""
    rows = max(1, _BLOCK_VALUES // centers.numel())
    blocks: tuple[Tensor, ...] = torch.split(points, rows)
    return torch.cat([_log_sums(block, centers, factors, offsets) for block in blocks])


def _log_sums(points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    squares = (points[:, None] - centers).mul_(factors).square_().sum(-1)
    return squares.div_(-2).add_(offsets).logsumexp(1)


def _processor_seconds(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def main() -> None:
    """Print rates and ratios by dimension and dtype."""
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.float64):
        for dim, rows in _SIZES.items():
            generator = torch.Generator().manual_seed(dim)
            points, centers, normal = (torch.randn(rows, dim, generator=generator, dtype=dtype) for _ in range(3))
            factors, offsets = (normal / 2).exp() / dim**0.5, torch.zeros(rows, dtype=dtype)
            arguments = points, centers, factors, offsets
            error = float((log_sum_exp_diagonal(*arguments) - log_sums_of_torch(*arguments)).abs().max())
            kernel = _processor_seconds(partial(log_sum_exp_diagonal, *arguments))
            by_torch = _processor_seconds(partial(log_sums_of_torch, *arguments))
            sigma = as_sigma(dim**0.5)
            isotropic = _processor_seconds(partial(log_sum_exp_isotropic, points, centers, sigma, method="dense"))
            print(
                f"{str(dtype)[6:]} d = {dim:3d}: {rows * rows / kernel / 1e9:.2f} G pairs/s, torch / kernel "
                f"{by_torch / kernel:.1f}, kernel / isotropic {kernel / isotropic:.2f}, difference {error:.1e} nats"
            )


if __name__ == "__main__":
    main()
