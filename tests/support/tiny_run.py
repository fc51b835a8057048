"""A tiny run of szt-tanh by the command line."""

import contextlib

import pytest

from layerbits.training import Checkpoints

TINY_RUN = [
    "run", "szt-tanh", "--set=widths=4,3",
    "--set=epochs=12", "--set=evaluations=5", "--set=measurements=4", "--set=draws=3", "--set=queries=3",
]  # fmt: skip
"""Arguments of the command line; epochs 1, 2, 5 and 12 are measured."""


@contextlib.contextmanager
def call_after_epoch(number, function):
    """Call `function` after `Checkpoints.step` of epoch `number`."""
    step = Checkpoints.step

    def step_and_call(self, epoch):
        step(self, epoch)
        if epoch == number:
            function()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "step", step_and_call)
        yield
