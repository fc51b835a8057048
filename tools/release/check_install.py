"""Check an installed layerbits in an empty environment: where it lies, its kernels, a known value, and a network.

python tools/release/check_install.py
"""

import sys
from pathlib import Path

import torch

import layerbits as lb

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Raise an AssertionError at the first result that is wrong."""
    folder = Path(lb.__file__).parent
    assert folder != ROOT / "python/layerbits", f"{folder}: got the source tree, wanted an installed package"
    cpu, cuda = lb.backends()
    assert cpu.usable, cpu
    estimate = lb.mixture_information(torch.tensor([[-1.0], [1.0]]), sigma=0.5)
    assert estimate.lower <= 0.632720 <= estimate.upper, estimate  # by quadrature
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    table = lb.layer_information(model, torch.eye(4), sigma=0.1)
    assert table.layers == ("1",), table
    print(f"layerbits {lb.__version__} in Python {sys.version.split()[0]}: {cpu}; {cuda}")


if __name__ == "__main__":
    main()
