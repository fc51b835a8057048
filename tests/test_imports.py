"""The package imports slow libraries when they are needed; one new interpreter checks all of it."""

import subprocess
import sys

SCRIPT = """
import sys, layerbits
from layerbits import plots

assert layerbits.integrations
slow = {"accelerate", "lightning", "matplotlib", "torch._dynamo", "transformers"} & set(sys.modules)
assert not slow, f"import of layerbits: {slow}"
plots.curve_panel(plots.new_figure(width=2, height=2).add_subplot(), ylabel="y")
assert "matplotlib.pyplot" not in sys.modules, "figures"
"""


def test_import_imports_no_compiler_trainer_or_matplotlib_and_figures_are_made_without_pyplot():
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
