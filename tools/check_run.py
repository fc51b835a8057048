"""Checks what `layerbits run szt-tanh` wrote: the files, their columns, and the paper's claim in their numbers.

python tools/check_run.py FOLDER
"""

import csv
import json
import math
import sys
from pathlib import Path

COLUMNS = {
    "training.csv": "epoch,split,loss,accuracy",
    "information.csv": (
        "epoch,layer,quantity,estimator,value,standard_error,lower,upper,unit,draws,seconds,note,"
        "plug_in,plug_in_error,decoded,decoded_error,decoder,limited_by"
    ),
    "scatter.csv": "epoch,label,t1,t2,t3",
}  # fmt: skip


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def failures(folder: Path) -> list[str]:
    """Return a line for everything that is not as it should be."""
    lines = [
        f"{name}: columns {header}, wanted {wanted}"
        for name, wanted in COLUMNS.items()
        if (header := (folder / name).read_text().partition("\n")[0]) != wanted
    ]
    rows = [row for row in read(folder / "information.csv") if row["quantity"] == "I(X;T)"]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    first = [row for row in rows if row["layer"] == layers[0]]
    last = [row for row in rows if row["layer"] == layers[-1]]
    lower, values, upper = ([float(row[name]) for row in last] for name in ("lower", "value", "upper"))
    accuracy = [float(row["accuracy"]) for row in read(folder / "training.csv") if row["split"] == "test"][-1]
    apart = [row for row in first if not float(row["lower"]) - 1e-6 <= math.log(4096) <= float(row["upper"]) + 1e-6]
    checks = {
        f"wanted five layers, got {layers}": len(layers) == 5,
        f"layer 1 is not log 4096 within its error at {len(apart)} epochs": not apart,
        f"I(X;T_5) starts at {values[0]:.3f} and does not rise": max(values) > values[0],
        f"I(X;T_5) falls by {max(lower) - upper[-1]:.3f} nats at least, wanted more than 2": max(lower) - upper[-1] > 2,
        f"test accuracy {accuracy:.3f}, wanted at least 0.95": accuracy >= 0.95,
        "run.json does not say finished": json.loads((folder / "run.json").read_text())["status"] == "finished",
        "szt-tanh.png is no PNG": (folder / "szt-tanh.png").read_bytes().startswith(b"\x89PNG"),
    }
    return lines + [line for line, holds in checks.items() if not holds]


if __name__ == "__main__":
    found = failures(Path(sys.argv[1]))
    print("\n".join(found) or f"{sys.argv[1]}: complete, and shows what it should")
    sys.exit(bool(found))
