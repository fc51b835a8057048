"""Tables that are too long for a page: thinned copies, and their notes."""

import csv
import itertools

import pytest

from layerbits._base import COLUMNS, UsageError, checksums, read_csv, write_csv
from layerbits.report import run_report, write_report
from layerbits.report.snapshot import copy_tables
from layerbits.report.thinning import Table, copy_table, evenly
from tests.support.html_page import HtmlPage


def information_rows(n_epochs, n_layers):
    for epoch in range(1, n_epochs + 1):
        for layer in range(n_layers):
            yield [epoch, f"fc{layer}", "I(X;T)", "draws", 1, 0.1, 0.5, 2, "nats", 3, 0.1, "", 1, 0, 1, 0, "", "", ""]


@pytest.fixture
def copied(tmp_path):
    """Return a function that writes a table, copies it, and returns the description and the rows of the copy."""

    def copy(columns, rows, max_rows):
        write_csv(tmp_path / "table.csv", columns, rows)
        table = copy_table(tmp_path / "table.csv", tmp_path / "copy.csv", name="table.csv", max_rows=max_rows)
        with (tmp_path / "copy.csv").open(newline="") as file:
            return table, list(csv.reader(file))[1:]

    return copy


def test_short_table_is_copied_as_it_is(copied):
    rows = [["1", "a\nb"], ["x", ""], ["3"]]
    table, copy = copied(["epoch", "text"], rows, max_rows=3)
    assert copy == rows
    assert (table.rows, table.columns, table.thinned) == (3, ["epoch", "text"], "")


def test_long_table_keeps_the_first_and_the_last_epoch_and_all_rows_of_an_epoch(copied):
    rows = [[epoch, layer, epoch * layer] for epoch in range(1, 101) for layer in range(4)]
    table, copy = copied(["epoch", "layer", "value"], rows, max_rows=40)
    epochs = sorted({int(row[0]) for row in copy})
    assert len(epochs) == 10
    assert (epochs[0], epochs[-1]) == (1, 100)
    assert {second - first for first, second in itertools.pairwise(epochs)} == {11}
    assert len(copy) == 40
    assert table.rows == 400
    assert table.thinned == "the page shows 10 of 100 epochs; the table has 400 rows"


def test_table_of_many_layers_keeps_the_first(copied):
    rows = [[epoch, f"fc{layer}"] for epoch in (1, 2) for layer in range(1000)]
    table, copy = copied(["epoch", "layer"], rows, max_rows=500)
    assert [row[1] for row in copy] == [f"fc{layer}" for layer in range(128)] * 2
    assert table.thinned == "the page shows the first 128 layers; the table has 2,000 rows"


def test_epoch_of_many_rows_is_thinned_evenly(copied):
    table, copy = copied(["epoch", "t1"], [[7, index] for index in range(1000)], max_rows=100)
    assert [int(row[1]) for row in copy] == list(range(0, 1000, 10))
    assert "one of 10 rows" in table.thinned


def test_table_slightly_too_long_of_two_epochs_is_whole(copied):
    rows = [[epoch, index] for epoch in (1, 2) for index in range(55)]
    table, copy = copied(["epoch", "t1"], rows, max_rows=100)
    assert len(copy) == 110
    assert table.thinned == ""


@pytest.mark.parametrize("content", [b"\xff\xfe", b"epoch\n" + b"x\n" * 9, b'a\n"' + b"x" * 200_000])
def test_long_table_that_cannot_be_read_is_not_copied(content, tmp_path):
    (tmp_path / "table.csv").write_bytes(content)
    table = copy_table(tmp_path / "table.csv", tmp_path / "copy.csv", name="table.csv", max_rows=5)
    assert table == Table("table.csv", None, [])
    assert not (tmp_path / "copy.csv").exists()


@pytest.mark.parametrize(
    ("count", "most", "indices"), [(0, 3, []), (1, 3, [0]), (5, 9, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8])]
)
def test_even_choice_has_both_ends(count, most, indices):
    assert evenly(count, most) == indices


def test_page_of_a_long_history_is_small_and_says_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(run_report, "MAX_ROWS", 1000)
    write_csv(tmp_path / "information.csv", ["epoch", *COLUMNS], information_rows(150, 10))
    report = write_report(tmp_path)
    assert report.notes == (
        f"{tmp_path / 'information.csv'}: the page shows 100 of 150 epochs; the table has 1,500 rows",
    )
    page = HtmlPage(report.page)
    assert report.notes[0] in page.text
    assert len(page.curves()["fc0"]["v"]) == 100
    assert "1500" in page.text
    assert report.page.stat().st_size < 150_000


def test_runs_of_a_page_share_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(run_report, "MAX_ROWS", 1000)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "information.csv", ["epoch", *COLUMNS], information_rows(150, 10))
    page = HtmlPage(write_report(tmp_path).page)
    assert [len(content["epochs"]) for content in page.data["information"]] == [50, 50]


@pytest.mark.parametrize(("n_epochs", "number", "is_part"), [(150, 1000, True), (20, 200, False)])
@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_note_on_a_damaged_row_says_if_rows_of_a_part_are_counted(n_epochs, number, is_part, tmp_path, monkeypatch):
    monkeypatch.setattr(run_report, "MAX_ROWS", 1000)
    rows = list(information_rows(n_epochs, 10))
    rows[-1][4] = "x"
    write_csv(tmp_path / "information.csv", ["epoch", *COLUMNS], rows, checksum=False)
    with pytest.raises(
        UsageError, match=rf"information.csv: cannot be read: row {number}, column 'value': could not"
    ) as raised:
        write_report(tmp_path)
    assert ("counted in the part that the page shows" in str(raised.value)) == is_part


def test_long_table_that_was_changed_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "_SECONDS_BETWEEN_READS", 0.0)
    folder, path = tmp_path / "run", tmp_path / "run" / "information.csv"
    folder.mkdir()
    write_csv(path, ["epoch", *COLUMNS], information_rows(600, 2))
    (table,) = copy_tables(folder, tmp_path / "copy", max_rows=600)
    assert table.thinned
    assert len(read_csv(tmp_path / "copy" / "information.csv", table.columns)) == 600
    path.write_text(path.read_text().replace("\n7,fc0", "\n8,fc0"))
    copy_tables(folder, tmp_path / "changed", max_rows=600)
    with pytest.raises(UsageError, match=r"information\.csv: .* it was changed after it was written"):
        read_csv(tmp_path / "changed" / "information.csv", table.columns)
