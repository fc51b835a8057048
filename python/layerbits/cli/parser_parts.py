"""Parts that the parsers of several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_path(
    parser: argparse.ArgumentParser, name: str, metavar: str, help: str, *, nargs: Literal["+"] | None = None
) -> None:
    """Add an argument with a path, which shells complete by folders if `metavar` is DIR and by files otherwise."""
    action = parser.add_argument(name, metavar=metavar, type=Path, help=help, nargs=nargs)
    if metavar == "DIR":
        complete(action, bash="_shtab_compgen_dirs", zsh="_files -/")
    else:
        complete(action, bash="_shtab_compgen_files", zsh="_files")


def complete(action: argparse.Action, **completions: str) -> None:
    """Set the completion of an argument in each shell: a function for bash, a specification for zsh."""
    action.complete = completions  # type: ignore[attr-defined]  # shtab reads this attribute


def complete_settings(action: argparse.Action) -> None:
    """Complete the names of the settings of the experiment on the command line."""
    complete(action, bash="_layerbits_settings", zsh="_layerbits_settings")
