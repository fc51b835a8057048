"""Log densities on the line by expansions in cells, beside scipy, scikit-learn and KDEpy.

    python -m benchmarks.topics.gridded [--quick]

Seconds are of processor time on one thread, in one run, so that a busy machine changes their ratios little. Rivals
that compare pairs get fewer points, and the time of their sums, without that of building a tree, is scaled to all.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from layerbits._base import Doubles
from layerbits.mixtures import mixture_log_density

SIGMAS = (0.001, 0.01, 0.1, 1.0, 10.0)
_SIZE, _QUICK_SIZE = 10**6, 20_000
_SAMPLE = 200  # points of the methods that compare all pairs
_DENSE_POINTS = 2000


def mixture(size: int, sigma: float) -> tuple[Doubles, Doubles]:
    """Return points and centers of a normal distribution with spread 1; points have noise of standard deviation sigma.

    Both have the shape (size, 1).
    """
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((size, 1))
    points = centers[generator.permutation(size)] + sigma * generator.standard_normal((size, 1))
    return points, centers


@dataclasses.dataclass(frozen=True)
class Rival:
    """A package: `build` makes an estimate from centers and sigma; `score` returns log densities at points."""

    build: Callable[[Doubles, float], Any]
    score: Callable[[Any, Doubles], Doubles]
    all_points: bool = False  # whether `score` gets all points; otherwise a sample of them


def installed_rivals() -> dict[str, Rival]:
    """Return the rivals whose packages are installed."""
    rivals = {
        "scipy": Rival(_scipy_density, lambda density, points: density.logpdf(points[:, 0])),
        "scikit-learn": Rival(_scikit_learn_density, lambda density, points: density.score_samples(points)),
        "KDEpy (FFT)": Rival(_kdepy_density, _kdepy_log_density, all_points=True),
    }
    modules = {"scipy": "scipy", "scikit-learn": "sklearn", "KDEpy (FFT)": "KDEpy"}
    return {name: rival for name, rival in rivals.items() if importlib.util.find_spec(modules[name])}


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


def _seconds(call: Callable[[], object], rounds: int = 3) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return min(seconds)


def measure(size: int, sigma: float, dtype: torch.dtype) -> str:
    """Return a line: seconds of the grid, the ratios of the times of other methods, and largest differences in nats."""
    points, centers = mixture(size, sigma)
    torch_points, torch_centers = torch.from_numpy(points).to(dtype), torch.from_numpy(centers).to(dtype)
    call = partial(mixture_log_density, torch_points, torch_centers, sigma, method="gridded")
    gridded, result = _seconds(call), call()
    few = torch_points[:_DENSE_POINTS]
    dense_call = partial(mixture_log_density, few, torch_centers, sigma, method="dense")
    difference = float((result[:_DENSE_POINTS] - dense_call()).abs().max())
    dense = _seconds(dense_call) * len(points) / len(few)
    cells = [f"dense {dense / gridded:.3g} ({difference:.1e})"]
    for name, rival in installed_rivals().items():
        some = points if rival.all_points else points[:_SAMPLE]
        density = rival.build(centers, sigma)
        worst = float(np.abs(rival.score(density, some) - result[: len(some)].double().numpy()).max())
        build, score = (
            _seconds(partial(rival.build, centers, sigma), 1),
            _seconds(partial(rival.score, density, some), 1),
        )
        cells.append(f"{name} {(build + score * len(points) / len(some)) / gridded:.3g} ({worst:.1e})")
    return f"{str(dtype)[6:]} sigma = {sigma:g}: {1000 * gridded:.0f} ms; " + ", ".join(cells)


def main() -> None:
    """Print a line for each dtype and sigma: time / time of the grid, and the largest difference of log densities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help=f"n = m = {_QUICK_SIZE}, for a test")
    size = _QUICK_SIZE if parser.parse_args().quick else _SIZE
    torch.set_num_threads(1)
    print(f"n = m = {size}, d = 1, one thread: time of the grid; time / time of the grid (largest difference in nats)")
    for dtype in (torch.float32, torch.float64):
        for sigma in SIGMAS:
            print(measure(size, sigma, dtype), flush=True)


if __name__ == "__main__":
    main()
