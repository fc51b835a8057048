"""A finished run, and the check of error messages."""

import pytest

from layerbits.cli import main
from tests.support.short_runs import few_pixels, no_layout, one_probe  # noqa: F401
from tests.support.tiny_run import TINY_RUN


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Return the folder of a finished tiny run; tests do not change its tables."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    assert main([*TINY_RUN, f"--out={path}"]) == 0
    return path


@pytest.fixture
def assert_one_error_line(capsys):
    """Return a function that asserts that stderr has one line with the given texts, and returns stdout."""

    def check(*texts):
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("layerbits: ")
        for text in texts:
            assert text in captured.err
        return captured.out

    return check
