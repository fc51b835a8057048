"""`layerbits run`: run an experiment, and list its settings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerbits import plots
from layerbits.cli.given_settings import add_settings, given_settings
from layerbits.cli.parser_parts import add_path, complete
from layerbits.cli.terminal import duration, print_error, print_text, settings_lines
from layerbits.experiments import (
    EXPERIMENTS,
    Experiment,
    RunFolder,
    experiment_named,
    is_finished,
    require_usable_device,
    settings_table,
    slowdown,
)

if TYPE_CHECKING:
    from layerbits.cli.parser_parts import Commands


def add_run(commands: Commands) -> None:
    """Add the command to the parser."""
    run = commands.add_parser(
        "run",
        help="run an experiment",
        description="Run an experiment. `layerbits run NAME --help` lists its settings.",
        add_help=False,
    )
    name = run.add_argument("name", metavar="NAME", help="name of the experiment; see `layerbits list`")
    complete(name, bash="_layerbits_experiments", zsh=f"({' '.join(EXPERIMENTS)})")
    run.add_argument("-h", "--help", action=_Help, help="show this help, after NAME with the settings, and exit")
    size = run.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="use quick settings, for at most 90 seconds on two cores")
    size.add_argument("--preset", metavar="PRESET", help="use the settings of a preset, if the experiment has one")
    add_path(run, "--out", "DIR", "folder for the results (default: runs/NAME, runs/NAME-quick or runs/NAME-PRESET)")
    run.add_argument("--seed", metavar="N", help="seed of all random numbers (default: 0)")
    add_settings(run)
    run.add_argument("--resume", action="store_true", help="continue the run in DIR")
    run.set_defaults(execute=_run)


class _Help(argparse.Action):
    """Print the help of the command, and the settings of the experiment if its name stands before the option."""

    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        experiment = None if namespace.name is None else experiment_named(namespace.name)
        parser.print_help()
        if experiment is not None:
            print_text(f"\n{experiment.name}: {experiment.description}\n\nsettings:")
            runs = {"quick": experiment.quick, **experiment.presets}
            for line in settings_lines(settings_table(experiment.config_type()), runs):
                print_text(line)
        parser.exit()


def _run(arguments: argparse.Namespace) -> int:
    experiment = experiment_named(arguments.name)
    name = experiment.name
    plots.require_matplotlib()  # before the training, which may take hours
    config = _configuration(experiment, arguments)
    suffix = "quick" if arguments.quick else arguments.preset
    path = arguments.out or Path("runs", f"{name}-{suffix}" if suffix else name)
    # `expected_seconds` refuses a missing data set, so it is called before the folder is made.
    seconds = slowdown() * experiment.expected_seconds(config)
    about = "has finished before" if is_finished(path) else f"about {duration(seconds)} on two cores"
    folder = RunFolder(path, experiment=name, config=config, resume=arguments.resume)
    try:
        with folder.running():
            print_text(f"{name}: {about}, into {path}")
            experiment.run(config, folder)
    except KeyboardInterrupt:
        return print_error(f"interrupted; results so far are in {path}: add --resume to the command to continue", 130)
    print_text(f"results are in {path}")
    for key, value in folder.summary.items():
        print_text(f"  {key.replace('_', ' ')}: {value:.4g}")
    return 0


def _configuration(experiment: Experiment[Any], arguments: argparse.Namespace) -> Any:
    texts = given_settings(arguments)
    if arguments.seed is not None:
        texts["seed"] = arguments.seed
    config = experiment.configuration(texts, quick=arguments.quick, preset=arguments.preset)
    require_usable_device(config)
    return config
