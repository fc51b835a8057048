"""A command whose output nobody reads to the end, as in `layerbits list | head -1`, ends without a message."""

import io
import os
import sys

import pytest

from layerbits.cli import command_line, main


@pytest.mark.parametrize(
    ("argument", "buffering"),
    [("list", -1), ("list", 0), ("--help", -1)],  # argparse ignores an error of an unbuffered write
)
def test_command_ends_with_the_status_of_a_closed_pipe(argument, buffering, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb", buffering=buffering) as binary:
        stdout = io.TextIOWrapper(binary, write_through=buffering == 0)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main([argument]) == 141
        print("text after the end of the reader")
        stdout.close()  # as the interpreter does at its exit
        monkeypatch.undo()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("stdout", ["a pipe", "nothing"])
def test_pipe_of_a_worker_process_that_ends_is_an_error(stdout, monkeypatch, capsys):
    def fail():
        raise BrokenPipeError("worker has ended")

    monkeypatch.setattr(command_line, "versions", fail)
    if stdout == "nothing":
        monkeypatch.setattr(sys, "stdout", None)
    assert main(["info"]) == 2
    assert capsys.readouterr().err == "layerbits: BrokenPipeError: worker has ended\n"


@pytest.mark.parametrize("buffering", [-1, 0])
def test_output_on_a_full_disk_is_one_line(buffering, monkeypatch, capfd):
    with open("/dev/full", "wb", buffering=buffering) as binary:
        stdout = io.TextIOWrapper(binary, write_through=buffering == 0)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["list"]) == 2
        monkeypatch.undo()
        stdout.close()
    assert capfd.readouterr().err == "layerbits: stdout: cannot be written to (No space left on device)\n"


def test_output_on_a_closed_stdout_is_one_line(monkeypatch, capsys, tmp_path):
    with (tmp_path / "stdout").open("w") as stdout:
        pass
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["list"]) == 2
    assert capsys.readouterr().err == "layerbits: stdout: cannot be written to (I/O operation on closed file.)\n"


def test_output_that_the_encoding_lacks_is_one_line(monkeypatch, capfd, tmp_path):
    with (tmp_path / "stdout").open("w", encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(command_line, "versions", lambda: {"\u03c3": "1"})
        assert main(["info"]) == 2
        monkeypatch.undo()
    assert capfd.readouterr().err.startswith("layerbits: stdout: cannot be written to ('ascii' codec can't encode")


@pytest.mark.parametrize("arguments", [["run", "--nonesuch"], ["nonesuch"]])
def test_usage_without_stderr_is_not_printed_on_stdout(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert capsys.readouterr().out == ""
