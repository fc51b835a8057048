"""I(X;T) of wide layers behind noise, by draws and by the known network.

    python -m benchmarks.topics.wide_layers [--auto] [--memory GIB] [--mnist FOLDER] [NAME ...]

Each line has the intervals by 32 draws and by the known network, the mean of each bound of the known network, and the
seconds of the processor that each measurement takes, for all layers behind noise together. A line of a linear network
ends with the true value by plain Monte Carlo and its standard error. With `--auto`, `estimator="auto"` takes the place
of the known network, with default draws. `--memory` sets `max_memory`; networks of 512 and 1024 units need more than
the default 1 GiB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from torch import Tensor

from benchmarks.problems import WideNetwork, linear_network, mnist_cnn, mnist_mlp, tanh_network
from layerbits import InformationRow, InformationTable, layer_information
from layerbits.kernels import single_threaded_torch
from tests.support.answers import gaussian_mixture_information

_TRUTH_SAMPLES = 20_000

_NETWORKS: dict[str, Callable[[], WideNetwork]] = {
    "tanh64 x 2": partial(tanh_network, 64, 256, 2.0),
    "tanh64 x 3": partial(tanh_network, 64, 256, 3.0),
    "tanh256": partial(tanh_network, 256, 1024),
    **{f"linear{width}": partial(linear_network, width) for width in (20, 64, 128)},
}

_MNIST_NETWORKS: dict[str, Callable[[Path], WideNetwork]] = {
    **{
        f"mlp{width}, sigma {sigma:g}": partial(mnist_mlp, width=width, sigma=sigma)
        for width in (128, 512, 1024)
        for sigma in (1.0, 3.0)
    },
    **{f"cnn, sigma {sigma:g}": partial(mnist_cnn, sigma=sigma) for sigma in (0.3, 1.0, 3.0, 10.0)},
}


def lines(name: str, network: WideNetwork, estimator: str, max_memory: int = 2**30) -> Iterator[str]:
    """Measure the layers behind noise with draws and with `estimator`, "known" or "auto"."""
    tables, seconds = {}, {}
    draws_of_input = 32 if estimator == "known" else None
    for method in ("draws", estimator):
        start = time.process_time()
        tables[method] = layer_information(
            network.model,
            network.inputs,
            layers=list(network.layers),
            draws=draws_of_input,
            estimator=method,
            max_memory=max_memory,
        )
        seconds[method] = time.process_time() - start
    for layer in network.layers:
        by_draws, row = (_row(table, layer) for table in tables.values())
        truth = f"  true {_true_information(*network.truth)}" if network.truth else ""
        yield (
            f"{name:18} {layer:4} {_interval(by_draws):>14} {seconds['draws']:7.1f} s {_interval(row):>16} "
            f"{row.decoded:6.2f} to {row.plug_in:5.2f} {seconds[estimator]:7.1f} s{truth}"
        )


def _row(table: InformationTable, layer: str) -> InformationRow:
    return table[layer, "I(X;T)"]


def _interval(row: InformationRow) -> str:
    return f"[{row.lower:.2f}, {row.upper:.2f}]"


def _true_information(means: Tensor, covariance: Tensor) -> str:
    arrays = means.numpy(), covariance.numpy()
    value, error = gaussian_mixture_information(*arrays, _TRUTH_SAMPLES, seed=0)  # type: ignore[no-untyped-call]
    return f"{value:.2f} ± {error:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.topics.wide_layers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--mnist", type=Path, help="folder with the four files of MNIST, for the networks that need it")
    parser.add_argument("--auto", action="store_true", help='measure with estimator="auto" and default draws')
    parser.add_argument("--memory", type=float, default=1.0, metavar="GIB", help="max_memory in GiB; default: 1")
    parser.add_argument("names", nargs="*", help="networks, by the beginnings of their names; all by default")
    arguments = parser.parse_args()
    networks = dict(_NETWORKS)
    if arguments.mnist is not None:
        networks |= {name: partial(make, arguments.mnist) for name, make in _MNIST_NETWORKS.items()}
    for start in arguments.names:
        if not any(name.startswith(start) for name in networks):
            parser.error(f"names: got {start!r}, wanted the beginning of one of: {'; '.join(networks)}")
    estimator, draws_title, title = (
        ("auto", "draws   ", "auto         ") if arguments.auto else ("known", "32 draws", "known network")
    )
    print(f"{'network':18} layer     {draws_title}                {title}     its bounds")
    with single_threaded_torch():
        # The first measurement of a process loads libraries.
        warm = linear_network(8, 32)
        layer_information(warm.model, warm.inputs, layers=list(warm.layers), estimator=estimator)
        for name, make in networks.items():
            if not arguments.names or any(name.startswith(start) for start in arguments.names):
                for line in lines(name, make(), estimator, round(arguments.memory * 2**30)):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
