"""The command line: read arguments, run experiments, measure networks, and turn errors into exit statuses.

Exit statuses: 0 for success; 1 if `check` finds that intervals contain the true value too rarely, layers are not
refused, or baselines err by more than their bounds; 2 for an error, with one line on stderr, after the usage if the
arguments cannot be parsed; 130 for an interruption; 141, without a message, if the reader of stdout has ended. No other
package prints anything but progress bars.
"""

from layerbits.cli.command_line import main

__all__ = ["main"]
