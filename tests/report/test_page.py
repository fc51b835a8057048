"""The page of a report: content, and escaping of texts with markup."""

import base64
import hashlib
import re

import pytest

from layerbits._base import DRAFT_PREFIX, write_csv
from layerbits.report import write_report
from tests.support.html_page import HtmlPage

HOSTILE = "</script></title>--><img src=x onerror=alert(1)>'\"&amp;"
HOSTILE_NAME = HOSTILE.replace("/", "\\")  # the name of a file cannot have a slash


def test_page_has_the_content_of_run_json(run):
    run.summary["test_accuracy"] = 0.97
    with run.running(), run.phase("training"):
        pass
    text = HtmlPage(write_report(run.path).page).text
    for part in (
        "Plot a curve.",
        "test accuracy",
        "0.97",
        "widths",
        "3, 2",
        "training, seconds",
        "Status: finished",
        "processor",
        "torch",
    ):
        assert part in text


def test_page_lists_the_tables_with_their_numbers_of_rows(run):
    (run.path / "variant").mkdir()
    write_csv(run.path / "variant" / "more.csv", ["a", "b"], [["two\nlines", 1]])
    (run.path / "broken.csv").write_bytes(b"\xff\xfe")
    (run.path / f"{DRAFT_PREFIX}x.csv").write_text("a\n1\n")
    page = HtmlPage(write_report(run.path).page)
    cells = [text.strip() for text in page.texts if text.strip()]
    for row in (["curve.csv", "2", "x"], ["variant/more.csv", "1", "a, b"], ["broken.csv", "cannot be read"]):
        assert any(cells[i : i + len(row)] == row for i in range(len(cells)))
    assert DRAFT_PREFIX not in page.text


def test_page_loads_no_other_file_and_runs_no_other_code(run, write_information):
    write_information(run.path / "information.csv")
    page = HtmlPage(write_report(run.path).page)
    assert page.attributes("link") == []
    assert page.attributes("script") == [{"type": "application/json", "id": "data"}, {}]
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.elements for name in attributes)
    assert all(source.startswith("data:image/png;base64,") for source in page.images.values())
    (policy,) = [meta["content"] for meta in page.attributes("meta") if "http-equiv" in meta]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.code]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_tables_of_variants_have_charts_under_their_names(run, write_information):
    for name in ("information.csv", "b/information.csv", "a/information.csv"):
        write_information(run.path / name)
    page = HtmlPage(write_report(run.path).page)
    assert [content["name"] for content in page.data["information"]] == ["run", "a", "b"]
    assert {"id": "runs"} in page.attributes("fieldset")


def test_page_has_places_for_the_charts_that_it_has(run, write_information):
    def panels(page):
        return [attributes["id"] for attributes in page.attributes("div") if attributes.get("class") == "panels"]

    assert panels(HtmlPage(write_report(run.path).page)) == []
    write_information(run.path / "information.csv")
    assert panels(HtmlPage(write_report(run.path).page)) == ["curves"]
    write_information(run.path / "b" / "information.csv", quantity="I(T;Y)")
    write_csv(run.path / "scatter.csv", ["epoch", "label", "t1", "t2"], [[1, 0, 0.5, -0.5]])
    write_csv(run.path / "training.csv", ["epoch", "split", "loss", "accuracy"], [[1, "train", 0.5, 0.9]])
    assert panels(HtmlPage(write_report(run.path).page)) == ["planes", "curves", "points", "training"]


@pytest.mark.parametrize("n_units", [2, 3])
def test_hint_on_turning_stands_under_points_in_three_dimensions_alone(n_units, run):
    columns = ["epoch", "label", *(f"t{unit}" for unit in range(1, n_units + 1))]
    write_csv(run.path / "scatter.csv", columns, [[1, 0, *[0.5] * n_units]])
    texts = HtmlPage(write_report(run.path).page).texts
    assert any(text.startswith("Drag") for text in texts) == (n_units == 3)


def test_scripts_find_the_elements_that_they_name(run, write_information):
    """The page of all charts has each id that a script names."""
    write_information(run.path / "information.csv")
    write_information(run.path / "b" / "information.csv", quantity="I(T;Y)")
    write_csv(run.path / "measures.csv", ["epoch", "layer", "measure", "value"], [[1, "tanh1", "rank", 3]])
    write_csv(run.path / "scatter.csv", ["epoch", "label", "t1", "t2"], [[1, 0, 0.5, -0.5]])
    write_csv(run.path / "training.csv", ["epoch", "split", "loss", "accuracy"], [[1, "train", 0.5, 0.9]])
    page = HtmlPage(write_report(run.path).page)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    named = set(re.findall(r'byId\("([^"]+)"\)', page.code[1]))
    assert named
    assert named <= ids


def test_heading_of_the_table_has_a_place_for_its_quantity(run, write_information):
    write_information(run.path / "information.csv")
    page = HtmlPage(write_report(run.path).page)
    assert "Table of this epoch: " in page.texts
    assert {"id": "rows-quantity"} in page.attributes("span")


def test_texts_with_markup_stay_texts(start_run, write_information):
    run = start_run(HOSTILE_NAME, x=HOSTILE, label=HOSTILE)
    run.summary[HOSTILE] = 1.0
    with run.running():
        pass
    write_csv(run.path / f"{HOSTILE_NAME}.csv", [HOSTILE], [[HOSTILE]])
    (run.path / f"{HOSTILE_NAME}.png").write_bytes(b"")
    write_information(run.path / "information.csv", layer=HOSTILE, quantity=HOSTILE, unit=HOSTILE, note=HOSTILE)
    page = HtmlPage(write_report(run.path).page)
    assert len(page.attributes("img")) == 2
    assert len(page.attributes("script")) == 2
    assert page.text.count(HOSTILE) >= 3
    assert page.text.count(HOSTILE_NAME) >= 3
    assert page.data["layers"][0]["full"] == HOSTILE
    assert list(page.data["information"][0]["curves"]) == [f"{HOSTILE} in {HOSTILE}"]


def test_long_names_are_cut(run, write_information):
    write_information(run.path / "information.csv", layer="first" + "x" * 50_000 + "last", note="y" * 50_000)
    report = write_report(run.path)
    (layer,) = HtmlPage(report.page).data["layers"]
    assert len(layer["name"]) == 40
    assert len(layer["full"]) == 300
    assert layer["name"].startswith("first")
    assert layer["name"].endswith("last")
    assert report.page.stat().st_size < 100_000


def test_scripts_set_no_markup_from_texts(run):
    """Texts of a folder enter the page by textContent and setAttribute alone."""
    code = HtmlPage(write_report(run.path).page).code[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function\(|fetch|XMLHttp", code)
