"""Tables and JSON files, and their replacement in one step."""

import errno
import math
import os
from pathlib import Path

import pytest

from layerbits._base import UsageError, read_csv, read_json, replacing, write_csv, write_json


def test_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_and_fail():
        with replacing(path) as draft:
            draft.write_text("half of the text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_file_changes_only_when_the_write_is_complete(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5e-324, -0.0, 1.7976931348623157e308, math.inf])
def test_floats_are_read_back_to_the_same_bits(tmp_path, value):
    write_csv(tmp_path / "t.csv", ["x"], [[value]])
    assert float(read_csv(tmp_path / "t.csv", ["x"])[0][0]).hex() == value.hex()


def test_text_with_commas_quotes_and_newlines_is_read_back(tmp_path):
    write_csv(tmp_path / "t.csv", ["x", "y"], [['a,"b"\nc', ""]])
    assert read_csv(tmp_path / "t.csv", ["x", "y"]) == [['a,"b"\nc', ""]]


@pytest.mark.parametrize("content", ["", "a\n1\n", "a,b,c\n1,2,3\n", "b,a\n1,2\n", "a,b\n1\n"])
def test_table_with_other_columns_or_a_short_row_is_refused(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UsageError, match=r"it has columns|row 1 has 1 cell, wanted 2;"):
        read_csv(tmp_path / "t.csv", ["a", "b"])


def test_json_is_read_back(tmp_path):
    write_json(tmp_path / "t.json", {"σ": [0.1, None]})
    assert read_json(tmp_path / "t.json") == {"σ": [0.1, None]}


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_file_without_a_json_object_is_refused(tmp_path, content):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(UsageError, match="wanted a JSON object"):
        read_json(tmp_path / "t.json")


@pytest.mark.parametrize("file", ["t.csv", ".t.csv.sha256"])
def test_write_to_a_full_disk_names_the_file_and_keeps_the_old_table(tmp_path, file, monkeypatch):
    write_bytes = Path.write_bytes

    def fail(path, content):
        if path.name == f".draft-{file}":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_bytes(path, content)

    write_csv(tmp_path / "t.csv", ["x"], [[1]])
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(UsageError, match=r"t\.csv.*: cannot be written to \(No space left on device\)"):
        write_csv(tmp_path / "t.csv", ["x"], [[2]])
    assert read_csv(tmp_path / "t.csv", ["x"]) == [["1"]]
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", ".t.csv.sha256"}


def test_writers_with_different_names_have_different_drafts(tmp_path):
    with replacing(tmp_path / "t") as outer_draft, replacing(tmp_path / "t", writer="inner-") as inner_draft:
        assert outer_draft != inner_draft
        outer_draft.write_text("outer")
        inner_draft.write_text("inner")
    assert (tmp_path / "t").read_text() == "outer"  # the outer block ends last
