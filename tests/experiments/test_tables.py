"""Tables of an experiment: reading, writing, and completing an interrupted table."""

import math
from typing import NamedTuple

import pytest
import torch

from layerbits._base import UsageError
from layerbits.experiments.framework.tables import fill_table, read_table, write_table


class Square(NamedTuple):
    name: str
    root: int
    value: float


def square(root):
    return Square(f"of {root}", root, float(root**2) / 3)


def key(root):
    return f"of {root}", root


def test_rows_that_are_read_equal_the_written_rows(tmp_path):
    rows = [square(root) for root in range(4)]
    write_table(tmp_path / "squares.csv", Square, rows)
    assert read_table(tmp_path / "squares.csv", Square) == rows


def test_missing_table_has_no_rows(tmp_path):
    assert read_table(tmp_path / "squares.csv", Square) == []


@pytest.mark.parametrize("single_thread", [False, True])
def test_interrupted_table_is_completed_without_measuring_its_rows_again(tmp_path, monkeypatch, single_thread):
    monkeypatch.setattr("layerbits.experiments.framework.tables._SECONDS_BETWEEN_SAVES", -1.0)
    measured, interruptions = [], [3]

    def measure_square(root):
        if root in interruptions:
            interruptions.remove(root)
            raise KeyboardInterrupt
        measured.append(root)
        return square(root)

    def fill():
        return fill_table(
            tmp_path / "squares.csv", Square, range(5), measure_square, key=key, single_thread=single_thread
        )

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert read_table(tmp_path / "squares.csv", Square) == [square(root) for root in range(3)]
    rows = [square(root) for root in range(5)]
    assert fill() == rows == read_table(tmp_path / "squares.csv", Square)
    assert measured == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,root\n", "it has columns"),
        ("name,root,value\na,1,2\na,1.5,2\n", "row 2, column 'root': invalid literal"),
        ("name,root,value\na,1,2\na,1\n", "row 2 has 2 cells, wanted 3"),
        ("name,root,value\na,1,2\nb,2,4\n", "it has 2 rows"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_table_with_other_columns_types_or_rows_is_refused(tmp_path, text, words):
    path = tmp_path / "squares.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"squares\.csv: cannot be read: {words}"):
        fill_table(path, Square, [1], square, key=key)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("of 1,", "of 7,", "row 2 has the name 'of 7', wanted 'of 1'; restore it"),
        ("of 1,1", "of 1,7", "row 2 has the root 7, wanted 1; restore it"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_row_of_another_cell_is_refused_by_its_number(tmp_path, old, new, words):
    path = tmp_path / "squares.csv"
    write_table(path, Square, [square(root) for root in range(3)])
    (tmp_path / ".squares.csv.sha256").unlink()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=rf"squares\.csv: cannot be read: {words}"):
        fill_table(path, Square, range(3), square, key=key)


def test_cell_that_is_not_a_number_equals_itself(tmp_path):
    path = tmp_path / "squares.csv"
    row = Square("a", 1, math.nan)
    write_table(path, Square, [row])
    (read,) = fill_table(path, Square, [row], lambda _: row, key=tuple)
    assert math.isnan(read.value)


@pytest.mark.parametrize(("single_thread", "threads"), [(True, 1), (False, 2)])
def test_torch_has_one_thread_for_a_measurement_on_request(tmp_path, single_thread, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (row,) = fill_table(
            tmp_path / "squares.csv", Square, [3], lambda root: Square("threads", root, float(torch.get_num_threads())),
            key=lambda _: ("threads", 3), single_thread=single_thread,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    assert row.value == threads
