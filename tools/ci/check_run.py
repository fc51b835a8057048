"""Check the results of `layerbits run szt-tanh`: the files, their columns, and the paper's claim in the numbers.

python tools/ci/check_run.py FOLDER
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
        "plug_in,plug_in_error,decoded,decoded_error,decoder,limited_by,flags"
    ),
    "scatter.csv": "epoch,layer,label,t1,t2,t3",
}
N_INPUTS = 4096
ROUNDING = 1e-6  # nats by which an interval may miss log N through rounding
PNG_SIGNATURE = b"\x89PNG"


def failures(folder: Path) -> list[str]:
    """Return a line for each failed check of a run."""
    checks = check_files(folder) | check_numbers(folder)
    return [line for line, passed in checks.items() if not passed]


def check_files(folder: Path) -> dict[str, bool]:
    """Check columns, status and figure. Return whether each check passes, by the line to print if it fails."""
    checks = {}
    for name, wanted in COLUMNS.items():
        header = (folder / name).read_text().partition("\n")[0]
        checks[f"{name}: got columns {header}, wanted {wanted}"] = header == wanted
    status = json.loads((folder / "run.json").read_text())["status"]
    checks[f"run.json: got status {status}, wanted finished"] = status == "finished"
    figure = (folder / "szt-tanh.png").read_bytes()
    checks["szt-tanh.png: got another format, wanted PNG"] = figure.startswith(PNG_SIGNATURE)
    return checks


def check_numbers(folder: Path) -> dict[str, bool]:
    """Check information and accuracy. Return whether each check passes, by the line to print if it fails.

    As in the paper, the interval of layer 1 contains log N at every epoch, and the information of the last layer rises,
    then falls by more than 2 nats. There are five layers, and the final test accuracy is at least 0.95.
    """
    rows = [row for row in read(folder / "information.csv") if row["quantity"] == "I(X;T)"]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    first, last = ([row for row in rows if row["layer"] == layer] for layer in (layers[0], layers[-1]))
    log_n = math.log(N_INPUTS)
    outside = [row for row in first if not float(row["lower"]) - ROUNDING <= log_n <= float(row["upper"]) + ROUNDING]
    values = [float(row["value"]) for row in last]
    fall = max(float(row["lower"]) for row in last) - float(last[-1]["upper"])
    accuracy = [float(row["accuracy"]) for row in read(folder / "training.csv") if row["split"] == "test"][-1]
    return {
        f"layers: got {layers}, wanted five": len(layers) == 5,
        f"layer 1: log {N_INPUTS} is outside its interval at {len(outside)} epochs, wanted none": not outside,
        f"I(X;T_5): got no rise above its first value {values[0]:.3f}": max(values) > values[0],
        f"I(X;T_5): got a certified fall of {fall:.3f} nats, wanted more than 2": fall > 2,
        f"test accuracy: got {accuracy:.3f}, wanted at least 0.95": accuracy >= 0.95,
    }


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table, each a dict by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    lines = failures(Path(sys.argv[1]))
    print("\n".join(lines) or f"{sys.argv[1]}: complete, and shows the rise and fall of the paper")
    sys.exit(bool(lines))
