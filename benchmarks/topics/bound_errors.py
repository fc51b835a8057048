"""`python -m benchmarks.topics.bound_errors [--quick]`: errors of I(X;T): its bounds, and values between them.

For networks of `layerbits.calibration` the reference is the true value. For layers of the SZT network the reference is
the middle of the two bounds at 512 draws, which are printed too.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from benchmarks.problems import trained_szt_network
from layerbits import InformationRow, calibration, layer_information

_RULES: Mapping[str, Callable[[InformationRow], float]] = {
    "plug-in": lambda row: row.plug_in,
    "decoder": lambda row: row.decoded,
    "halfway": lambda row: (row.plug_in + row.decoded) / 2,
    "value": lambda row: row.value,
}
_INPUTS = 512  # the inputs of a task are repeated for more queries, which does not change the information
_DRAWS = (16, 32, 64, 128)


def task_errors(kind: str, draws: int, seeds: int) -> dict[str, float]:
    """Return the root mean square error of each rule, in nats, over the networks of a kind and over seeds."""
    errors: dict[str, list[float]] = {rule: [] for rule in _RULES}
    for task in calibration.V1:
        if not isinstance(task, calibration.NetworkTask) or not task.name.startswith(kind):
            continue
        inputs = torch.as_tensor(np.array(task.inputs)).repeat(_INPUTS // len(task.inputs), 1)
        for seed in range(seeds):
            table = layer_information(
                task.network(), inputs, layers=task.layer, draws=draws, seed=seed, estimator="draws"
            )
            row = table[task.layer, "I(X;T)"]
            for rule, estimate in _RULES.items():
                errors[rule].append(estimate(row) - task.truths["I(X;T)"].value)
    return {rule: math.sqrt(np.mean(np.square(rule_errors))) for rule, rule_errors in errors.items()}


def szt_errors(epochs: int, layer: str) -> tuple[InformationRow, dict[str, float]]:
    """Return the row at 512 draws, and the error of each rule at 32 draws against the middle of that row's bounds."""
    noisy, inputs, _ = trained_szt_network(epochs)
    row, reference = (
        layer_information(noisy, inputs, layers=layer, draws=draws, seed=seed, estimator="draws")[layer, "I(X;T)"]
        for seed, draws in enumerate((32, 512))
    )
    middle = (reference.plug_in + reference.decoded) / 2
    return reference, {rule: estimate(row) - middle for rule, estimate in _RULES.items()}


def _line(head: str, errors: Mapping[str, float], sign: str = "") -> str:
    return f"{head:24}" + "".join(f"{error:>{sign}10.4f}" for error in errors.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.topics.bound_errors", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="one seed, two numbers of draws, two epochs")
    quick = parser.parse_args().quick
    header = f"{'':24}" + "".join(f"{rule:>10}" for rule in _RULES)
    print(f"{header}   root mean square error")
    for kind in ("scalar", "linear-cube"):
        for draws in _DRAWS[:2] if quick else _DRAWS:
            print(_line(f"{kind}, {draws} draws", task_errors(kind, draws, 1 if quick else 8)))
    print(f"{header}   error at 32 draws; bounds at 512 draws")
    for epochs in (30, 300) if quick else (30, 300, 2000):
        for layer in ("tanh4", "tanh5"):
            reference, errors = szt_errors(epochs, layer)
            bounds = f"{reference.decoded:.3f} to {reference.plug_in:.3f}"
            print(_line(f"epoch {epochs}, {layer}", errors, "+") + f"   {bounds}")


if __name__ == "__main__":
    main()
