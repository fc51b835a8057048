"""Write the tables of trainings for checks of reports: values that fall over the layers and the epochs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from layerbits._base import COLUMNS

HOSTILE = "<img src=x onerror=alert(1)>" + "x" * 200
"""Name of the first layer."""

_SCALES = {"I(X;T)": math.log(1000), "I(T;Y)": math.log(2), "I(X;T|Y)": math.log(500), "h(T)": -9.0, "h(T|X)": -30.0}


def write_run(folder: Path, *, epochs: Sequence[int], n_layers: int, seed: int) -> None:
    """Write information.csv with its settings, measures.csv, training.csv, and with the seed 0 scatter.csv."""
    folder.mkdir(parents=True)
    _write(folder / "information.csv", ["epoch", *COLUMNS], _information(epochs, n_layers, seed))
    measures = ([epoch, HOSTILE, "rank", 3 + seed] for epoch in epochs)
    _write(folder / "measures.csv", ["epoch", "layer", "measure", "value"], measures)
    limits = {quantity: scale for quantity, scale in _SCALES.items() if scale > 0}
    (folder / "information.json").write_text(json.dumps({"confidence": 0.95, "limits": limits, "seed": seed}))
    splits = ((epoch, split) for epoch in epochs for split in ("train", "test"))
    losses = ([epoch, split, (3 + seed) / (3 + epoch), epoch / (1 + epoch)] for epoch, split in splits)
    _write(folder / "training.csv", ["epoch", "split", "loss", "accuracy"], losses)
    if seed == 0:
        points = (
            [
                epoch,
                "encoder.layers.2.relu",
                index % 2,
                *(math.sin(index * step) ** 3 for step in (1.0, 1.7, 2.3 + epoch)),
            ]
            for epoch in epochs[::4]
            for index in range(300)
        )
        _write(folder / "scatter.csv", ["epoch", "layer", "label", "t1", "t2", "t3"], points)


def _information(epochs: Iterable[int], n_layers: int, seed: int) -> Iterator[list[object]]:
    for epoch in epochs:
        for number in range(n_layers):
            layer = HOSTILE if number == 0 else f"encoder.layers.{number}.relu"
            share = (1 - number / (n_layers + 1)) * (1 - 0.05 * math.log(epoch + seed))
            for quantity, scale in _SCALES.items():
                value, margin = scale * share, 0.05 * abs(scale)
                numbers = (value, 0.1, value - margin, value + margin * number / (1 + number))
                rest = ("nats", 32, 0.1, f"a note on {quantity}", 1, 0, 1, 0, "", "", "")
                yield [epoch, layer, quantity, "draws", *numbers, *rest]


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
