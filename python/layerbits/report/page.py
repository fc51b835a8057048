"""The HTML of a report: one page that loads no other file and escapes all texts."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from layerbits.report.charts import Chart

_STATUS = {
    "running": "running, or killed: a killed run cannot change its status",
    "interrupted": "interrupted; the same command with --resume continues",
    "finished": "finished",
}
# The browser must not load anything, even if a text on the page contained a link.
_POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Table(NamedTuple):
    """A table of a run: its file, its number of rows (None if it cannot be read) and its columns."""

    name: str
    rows: int | None
    columns: Sequence[str]


@dataclasses.dataclass(frozen=True)
class PageContent:
    """The content of a report.

    Attributes
    ----------
    record : mapping
        Content of run.json.
    folder, description, last_written
        Folder of the run, description of its experiment, and the time at which the run last wrote.
    defaults : mapping
        Default settings of the experiment.
    notes : sequence of str
        Notes on missing figures and charts, with reasons.
    figures : mapping of str to bytes
        PNG files by name.
    charts : mapping of str to Chart
        Charts by the name of their table. A page with charts contains plotly.js.
    tables : sequence of Table
        All tables of the run.
    """

    record: Mapping[str, Any]
    _: dataclasses.KW_ONLY
    folder: Path
    description: str
    defaults: Mapping[str, Any]
    last_written: datetime.datetime
    notes: Sequence[str]
    figures: Mapping[str, bytes]
    charts: Mapping[str, Chart]
    tables: Sequence[Table]


def render_page(content: PageContent) -> str:
    """Return the HTML of a report."""
    record = content.record
    status = _STATUS.get(record["status"], record["status"])
    settings = [(key, value, content.defaults.get(key)) for key, value in record["configuration"].items()]
    charts = [_chart(*chart, opened=index == 0) for index, chart in enumerate(content.charts.items())]
    body = [
        f"<h1>{_text(record['experiment'])}</h1>",
        f"<p>{_text(content.description)}</p>",
        f'<p class="quiet">Status: {_text(status)}. Last written {content.last_written:%Y-%m-%d %H:%M:%S} UTC in '
        f"<code>{_text(content.folder)}</code>.</p>",
        *(f'<p class="notice">{_text(note[:1].upper() + note[1:])}.</p>' for note in content.notes),
        *_section("Summary", _pairs({key.replace("_", " "): value for key, value in record["summary"].items()})),
        *_section("Figures", "".join(_figure(*figure) for figure in content.figures.items())),
        *_section("Charts", "".join(charts)),
        *_section("Tables", _grid(("file", "rows", "columns"), map(_table_row, content.tables))),
        *_section("Configuration", _grid(("setting", "value", "default"), settings)),
        *_section("Timings", _pairs({f"{key}, seconds": value for key, value in record["timings"].items()})),
        *_section("Machine", _pairs(record["machine"])),
        *_section("Versions", _pairs(record["versions"])),
        *(_scripts() if charts else ()),
    ]
    return _document(f"{record['experiment']}: {content.folder.name}", "\n".join(body))


def _document(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>
{_resource("page.css")}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _text(value: object) -> str:
    return html.escape(str(value))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return _text(value)


def _section(title: str, content: str) -> Iterable[str]:
    return (f"<h2>{title}</h2>", content) if content else ()


def _pairs(values: Mapping[str, object]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(key)}</th><td>{_cell(value)}</td></tr>' for key, value in values.items()
    )
    return f'<div class="scroll"><table>{rows}</table></div>' if rows else ""


def _grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{heads}</tr>{lines}</table></div>' if lines else ""


def _table_row(table: Table) -> tuple[object, ...]:
    return table.name, "cannot be read" if table.rows is None else table.rows, list(table.columns)


def _figure(name: str, content: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    caption = f"<figcaption>{_text(name)}</figcaption>"
    return f'<figure class="figure"><img alt="{_text(name)}" src="{source}">{caption}</figure>'


def _chart(name: str, chart: Chart, *, opened: bool) -> str:
    options = "".join(f"<option>{_text(view)}</option>" for view in chart)
    # Without "<" no text can end the script.
    data = json.dumps(chart, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<details class="chart"{" open" if opened else ""}><summary>{_text(name)}</summary>'
        f'<label>Show <select>{options}</select></label><div class="plot"></div>'
        f'<script type="application/json">{data}</script></details>'
    )


def _scripts() -> Iterable[str]:
    from plotly.offline import get_plotlyjs  # an optional dependency, of the extra `report`

    yield f"<script>{get_plotlyjs()}</script>"
    yield f"<script>\n{_resource('charts.js')}</script>"


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
