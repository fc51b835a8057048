"""Reports of folders that no experiment made: those of a `Monitor`, and others with an information.csv."""

import codecs
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits._base import COLUMNS, UsageError, write_csv
from layerbits.cli import main
from layerbits.report import write_report
from tests.support.html_page import HtmlPage
from tests.support.random_arrays import normal_tensor
from tests.support.run_files import file_contents


@pytest.fixture
def folder(tmp_path):
    """Measure a network of tokens, with readouts, at three epochs; return the folder."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    tokens = normal_tensor(12, 5, 3, seed=1).float()
    readout = ["mean", None]
    monitor = lb.Monitor(
        model, tokens, torch.arange(12) % 2, at=[0, 1, 3], sigma=0.5, readout=readout, directory=tmp_path
    )
    for epoch in (0, 1, 3):
        monitor.step(epoch)
    return tmp_path


def test_report_of_a_monitor_has_curves_of_layers_and_readouts(folder, capsys):
    before = file_contents(folder)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().err == ""
    after = file_contents(folder)
    assert after.keys() - before.keys() == {Path("information.png"), Path("report.html")}
    assert before.items() <= after.items()
    page = HtmlPage(folder / "report.html")
    assert page.images.keys() == {"information.png"}
    assert "Status: 3 epochs measured" in page.text
    assert "measurement_noise" in page.text  # a setting of the monitor
    assert list(page.curves()) == ["1[mean]", "1"]
    assert page.curves()["1[mean]"]["epochs"] == [0, 1, 3]


def test_settings_of_a_monitor_are_those_that_were_given(folder):
    page = HtmlPage(write_report(folder).page)
    cells = [text for text in page.texts if text.strip()]
    configuration = cells[cells.index("Configuration") :]
    assert configuration[1:5] == ["setting", "value", "simultaneous", "False"]
    for name in ("at", "tolerance", "decoders", "None"):
        assert name not in configuration


def test_hashes_are_cut_with_the_whole_in_a_title(folder):
    path = folder / "information.json"
    settings = json.loads(path.read_text())
    del settings["checksum"]
    first, second = settings["inputs"], settings["network"]
    path.write_text(json.dumps({**settings, "sigma": [first, second]}))
    page = HtmlPage(write_report(folder).page)
    assert f"{first[:12]}…, {second[:12]}…" in page.texts
    titles = [attributes.get("title") for attributes in page.attributes("td")]
    assert {first, second, f"{first}, {second}"} <= set(titles)
    assert first not in page.text


def test_points_that_the_user_wrote_beside_a_monitor_need_no_checksum(folder):
    (folder / "scatter.csv").write_text("epoch,label,t1,t2\n1,0,0.5,-0.5\n")
    report = write_report(folder)
    assert report.notes == ()
    assert HtmlPage(report.page).data["points"][0]["epochs"] == [1]
    (folder / ".information.csv.sha256").unlink()
    (note,) = write_report(folder).notes
    assert note.endswith("no checksum: information.csv")


def test_page_of_a_monitor_without_labels_says_why_it_has_no_plane(folder, tmp_path):
    sentence = "No labels were given, so I(T;Y) is not measured."
    assert sentence not in HtmlPage(write_report(folder).page).text
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    lb.Monitor(model, normal_tensor(12, 3, seed=1).float(), at=[1], sigma=0.5, directory=tmp_path / "a").step(1)
    page = HtmlPage(write_report(tmp_path / "a").page)
    assert sentence in page.text
    assert "Status: 1 epoch measured" in page.text


def test_measures_of_a_monitor_have_a_chart_of_their_own(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    options = {"at": [1], "sigma": 0.5, "directory": tmp_path, "measures": ["binned_entropy"]}
    lb.Monitor(model, normal_tensor(12, 3, seed=1).float(), **options).step(1)
    page = HtmlPage(write_report(tmp_path).page)
    panels = [attributes["id"] for attributes in page.attributes("div") if attributes.get("class") == "panels"]
    assert panels == ["curves", "measures"]
    assert page.data["measures"] == ["binned_entropy"]


def test_a_monitor_can_continue_after_a_report(folder):
    write_report(folder)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    tokens, labels = normal_tensor(12, 5, 3, seed=1).float(), torch.arange(12) % 2
    monitor = lb.Monitor(model, tokens, labels, at=[7], sigma=0.5, readout=["mean", None], directory=folder)
    monitor.step(7)
    page = HtmlPage(write_report(folder).page)
    assert "Status: 4 epochs measured" in page.text
    assert page.curves()["1"]["epochs"] == [0, 1, 3, 7]


def test_table_alone_is_enough(tmp_path, write_information):
    write_information(tmp_path / "information.csv", layer="last hidden")
    report = write_report(tmp_path)
    assert report.notes == ()
    page = HtmlPage(report.page)
    assert "measured by another program" in page.text
    assert list(page.curves()) == ["last hidden"]
    assert page.images.keys() == {"information.png"}


def test_table_with_a_byte_order_mark_is_shown(tmp_path, write_information):
    path = tmp_path / "information.csv"
    write_information(path)
    (tmp_path / ".information.csv.sha256").unlink()
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    page = HtmlPage(write_report(tmp_path).page)
    assert list(page.curves()) == ["tanh1"]
    assert page.texts[page.texts.index("information.csv") + 2].startswith("epoch, ")


def test_table_without_rows_and_checksum_is_refused_without_a_warning(tmp_path):
    write_csv(tmp_path / "information.csv", ["epoch", *COLUMNS], [], checksum=False)
    with pytest.raises(UsageError, match="nothing to show yet"):
        write_report(tmp_path)


def test_table_that_was_changed_is_refused_with_the_remedy(folder, capsys):
    path = folder / "information.csv"
    path.write_text(path.read_text().replace(",auto,", ",auto1,", 1))
    assert main(["report", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert f"{path}: cannot be read: it was changed after it was written" in captured.err
    (folder / ".information.csv.sha256").unlink()
    assert main(["report", str(folder)]) == 2
    remedy = "rows of epoch 0 are not those that information.json records; restore it, or delete information.json"
    assert remedy in capsys.readouterr().err
    (folder / "information.json").unlink()
    assert main(["report", str(folder)]) == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"weights": 3}'])
def test_damaged_settings_are_refused(folder, content, capsys):
    (folder / "information.json").write_text(content)
    before = file_contents(folder)
    assert main(["report", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "information.json" in captured.err
    assert file_contents(folder) == before


def test_table_without_rows_is_refused(tmp_path, capsys):
    write_csv(tmp_path / "information.csv", ["epoch", *COLUMNS], [])
    assert main(["report", str(tmp_path)]) == 2
    assert "no table has rows" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"epoch\n1\n", b"\0", b"\xff\xfe\x9c"])
def test_folder_with_another_table_of_this_name_is_refused(tmp_path, content, capsys):
    (tmp_path / "information.csv").write_bytes(content)
    assert main(["report", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert f"{tmp_path / 'information.csv'}: cannot be read" in captured.err
    assert [file.name for file in tmp_path.iterdir()] == ["information.csv"]


def test_damaged_table_is_refused(tmp_path, write_information):
    write_information(tmp_path / "information.csv", value="much")
    with pytest.raises(UsageError, match=r"information\.csv: .*much"):
        write_report(tmp_path)
