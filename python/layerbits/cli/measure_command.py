"""`layerbits measure`: measure a network that a script of the user makes, at one or several checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layerbits._base import UsageError
from layerbits.cli.given_settings import add_settings, given_settings
from layerbits.cli.parser_parts import add_path, complete
from layerbits.cli.terminal import print_text, settings_lines
from layerbits.cli.user_network import epoch_and_path, load_parameters, network_arguments
from layerbits.estimators import MeasurementSettings
from layerbits.experiments import settings_table, with_settings
from layerbits.training import Monitor

if TYPE_CHECKING:
    from layerbits.cli.parser_parts import Commands

_DESCRIPTION = """\
Measure the information of the layers of your own network.

A function in SCRIPT.py, by default make(), returns (model, inputs), or
(model, inputs, labels), or a dict with the keys model and inputs and any of
labels, sigma, layers, readout, limit and decoders, as in layerbits.Monitor.
With --data DIR it is called as make(Path(DIR)).

Each checkpoint is an epoch in the information.csv of the folder of the
results, which `layerbits report` takes. Epochs that the folder already has are
not measured again. Without a checkpoint the network is measured as the function
made it, as epoch 0.
"""


def add_measure(commands: Commands) -> None:
    """Add the command to the parser."""
    settings = "\n".join(settings_lines(settings_table(MeasurementSettings()), {}))
    measure = commands.add_parser(
        "measure",
        help="measure a network of your own",
        description=_DESCRIPTION,
        epilog=f"settings:\n{settings}".replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    script = measure.add_argument("script", metavar="SCRIPT.py[:FUNCTION]", help="the function that makes the network")
    complete(script, bash="_shtab_compgen_files", zsh="_files -g '*.py'")
    add_path(measure, "--data", "DIR", "folder of the data, the argument of the function")
    checkpoint = measure.add_argument(
        "--checkpoint",
        metavar="[EPOCH=]FILE",
        action="append",
        default=[],
        help="file with parameters of the network; repeatable; without EPOCH, the number after `epoch` in its name, or "
        "0 for a single file",
    )
    complete(checkpoint, bash="_shtab_compgen_files", zsh="_files")
    add_path(measure, "--out", "DIR", "folder for the results (default: runs/SCRIPT)")
    measure.add_argument("--sigma", metavar="S", type=float, help="noise that the measurement alone adds to each layer")
    measure.add_argument("--layers", metavar="NAME", action="append", help="name or glob of layers; repeatable")
    measure.add_argument("--limit", metavar="N", type=int, help="measure a random subset of the inputs")
    add_settings(measure)
    measure.set_defaults(execute=_measure)


def _measure(arguments: argparse.Namespace) -> int:
    settings = with_settings(MeasurementSettings(), given_settings(arguments))
    checkpoints = _checkpoints(arguments.checkpoint)
    network = network_arguments(arguments.script, arguments.data)
    options = {name: value for name in ("sigma", "layers", "limit") if (value := getattr(arguments, name)) is not None}
    first_path = next(iter(checkpoints.values()))
    if first_path is not None:
        load_parameters(network["model"], first_path)  # before the folder is made, because the file may be wrong
    folder = arguments.out or Path("runs", Path(arguments.script.partition(":")[0]).stem)
    monitor = Monitor(**(network | options), at=checkpoints, directory=folder, settings=settings)
    if first_path is not None and epoch_and_path(arguments.checkpoint[0])[0] is None:  # the only checkpoint
        print_text(
            f"{first_path} has no number after `epoch` in its name, so it is epoch 0; EPOCH={first_path} gives another"
        )
    for epoch, path in checkpoints.items():
        if path is not None:
            load_parameters(network["model"], path)
        source = f"the network of {arguments.script}" if path is None else path
        print_text(f"epoch {epoch}: {source}\n{monitor.step(epoch)}")
    print_text(f"results are in {folder}; `layerbits report {folder}` plots them")
    return 0


def _checkpoints(texts: list[str]) -> dict[int, Path | None]:
    """Return the file of each epoch, ascending; None stands for the network as it was made."""
    if not texts:
        return {0: None}
    files = [epoch_and_path(text) for text in texts]
    checkpoints: dict[int, Path | None] = {}
    for epoch, path in files:
        if epoch is None and len(files) > 1:
            raise UsageError(f"--checkpoint: {path}: got no epoch in the name of the file; write EPOCH={path}")
        if epoch in checkpoints:
            raise UsageError(f"--checkpoint: got epoch {epoch} twice, wanted distinct epochs; write EPOCH={path}")
        checkpoints[epoch or 0] = path
    return dict(sorted(checkpoints.items()))
