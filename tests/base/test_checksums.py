"""Tables that were changed after they were written are refused, and interrupted writes are not."""

import codecs
import json
import os
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from layerbits._base import UsageError, checksums, read_csv, write_csv

ROWS = [["1", "0.25"], ["2", "0.5"], ["3", "0.75"]]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, ["epoch", "loss"], ROWS)
    return path


def read(path):
    return read_csv(path, ["epoch", "loss"])


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.75\n", "0.7"), ("1,0.25\n2,0.5\n", "2,0.5\n1,0.25\n"), ("2,0.5\n", "2,0.5\n2,0.5\n"), ("0.5", "nan")],
)
def test_changed_table_is_refused(table, old, new):
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(UsageError, match=r"t\.csv: .* it was changed after it was written; .* delete \.t\.csv\.sha256"):
        read(table)


def test_table_with_any_changed_bit_is_refused(table, monkeypatch):
    monkeypatch.setattr(checksums, "_SECONDS_BETWEEN_READS", 0)
    content = table.read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(content), size=50):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        table.write_bytes(changed)
        with pytest.raises(UsageError, match="it was changed"):
            read(table)


def test_table_without_checksum_is_read_with_one_warning(table):
    (table.parent / ".t.csv.sha256").unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            assert read(table) == ROWS
    assert [str(warning.message) for warning in caught] == [f"{table}: it has no checksum, so it is read unverified"]


@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_byte_order_mark_is_no_part_of_the_first_column(table):
    table.write_bytes(codecs.BOM_UTF8 + table.read_bytes())
    with pytest.raises(UsageError, match="it was changed"):
        read(table)
    (table.parent / ".t.csv.sha256").unlink()
    assert read(table) == ROWS


def write_in_run(folder, name="t.csv", **settings):
    """Write a table of a run with these settings, and return its path."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"experiment": "e", "configuration": settings}))
    write_csv(folder / name, ["epoch", "loss"], ROWS)
    return folder / name


def copy_verified(source, target):
    for path in (source, target):
        assert checksums.checksum_path(path).exists()
    shutil.copyfile(source, target)
    shutil.copyfile(checksums.checksum_path(source), checksums.checksum_path(target))


def test_table_of_another_run_is_refused(tmp_path):
    first, second = (write_in_run(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert read(first) == read(second) == ROWS
    copy_verified(first, second)
    with pytest.raises(UsageError, match=r"1/t\.csv: .* of another run than run\.json.* delete \.t\.csv\.sha256"):
        read(second)


def test_table_of_another_variant_is_refused(tmp_path):
    write_in_run(tmp_path)
    for variant in ("a", "b"):
        (tmp_path / variant).mkdir()
        write_csv(tmp_path / variant / "t.csv", ["epoch", "loss"], ROWS)
    copy_verified(tmp_path / "a" / "t.csv", tmp_path / "b" / "t.csv")
    with pytest.raises(UsageError, match="of another run"):
        read(tmp_path / "b" / "t.csv")


def test_table_of_a_run_is_read_from_any_path(tmp_path, monkeypatch):
    write_in_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert read(Path("run/t.csv")) == ROWS
    (tmp_path / "run").rename("renamed")
    assert read(Path("renamed/../renamed/t.csv")) == ROWS


def test_write_that_is_killed_at_any_file_leaves_a_table_that_fits(table, monkeypatch):
    replace = os.replace
    for replacements in range(4):
        write_csv(table, ["epoch", "loss"], ROWS)
        remaining = iter(range(replacements))

        def killed(draft, path, remaining=remaining):
            if next(remaining, None) is None:
                raise KeyboardInterrupt
            replace(draft, path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            try:
                write_csv(table, ["epoch", "loss"], ROWS[:1])
            except KeyboardInterrupt:
                assert replacements < 3
        assert read(table) == (ROWS if replacements < 2 else ROWS[:1])


def test_table_is_read_while_it_is_replaced(table):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            write_csv(table, ["epoch", "loss"], ROWS)
            write_csv(table, ["epoch", "loss"], ROWS[:1])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            assert read(table) in (ROWS, ROWS[:1])
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_path_that_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "t.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UsageError, match=r"t\.csv: cannot be read: .*not a regular file"):
        read(path)
