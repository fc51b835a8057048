"""The script that completes commands in a shell: that of shtab, and functions for experiments and their settings."""

from __future__ import annotations

import argparse

from layerbits._base import require_package
from layerbits.estimators import MeasurementSettings
from layerbits.experiments import EXPERIMENTS, settings_table

SHELLS = ("bash", "zsh")

# The first word of a command line that names an experiment, or `measure`, decides the settings.
_BASH = """\
_layerbits_experiments() {{ compgen -W '{experiments}' -- "$1"; }}
_layerbits_settings() {{
  local word
  for word in "${{COMP_WORDS[@]}}"; do
    case $word in
{cases}
    esac
  done
}}
"""
# After a setting there is no space, because its value follows.
_BASH_AFTER_SHTAB = """
_layerbits() {
  _shtab_layerbits "$@"
  if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace; fi
}
complete -o bashdefault -F _layerbits layerbits"""
_ZSH = """\
_layerbits_settings() {{
  local word
  for word in $words; do
    case $word in
{cases}
    esac
  done
}}
"""


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell of `SHELLS`.

    Raises
    ------
    MissingPackageError
        shtab is not installed.
    """
    require_package("shtab", extra="completion", purpose="completion scripts")
    import shtab

    configurations = {name: experiment.config_type() for name, experiment in EXPERIMENTS.items()}
    keys = {
        name: [setting.name for setting in settings_table(configuration)]
        for name, configuration in (configurations | {"measure": MeasurementSettings()}).items()
    }
    if shell == "bash":
        cases = _cases({name: f"""compgen -W '{"= ".join(names)}=' -- "$1\"""" for name, names in keys.items()})
        preamble = _BASH.format(experiments=" ".join(EXPERIMENTS), cases=cases)
        return shtab.complete(parser, shell="bash", preamble=preamble) + _BASH_AFTER_SHTAB
    cases = _cases({name: f"compadd -S = -- {' '.join(names)}" for name, names in keys.items()})
    return shtab.complete(parser, shell="zsh", preamble=_ZSH.format(cases=cases))


def _cases(commands: dict[str, str]) -> str:
    return "\n".join(f"      {name}) {command}; return;;" for name, command in commands.items())
