"""Log densities on the line and in the plane by expansions in cells, beside scipy, scikit-learn and KDEpy.

    python -m benchmarks.topics.gridded [--dimensions 2] [--quick]
    python -m benchmarks.topics.gridded --targets

Seconds are of processor time on one thread, in one run, so that a busy machine changes their ratios little. Rivals
that compare pairs get fewer points; the time of their sums, without the time of building a tree, is scaled to all
points.
With --targets, the grid alone runs on all threads of torch, and its seconds by the clock are compared with the targets
for two cores with AVX-512 or with AVX2; this needs an idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Target, on_avx512
from layerbits._base import Doubles
from layerbits.mixtures import mixture_log_density

SIGMAS = (0.001, 0.01, 0.1, 1.0, 10.0)
_SIZE, _QUICK_SIZE = 10**6, 20_000
_SAMPLE = 200  # points of the rivals that compare pairs
_DENSE_POINTS = 2000  # points of the dense kernel
_LEAST_SECONDS = 1e-3  # a call is repeated until the calls have taken this time together


def mixture(size: int, sigma: float, dimensions: int = 1) -> tuple[Doubles, Doubles]:
    """Return points and centers of a normal distribution with spread 1; points have noise of standard deviation sigma.

    Both have the shape (size, dimensions).
    """
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((size, dimensions))
    points = centers[generator.permutation(size)] + sigma * generator.standard_normal((size, dimensions))
    return points, centers


@dataclasses.dataclass(frozen=True)
class Rival:
    """A package: `build` makes an estimate from centers and sigma; `score` returns log densities at points."""

    build: Callable[[Doubles, float], Any]
    score: Callable[[Any, Doubles], Doubles]
    all_points: bool = False  # whether `score` gets all points; otherwise a sample of them
    in_the_plane: bool = False


def installed_rivals(dimensions: int = 1) -> dict[str, Rival]:
    """Return the rivals whose packages are installed; scipy's bandwidths in the plane are not isotropic."""
    rivals = {
        "scipy": Rival(_scipy_density, lambda density, points: density.logpdf(points[:, 0])),
        "scikit-learn": Rival(
            _scikit_learn_density, lambda density, points: density.score_samples(points), in_the_plane=True
        ),
        "KDEpy (FFT)": Rival(_kdepy_density, _kdepy_log_density, all_points=True),
    }
    modules = {"scipy": "scipy", "scikit-learn": "sklearn", "KDEpy (FFT)": "KDEpy"}
    return {
        name: rival
        for name, rival in rivals.items()
        if importlib.util.find_spec(modules[name]) and (dimensions == 1 or rival.in_the_plane)
    }


def _scipy_density(centers: Doubles, sigma: float) -> Any:
    from scipy.stats import gaussian_kde

    return gaussian_kde(centers[:, 0], bw_method=sigma / centers.std(ddof=1))


def _scikit_learn_density(centers: Doubles, sigma: float) -> Any:
    from sklearn.neighbors import KernelDensity

    return KernelDensity(bandwidth=sigma, rtol=1e-4).fit(centers)


def _kdepy_density(centers: Doubles, sigma: float) -> Any:
    """Return a grid of 2^14 equal steps and the densities on it."""
    from KDEpy import FFTKDE

    return FFTKDE(kernel="gaussian", bw=sigma).fit(centers[:, 0]).evaluate(2**14)


def _kdepy_log_density(density: Any, points: Doubles) -> Doubles:
    """Return logarithms of densities that are interpolated linearly."""
    with np.errstate(divide="ignore"):
        log_density: Doubles = np.log(np.interp(points[:, 0], *density))
    return log_density


def _seconds(call: Callable[[], object], rounds: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """Return the least seconds of a call; short calls are repeated, because clocks of the processor may stand still."""
    seconds = []
    for _ in range(rounds):
        started, elapsed, calls = clock(), 0.0, 0
        while elapsed < _LEAST_SECONDS:
            call()
            elapsed, calls = clock() - started, calls + 1
        seconds.append(elapsed / calls)
    return min(seconds)


def _gridded_call(points: Doubles, centers: Doubles, sigma: float, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    torch_points, torch_centers = torch.from_numpy(points).to(dtype), torch.from_numpy(centers).to(dtype)
    return partial(mixture_log_density, torch_points, torch_centers, sigma, method="gridded")


def targets(size: int) -> Iterator[Target]:
    """Time the grid on all threads at every sigma."""
    wanted_line = (25, 50) if on_avx512() else (75, 150)
    for dimensions, dtype, wanted in (
        (1, torch.float32, wanted_line[0]),
        (1, torch.float64, wanted_line[1]),
        (2, torch.float32, 400),
    ):
        for sigma in SIGMAS:
            call = _gridded_call(*mixture(size, sigma, dimensions), sigma, dtype)
            milliseconds = 1000 * _seconds(call, rounds=5, clock=time.perf_counter)
            name = f"d = {dimensions}, {str(dtype)[6:]}, sigma = {sigma:g}, ms"
            yield Target(name, milliseconds, wanted, at_most=True)


def measure(size: int, sigma: float, dtype: torch.dtype, dimensions: int = 1) -> str:
    """Return a line: time of the grid, ratios of the times of other methods to it, and largest differences in nats."""
    points, centers = mixture(size, sigma, dimensions)
    torch_points, torch_centers = torch.from_numpy(points).to(dtype), torch.from_numpy(centers).to(dtype)
    call = _gridded_call(points, centers, sigma, dtype)
    gridded, result = _seconds(call), call()
    dense_points = torch_points[:_DENSE_POINTS]
    dense_call = partial(mixture_log_density, dense_points, torch_centers, sigma, method="dense")
    difference = float((result[:_DENSE_POINTS] - dense_call()).abs().max())
    dense = _seconds(dense_call) * len(points) / len(dense_points)
    cells = [f"dense {dense / gridded:.3g} ({difference:.1e})"]
    for name, rival in installed_rivals(dimensions).items():
        scored = points if rival.all_points else points[:_SAMPLE]
        density = rival.build(centers, sigma)
        difference = float(np.abs(rival.score(density, scored) - result[: len(scored)].double().numpy()).max())
        build, score = (
            _seconds(partial(rival.build, centers, sigma), 1),
            _seconds(partial(rival.score, density, scored), 1),
        )
        cells.append(f"{name} {(build + score * len(points) / len(scored)) / gridded:.3g} ({difference:.1e})")
    return f"{str(dtype)[6:]} sigma = {sigma:g}: {1000 * gridded:.0f} ms; " + ", ".join(cells)


def main() -> None:
    """Print a line for each dtype and sigma: time / time of the grid, and the largest difference of log densities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dimensions", type=int, choices=(1, 2), default=1)
    parser.add_argument("--targets", action="store_true", help="seconds of the grid by the clock, on all threads")
    parser.add_argument("--quick", action="store_true", help=f"n = m = {_QUICK_SIZE}, for a test")
    options = parser.parse_args()
    size = _QUICK_SIZE if options.quick else _SIZE
    if options.targets:
        print(f"n = m = {size}, {torch.get_num_threads()} threads")
        for target in targets(size):
            print(target, flush=True)
        return
    torch.set_num_threads(1)
    print(
        f"n = m = {size}, d = {options.dimensions}, one thread: time of the grid; "
        "time / time of the grid (largest difference in nats)"
    )
    # In the plane, float64 has a grid for larger tolerances only.
    for dtype in (torch.float32, torch.float64)[: 3 - options.dimensions]:
        for sigma in SIGMAS:
            print(measure(size, sigma, dtype, options.dimensions), flush=True)


if __name__ == "__main__":
    main()
