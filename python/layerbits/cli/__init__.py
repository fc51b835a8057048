"""The command line: read arguments, run experiments, measure networks, and turn errors into exit statuses.

Exit statuses: 0 for success; 1 if `check` finds intervals that contain the true value too rarely, layers that are not
refused, or baselines that err by more than their bounds, or if runs of a `sweep` have not finished; 2 for an error,
with one line on stderr, after the usage if the arguments cannot be parsed; 130 for an interruption; 141, without a
message, if the reader of stdout has ended. No other package prints anything but progress bars.
"""

from layerbits.cli.command_line import main

__all__ = ["main"]
