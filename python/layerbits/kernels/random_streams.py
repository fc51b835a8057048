"""Random numbers from an explicit seed and the key of a stream; no generator is global.

The generators are counter-based (Philox): streams can be generated in any order, so results do not depend on how the
work is divided. The first number of a key is a member of `RandomStream`, the registry of all uses. Other generators
(torch's, and NumPy's PCG64) serve ordinary noisy passes, random operations of a network, initial weights, the order and
the transforms of batches, and the split into training and test data.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits.kernels.operations import fill_standard_normal


@enum.unique
class RandomStream(enum.IntEnum):
    """The uses of random numbers: the first number of a key, so that no two uses share a stream.

    The comment beside a member names the other numbers of its keys.
    """

    # Passes and estimators of layers.
    PASS_NOISE = 0  # layer, draw
    PASS_FACTORS = 29  # layer, draw
    QUERIES = 1  # layer
    QUERY_FACTORS = 30  # layer
    SEPARATE_QUERIES = 2  # layer
    SEPARATE_SEED = 3
    TRIAL_INPUTS = 4  # layer
    ROUND_SEED = 5  # round
    NETWORK_RANDOMNESS = 32  # first draw and first input of a pass
    DECODER_SEED = 48  # layer, decoder
    # Slices of layers.
    FRAMES = 60  # layer, dimension of a slice
    SLICE_SEED = 61  # slice
    SLICE_FIT_SEED = 62
    SLICE_FIT_INPUTS = 63
    SLICE_FIT_NOISE = 64  # layer
    # Mixtures and profiles.
    MIXTURE_PASS = 6  # pass
    PROFILE_QUERIES = 7  # layer
    # Information between layers.
    POOL_SEED = 9
    FIRST_LAYER_SEED = 10
    FIRST_LAYER_NOISE = 11
    FIRST_LAYER_FACTORS = 31
    CONDITIONAL_SEED = 12  # block
    PAIR_QUERIES = 13
    PAIR_TRIAL_INPUTS = 14
    # The known network.
    KNOWN_MODELS = 33  # input
    KNOWN_QUERIES = 34  # pass, use
    KNOWN_SAMPLES = 35  # input
    KNOWN_PRIOR_CHOICES = 36  # input
    KNOWN_RANGE = 37
    KNOWN_PILOT_SEED = 38
    KNOWN_BLOCK_SEED = 39  # block of queries
    KNOWN_ENTROPY_SEED = 40
    KNOWN_CHAINS = 49  # input
    KNOWN_REVERSED_CHAINS = 50  # input
    KNOWN_LOW_RANK_MODELS = 65  # input
    KNOWN_PAIR_SEED = 70
    KNOWN_PAIR_PILOT = 71
    # Baselines.
    FOLDS = 15  # samples
    BASELINE_SLICES = 66
    CRITIC_WEIGHTS = 67
    CRITIC_ROWS = 68
    BASELINE_SAMPLES = 69
    BASELINE_TIES = 72
    # Experiments.
    SCATTER_NOISE = 16
    BINNED_NOISE = 17  # layer
    DROPOUT = 18  # layer, pass
    SIMILARITY_NOISE = 19  # batch
    CORNER_SAMPLES = 20  # dimension, samples, repeat
    ESTIMATOR_SEED = 21  # dimension, samples, repeat
    CODEWORDS = 22  # order, variables
    SPIRAL_SPLIT = 23  # split
    SPIRAL_SAMPLES = 24  # samples, repeat
    SPIRAL_DECISIONS = 25
    RISK_SAMPLES = 26  # cell, repeat
    INTEGRATION = 27  # cell, repeat
    # Data.
    INPUT_SUBSET = 28


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of the stream `key` (integers >= 0) under `seed`; different keys are independent."""
    return np.random.Generator(np.random.Philox(_seeds(seed, key)))


def derived_seed(seed: int, *key: int) -> int:
    """Return the first 62 bits of the stream `key` under `seed`, as a seed."""
    return int(stream(seed, *key).integers(2**62))


def standard_normal(shape: Sequence[int], generator: np.random.Generator, dtype: torch.dtype) -> Tensor:
    """Generate standard normal values of `shape` on the CPU; the first rows do not depend on the number of rows."""
    values = np.empty(tuple(shape), np.float64 if dtype == torch.float64 else np.float32)
    _fill(values, generator)
    return torch.from_numpy(values).to(dtype)


class NormalStream:
    """Successive standard normal values of the stream `key` under `seed`, on one device.

    On the CPU the values are those of `stream`. A CUDA device generates other values, in its own memory, from a 64-bit
    key: two of a million streams have the same key with a probability of 3e-8, and streams with different keys do not
    overlap.
    """

    def __init__(self, seed: int, *key: int) -> None:
        self._source = _seeds(seed, key)
        self._position = 0

    @cached_property
    def generator(self) -> np.random.Generator:
        """The generator of `stream`, for random choices on the host; on the CPU it also generates the normal values."""
        return np.random.Generator(np.random.Philox(self._source))

    @cached_property
    def _key(self) -> int:
        return int(self._source.generate_state(1, np.uint64)[0])

    def fill(self, values: Tensor) -> None:
        """Fill a contiguous tensor of float32 or float64 with the next values; the interpreter's lock is released."""
        fill_rows([self], values.view(1, -1))

    def like(self, tensor: Tensor) -> Tensor:
        """Return the next values in the shape, dtype and device of a floating-point tensor."""
        values = empty_for_draws(tensor.shape, tensor)
        self.fill(values)
        return values.to(tensor)


def fill_rows(streams: Sequence[NormalStream], values: Tensor) -> None:
    """Fill each row of a tensor (streams, ...) with the next values of its stream.

    Rows must be contiguous, and all streams at the same position.
    """
    if not values.is_cuda:
        for row, row_stream in zip(values, streams, strict=True):
            _fill(row.numpy(), row_stream.generator)
        return
    rows = values.view(len(values), -1)
    fill_standard_normal(rows, [row_stream._key for row_stream in streams], streams[0]._position)
    for row_stream in streams:
        row_stream._position += rows.shape[1]


def uniform_like(tensor: Tensor, seed: int, *key: int) -> Tensor:
    """Return the first uniform values in [0, 1) of a stream, float32, in the shape and on the device of a tensor.

    A CUDA device generates other values than the CPU.
    """
    if not tensor.is_cuda:
        return torch.from_numpy(stream(seed, *key).random(tensor.shape, dtype=np.float32)).to(tensor.device)
    generator = torch.Generator(tensor.device).manual_seed(int(_seeds(seed, key).generate_state(1, np.uint64)[0]))
    return torch.rand(tensor.shape, generator=generator, device=tensor.device)


def empty_for_draws(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return an empty tensor for normal values that are later converted to the dtype and device of `like`.

    The dtype is float64 if `like` is float64, and float32 otherwise; the device is that of `like` if it is a CUDA
    tensor, and the CPU otherwise.
    """
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return torch.empty(shape, dtype=dtype, device=like.device if like.is_cuda else "cpu")


def _seeds(seed: int, key: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=key)


def _fill(values: npt.NDArray[Any], generator: np.random.Generator) -> None:
    generator.standard_normal(out=values, dtype=values.dtype.type)
