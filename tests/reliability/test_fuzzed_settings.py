"""Random settings, TOML files and scripts of a user end in a configuration, a result, or a line that names the cause.

LAYERBITS_FUZZ_SEED and LAYERBITS_FUZZ_EXAMPLES change the seed and the number of examples; tools/fuzz.py sets them.
"""

import argparse
import os
import random
import re

import pytest

import layerbits as lb
from layerbits._base import UsageError
from layerbits.cli import main
from layerbits.cli.given_settings import given_settings
from layerbits.experiments import EXPERIMENTS, settings_table
from tests.support.fuzzing.odd_values import ODD_VALUES

SEED = int(os.environ.get("LAYERBITS_FUZZ_SEED", "0"))
EXAMPLES = int(os.environ.get("LAYERBITS_FUZZ_EXAMPLES", "8"))
UNIT = "settings, files and scripts"
TEXTS = (
    *("", " ", "0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e-320", "1e400", "9" * 400, "9" * 5000, "0x10"),
    *("1_000", "٣", "True", "true", "None", "none", ",", ",,1", "1,2", "1,1", "1,nan", "3,-2", "a", "a" * 10_000),
    *("cpu", "cuda", "cuda:999", "meta", "../..", "/dev/zero", "\x1b[2J\u202e", "\x00", "\ud800", "[1, 2]", "{}"),
)


def random_texts(choice, config):
    """Return some settings of a configuration with random texts, rarely with a name that it lacks."""
    names = [setting.name for setting in settings_table(config)]
    chosen = choice.sample(names, min(len(names), choice.randrange(1, 4)))
    chosen += ["nonesuch"] * (choice.random() < 0.05)
    return {name: choice.choice(TEXTS) for name in chosen}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_make_a_configuration_or_name_the_setting(name, record_property):
    choice = random.Random(f"{SEED} {name}")
    experiment = EXPERIMENTS[name]
    for _ in range(20 * EXAMPLES):
        texts = random_texts(choice, experiment.config_type())
        try:
            config = experiment.configuration(texts, quick=choice.random() < 0.5)
        except UsageError as error:
            names = "|".join(field.name for field in settings_table(experiment.config_type()))
            assert re.match(rf"({names}|nonesuch)\b", str(error)), (texts, str(error)[:200])  # noqa: PT017
            assert len(str(error)) < 1000, (texts, str(error)[:200])  # noqa: PT017
        else:
            assert isinstance(config, experiment.config_type)
    record_property(UNIT, 20 * EXAMPLES)


def random_toml(choice):
    """Return the bytes of a file: lines of TOML, some damaged, or noise."""
    values = ("3", "0.5", "'x'", "[1, 2]", "[[1], [2]]", "{a = 1}", "true", "nan", "inf", "2020-01-01", "9" * 400, '"')
    lines = [f"{choice.choice(('seed', 'draws', '', '[a', 'a.b', chr(0)))} = {choice.choice(values)}" for _ in range(3)]
    content = "\n".join(lines).encode()
    damages = (
        content,
        content[: choice.randrange(len(content) + 1)],
        choice.randbytes(50),
        b"\xef\xbb\xbf" + content,
        b"a = " + b"[" * 5000,
        b"a." * 5000 + b"b = 1",
    )
    return choice.choice(damages)


def test_toml_file_is_read_or_named(tmp_path, record_property):
    choice, path = random.Random(f"{SEED} TOML"), tmp_path / "settings.toml"
    for _ in range(20 * EXAMPLES):
        path.write_bytes(content := random_toml(choice))
        try:
            texts = given_settings(argparse.Namespace(config=path, set=[]))
        except UsageError as error:
            assert str(path) in str(error), content  # noqa: PT017
        else:
            assert all(isinstance(text, str) for text in texts.values()), content
    record_property(UNIT, 20 * EXAMPLES)


SCRIPT = """
import torch
from torch import nn
from tests.support.fuzzing.odd_values import ODD_VALUES

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))

def make():
    usual = {{"model": network(), "inputs": torch.eye(3), "labels": torch.arange(3) % 2, "sigma": 0.5}}
    return {returned}
"""


def random_script(choice):
    """Return a script whose function returns an odd value, or usual values with an odd one among them."""
    odd = f"ODD_VALUES[{choice.choice(sorted(ODD_VALUES))!r}]()"
    key = choice.choice(("model", "inputs", "labels", "sigma", "layers", "readout", "limit", "decoders"))
    returned = choice.choice((odd, f"(network(), {odd})", f"usual | {{{key!r}: {odd}}}", f"usual | {{{key!r}: {odd}}}"))
    return SCRIPT.format(returned=returned), returned


@pytest.mark.parametrize("number", range(2 * EXAMPLES))
def test_script_is_measured_or_refused_in_one_line(number, tmp_path, capsys, record_property):
    record_property(UNIT, 1)
    choice = random.Random(f"{SEED} script {number}")
    script, description = random_script(choice)
    (tmp_path / "script.py").write_text(script)
    settings = ["--set=draws=4", "--set=queries=2"]
    status = main(["measure", str(tmp_path / "script.py"), f"--out={tmp_path / 'out'}", *settings])
    captured = capsys.readouterr()
    assert status in (0, 2), description
    assert len(captured.err.splitlines()) == (status == 2), (description, captured.err)
    assert not re.match(r"layerbits: (?!TypeError|ValueError)\w+(Error|Exception): ", captured.err), description
    if status == 0:
        assert lb.read_history(tmp_path / "out").epochs == (0,)
