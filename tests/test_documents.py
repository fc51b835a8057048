"""The Python blocks of the documents run as they stand."""

import re
from pathlib import Path

import pytest
import torch

import layerbits as lb

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
            # tests/integrations run the blocks of trainers, whose import takes long
            if not re.search("cuda|import lightning|import transformers", block):
                exec(compile(block, document, "exec"), names)
    assert names["lb"]


@pytest.mark.usefixtures("one_thread")
def test_first_page_shows_what_its_code_prints(capsys):
    page = (ROOT / "docs/start.md").read_text()
    names: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(compile(block, "start.md", "exec"), names)
    printed, shown = capsys.readouterr().out, "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))
    number = r"-?\d+\.\d+"
    assert re.sub(rf" *{number}", "#", printed) == re.sub(rf" *{number}", "#", shown)
    # Other processors and versions of torch round differently; an interval is about 0.05 wide.
    values = [[float(text) for text in re.findall(number, text)] for text in (printed, shown)]
    assert values[0] == pytest.approx(values[1], abs=0.02)


def test_a_monitor_sees_the_features_and_edges_of_the_graph(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/your-network.md").read_text(), re.DOTALL)
    names = {"torch": torch, "nn": torch.nn, "lb": lb}
    exec(compile(next(block for block in blocks if "class Graph" in block), "your-network.md", "exec"), names)
    graph, nodes = names["graph"], torch.arange(50)
    options = {"at": [0], "directory": tmp_path, "sigma": 0.5, "layers": "rows"}
    lb.Monitor(graph, nodes, **options).step(0)
    for features, edges in ((2 * graph.features, graph.edges), (graph.features, graph.edges[:, :50])):
        other = names["Graph"](features, edges)
        other.first, other.second = graph.first, graph.second
        with pytest.raises(ValueError, match=r"^epoch: got 0, .* holds for a network with other weights"):
            lb.Monitor(other, nodes, **options).step(0)
