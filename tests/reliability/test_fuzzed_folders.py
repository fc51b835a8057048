"""A damaged file of a run or of a monitor is refused in one line that names it, or changes no number.

LAYERBITS_FUZZ_SEED and LAYERBITS_FUZZ_EXAMPLES change the seed and the number of damages; tools/fuzz.py sets them.
"""

import os
import random
import re
import shutil

import pytest

import layerbits as lb
from layerbits._base import checksum_path
from layerbits.cli import main
from tests.support.run_files import run_tables

SEED = int(os.environ.get("LAYERBITS_FUZZ_SEED", "0"))
EXAMPLES = int(os.environ.get("LAYERBITS_FUZZ_EXAMPLES", "8"))
RUN = [
    "run",
    "szt-tanh",
    "--set=widths=4,3",
    "--set=epochs=3",
    "--set=measurements=2",
    "--set=draws=2",
    "--set=queries=2",
]
# A changed version in run.json, which has no checksum, is a warning.
pytestmark = pytest.mark.filterwarnings("ignore:.*the run had another:RuntimeWarning")
READ = (".csv", ".json", ".pt", ".sha256")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a finished tiny run, and a folder with the same settings and another seed."""
    path = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        assert main([*RUN, f"--seed={seed}", f"--out={path / str(seed)}"]) == 0
    return path


def flip_a_bit(choice, content, _):
    place = choice.randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


DAMAGES = {
    "one flipped bit": flip_a_bit,
    "cut": lambda choice, content, _: content[: choice.randrange(len(content))],
    "noise": lambda choice, content, _: choice.randbytes(len(content)),
    "noise in place of a part": lambda choice, content, _: content[: len(content) // 2] + choice.randbytes(64),
    "that of another run": lambda choice, content, other: other,
    "two parts swapped": lambda choice, content, _: content[len(content) // 2 :] + content[: len(content) // 2],
    "a part twice": lambda choice, content, _: content + content[-choice.randrange(1, 80) :],
    "another version": lambda choice, content, _: content.replace(b'"draws"', b'"rounds"').replace(b"value", b"mean"),
    "brackets": lambda choice, content, _: b"[" * 200_000,
    "null entries": lambda choice, content, _: re.sub(rb": (\{[^}]*\}|\[[^]]*\])", b": null", content),
}


def damaged(run, folder, choice):
    """Copy the run to `folder`, damage a file, and return a description."""
    shutil.copytree(run / "0", folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in READ and path.stat().st_size)
    content = result = b""
    while result == content:  # a table, for instance, has no null entries
        file, (name, damage) = choice.choice(files), choice.choice(list(DAMAGES.items()))
        content, other = file.read_bytes(), run / "1" / file.relative_to(folder)
        result = damage(choice, content, other.read_bytes())
    file.write_bytes(result)
    if name == "that of another run" and file.suffix == ".csv":
        shutil.copyfile(checksum_path(other), checksum_path(file))
    return f"{file.relative_to(folder)}: {name}"


def assert_ours(description, status, captured):
    lines = captured.err.splitlines()
    assert status in (0, 2), description
    assert len(lines) == (status == 2), (description, lines)
    assert not re.match(r"layerbits: \w+(Error|Exception): ", captured.err), (description, lines)


@pytest.mark.parametrize("number", range(EXAMPLES // 8))
def test_damaged_file_of_a_run_is_refused_or_changes_no_number(number, run, tmp_path, capsys, record_property):
    record_property("damaged folders", 1)
    choice = random.Random(f"{SEED} {number}")
    description = damaged(run, tmp_path / "run", choice)
    assert_ours(description, main(["report", str(tmp_path / "run")]), capsys.readouterr())
    status = main([*RUN, f"--out={tmp_path / 'run'}", "--resume"])
    assert_ours(description, status, capsys.readouterr())
    if status == 0:
        assert run_tables(tmp_path / "run") == run_tables(run / "0"), description


@pytest.mark.parametrize("number", range(10 * EXAMPLES))
def test_damaged_history_is_refused_or_changes_no_number(number, run, tmp_path, record_property):
    record_property("damaged folders", 1)
    choice = random.Random(f"{SEED} history {number}")
    description = damaged(run, tmp_path / "run", choice)
    try:
        history = lb.read_history(tmp_path / "run")
    except lb.LayerbitsError as error:
        assert re.match(rf"{tmp_path}/run/\S+: ", str(error)), description  # noqa: PT017
    else:
        assert history == lb.read_history(run / "0"), description
