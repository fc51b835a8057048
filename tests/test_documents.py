"""The Python blocks of the documents run as they stand."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/start.md",
        "docs/your-network.md",
        "docs/choosing-sigma.md",
        "docs/in-training.md",
        "docs/known-network.md",
        "docs/extending.md",
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_python_blocks_run_in_their_order(document, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        for block in blocks:
            if "cuda" not in block:
                exec(compile(block, document, "exec"), names)
    assert names["lb"]
