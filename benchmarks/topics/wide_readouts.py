"""`python -m benchmarks.topics.wide_readouts`: seconds of slices, profiles of sigma and `suggest_sigma`.

Seconds are by the clock on all cores, the least of three rounds, so they need an idle machine. Targets are for two
cores with AVX-512 or with AVX2. Slices are 64 random directions of each layer of the noisy SZT network: 4096 inputs, 32
draws, 4 queries for each input. Profiles are those of 10,000 inputs at 1568 ReLUs with random weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.harness import Target, on_avx512
from benchmarks.problems import noisy_szt_network
from layerbits import RandomSlices, layer_information, sigma_profile, suggest_sigma

_SIGMAS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
_ROUNDS = 3


def targets(*, quick: bool = False) -> Iterator[Target]:
    """Time slices of the SZT layers, a profile of eight sigmas, and `suggest_sigma` as a ratio to the profile."""
    avx512 = on_avx512()
    noisy, inputs = noisy_szt_network(256 if quick else 4096)
    slices = RandomSlices(1, count=64)
    seconds = _seconds(lambda: layer_information(noisy, inputs, draws=32, queries=4, readout=slices))
    yield Target("64 slices of the SZT layers, s", seconds, 1.5 if avx512 else 4, at_most=True)
    torch.manual_seed(0)
    units = 64 if quick else 1568
    model = nn.Sequential(nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 1))
    rows = torch.randn(500 if quick else 10_000, 64)
    profile = _seconds(lambda: sigma_profile(model, rows, sigmas=_SIGMAS))
    yield Target("sigma_profile, s", profile, 12 if avx512 else 40, at_most=True)
    suggestion = _seconds(lambda: suggest_sigma(model, rows))
    yield Target("suggest_sigma, profiles", suggestion / profile, 2, at_most=True)


def _seconds(call: Callable[[], object]) -> float:
    def timed() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return min(timed() for _ in range(_ROUNDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="256 and 500 inputs, for a test")
    for target in targets(quick=parser.parse_args().quick):
        print(target, flush=True)


if __name__ == "__main__":
    main()
