"""Settings as texts, from a TOML file and from options such as `--set KEY=VALUE`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from layerbits._base import UsageError, read_regular, shown
from layerbits.cli.parser_parts import add_path, complete_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LARGEST_FILE = 2**20  # bytes


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options for settings to a command."""
    add_path(parser, "--config", "FILE.toml", "read settings from lines KEY = VALUE; --set replaces them")
    setting = parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting; repeatable"
    )
    complete_settings(setting)


def given_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the given settings by name, as texts; options of the command line replace those of the file.

    Raises
    ------
    UsageError
        The file is missing or is no TOML of numbers, texts and lists, or an option is not KEY=VALUE.
    """
    texts = {} if arguments.config is None else _read_file(arguments.config)
    for setting in arguments.set:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set: got {shown(repr(setting))}, wanted KEY=VALUE")
        texts[key] = value
    return texts


def _read_file(path: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(read_regular(path, limit=_LARGEST_FILE).decode())
    except OSError as error:
        raise UsageError(f"--config: {path} cannot be read ({error.strerror}); name a TOML file") from error
    except RecursionError as error:
        raise UsageError(f"--config: {path} is nested too deeply; write lines such as epochs = 500") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise UsageError(f"--config: {path} is no TOML ({error}); write lines such as epochs = 500") from error
    return {name: _text(path, name, value) for name, value in content.items()}


def _text(path: Path, name: str, value: object) -> str:
    if isinstance(value, list):
        return ",".join(_text(path, name, item) for item in value)
    if isinstance(value, int | float | str):
        return str(value)
    raise UsageError(f"{path}: {name}: got a {type(value).__name__}, wanted a number, a text or a list of them")
