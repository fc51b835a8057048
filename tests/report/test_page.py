"""The page of a report: content, and escaping of texts with markup."""

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


def test_page_loads_no_other_file(run, write_information):
    write_information(run.path / "information.csv")
    page = HtmlPage(write_report(run.path).page)
    assert page.attributes("link") == []
    assert len(page.attributes("script")) == 3
    assert all("src" not in attributes for attributes in page.attributes("script"))
    assert all(source.startswith("data:image/png;base64,") for source in page.images.values())
    assert any("default-src 'none'" in attributes.get("content", "") for attributes in page.attributes("meta"))


def test_tables_of_variants_have_charts_under_their_names(run, write_information):
    for name in ("information.csv", "b/information.csv", "a/information.csv"):
        write_information(run.path / name)
    page = HtmlPage(write_report(run.path).page)
    assert ["open" in attributes for attributes in page.attributes("details")] == [True, False, False]
    names = [text for text in page.texts if text.endswith("information.csv")]
    assert names[:3] == ["information.csv", "a/information.csv", "b/information.csv"]
    assert len(page.charts) == 3


def test_page_without_charts_contains_no_plotly(run):
    assert HtmlPage(write_report(run.path).page).attributes("script") == []


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
    assert len(page.attributes("script")) == 3
    assert page.text.count(HOSTILE) >= 4
    assert page.text.count(HOSTILE_NAME) >= 3
    ((quantity, view),) = page.charts[0].items()
    assert quantity == HOSTILE
    assert not any("<img" in str(part) for trace in view["data"] for part in (trace["name"], trace.get("text")))
    assert "<img" not in view["layout"]["yaxis"]["title"]["text"]
