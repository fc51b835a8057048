"""The HTML of a report: one page that loads no other file and escapes all texts.

The charts are a few hundred lines of SVG by scripts of this package. Plotly would add 4.8 MB to a page, which take
longer than a second to load, and would need a trace for each rectangle of an information plane.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import html
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from layerbits.plots import cut_name, cut_names
from layerbits.report.page_data import as_json
from layerbits.report.seeds import SEEDS_COLUMNS
from layerbits.report.thinning import Table

_STATUS = {
    "running": "running, or killed: a killed run cannot change its status",
    "interrupted": "interrupted; the same command with --resume continues",
    "finished": "finished",
}
_SCRIPTS = ("axes.js", "charts.js", "tables.js", "page.js")
_MAX_CELL = 300
_HASH_CODE, _SHOWN_DIGITS = re.compile(r"\b[0-9a-f]{64}\b"), 12


@dataclasses.dataclass(frozen=True)
class RunContent:
    """The content of a page for one run, apart from the charts.

    Attributes
    ----------
    name, record : str, mapping
        Name of the run on the page, and content of its run.json.
    folder, description, last_written
        Folder of the run, description of its experiment, and the time at which the run last wrote.
    defaults : mapping
        Default settings of the experiment.
    tables : sequence of Table
        All tables of the run.
    figures : mapping of str to bytes
        PNG files by name.
    """

    name: str
    record: Mapping[str, Any]
    _: dataclasses.KW_ONLY
    folder: Path
    description: str
    defaults: Mapping[str, Any]
    last_written: datetime.datetime
    tables: Sequence[Table]
    figures: Mapping[str, bytes]


def render_page(
    runs: Sequence[RunContent],
    charts: Mapping[str, Any],
    notes: Sequence[str],
    fallback: bytes,
    over_seeds: Sequence[Sequence[object]],
    common_settings: str = "",
) -> str:
    """Return the HTML of a report.

    Parameters
    ----------
    runs : sequence of RunContent
        The runs.
    charts : mapping
        The data of the charts, from `page_data`.
    notes : sequence of str
        Notes on what is missing or thinned, with reasons.
    fallback : bytes
        A PNG file of the information, for browsers without scripts; empty if there is none.
    over_seeds : sequence of rows
        The table of `over_seeds_table`.
    common_settings : str, optional
        A sentence on the settings that all runs of a sweep share.
    """
    experiments = list(dict.fromkeys(run.record["experiment"] for run in runs))
    several = f"{len(runs)} runs" if len(experiments) > 1 else f"{experiments[0]}: {len(runs)} runs"
    title = experiments[0] if len(runs) == 1 else several
    body = [
        f"<h1>{_text(title)}</h1>",
        *(_head(runs[0]) if len(runs) == 1 else ()),
        *([f"<p>{_text(common_settings)}</p>"] if common_settings else ()),
        *(f'<p class="notice">{_text(note)}</p>' for note in notes),
        *_section("Over seeds", _grid(SEEDS_COLUMNS, over_seeds)),
        *(_section("Runs", _comparison(runs)) if len(runs) > 1 else ()),
        *_section("Summary", _summary(runs[0]) if len(runs) == 1 else ""),
        _charts(charts, fallback),
        *(_details(runs[0]) if len(runs) == 1 else _section("Each run", "".join(map(_folded, runs)))),
    ]
    return _document(f"{title}: {', '.join(run.name for run in runs)}", "\n".join(body), as_json(charts))


def _document(title: str, body: str, data: str) -> str:
    style = f"\n{_resource('page.css')}"
    script = "\n" + "".join(map(_resource, _SCRIPTS))
    # The browser loads nothing, and runs and applies only what this package wrote, whatever texts the page contains.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        "form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def _charts(charts: Mapping[str, Any], fallback: bytes) -> str:
    """Return the places and controls of the charts that have data, which the scripts fill."""
    quantities = dict.fromkeys(quantity for run in charts["information"] for quantity in run["curves"])
    names = {run["full"] for kind in ("information", "training", "points") for run in charts[kind]}
    parts = []
    if charts["information"] or charts["points"]:
        parts.append(
            '<div class="controls"><label for="epoch">Epoch</label><input type="range" id="epoch" min="0" value="0">'
            '<output id="epoch-text" for="epoch"></output><button type="button" id="play">Play</button></div>'
        )
    if len(names) > 1:
        parts.append('<fieldset id="runs"><legend>Runs</legend></fieldset>')
    if charts["information"]:
        parts.append('<fieldset id="layers"><legend>Layers</legend></fieldset>')
        if any(quantities.keys() - run["curves"].keys() for run in charts["information"]):
            parts.append('<p class="quiet">A run without a quantity or measure has no panel for it.</p>')
        if charts["planes"]:
            pairs = [f"{y.partition(' in ')[0]} against {x}" for x, y in charts["planes"]]
            parts.append(
                f"<h3>Information plane</h3>{_choice('plane', pairs)}{_panels('planes', 'Information plane')}"
                f'<p class="quiet" id="plane-key">{_plane_key()}</p>'
            )
        elif any("(X;T) in " in quantity for quantity in quantities):
            parts.append(
                '<h3>Information plane</h3><p class="quiet">No labels were given, so I(T;Y) is not measured.</p>'
            )
        parts.append(
            f"<h3>Over the epochs</h3>{_choice('quantity', quantities, by_name=True)}{_panels('curves', 'Curves')}"
            '<p class="quiet">Bands are intervals. A click on a value goes to its epoch.</p>'
        )
        if charts["measures"]:
            choice = _choice("measure", charts["measures"], by_name=True)
            parts.append(f"<h3>Measures over the epochs</h3>{choice}{_panels('measures', 'Measures')}")
        parts.append(
            '<h3>Table of this epoch: <span id="rows-quantity"></span></h3>'
            '<div class="tall"><table class="sortable" id="rows"><thead><tr>'
            + "".join(f'<th scope="col">{name}</th>' for name in _ROWS)
            + "</tr></thead><tbody></tbody></table></div>"
        )
    if charts["points"]:
        is_3d = any(len(run["points"][0][0]) == 3 for run in charts["points"])
        parts.append(
            '<h3>Points of a layer, coloured by class</h3><fieldset id="classes"><legend>Classes</legend></fieldset>'
            f"{_panels('points', 'Points')}"
            + ('<p class="quiet">Drag, or press the arrow keys, to turn three dimensions.</p>' if is_3d else "")
        )
    if charts["training"]:
        choice = _choice("training-quantity", ("loss", "accuracy"), by_name=True)
        parts.append(f'<h3>Training</h3>{choice} <span id="splits"></span>{_panels("training", "Training")}')
    image = f"<p>{_image('information.png', fallback)}</p>" if fallback else ""
    noscript = f'<noscript><p class="notice">The charts need scripts.</p>{image}</noscript>'
    return f'<section id="charts">{noscript}{"".join(parts)}</section>' if parts else ""


# Sentences on the parts of an information plane, by the selector of the part; the scripts hide those on missing parts.
_PLANE_PARTS = {
    ".interval:not([d=''])": "A rectangle spans the intervals of both informations at this epoch.",
    ".earlier:not([d=''])": "Pale rectangles are those of earlier epochs.",
    ".hollow": "A hollow mark is saturated.",
    ".limit": "Dashed lines: the largest possible values.",
    ".diagonal": "Dotted line: equal values on both axes; no layer can be above it.",
}
_ROWS = ("run", "epoch", "layer", "value", "lower", "upper", "interval", "notes")


def _plane_key() -> str:
    spans = (f'<span data-part="{html.escape(part)}">{text}</span>' for part, text in _PLANE_PARTS.items())
    return " ".join(spans)


def _panels(name: str, label: str) -> str:
    return f'<div class="panels" id="{name}" data-label="{label}"></div>'


def _choice(name: str, texts: Collection[str], *, by_name: bool = False) -> str:
    """Return a menu; its values are the texts, or their numbers."""
    options = "".join(
        f'<option value="{html.escape(text) if by_name else index}">{_text(short)}</option>'
        for index, (text, short) in enumerate(zip(texts, cut_names(list(texts)), strict=True))
    )
    return f'<label>Show <select id="{name}">{options}</select></label>'


def _head(run: RunContent) -> Iterable[str]:
    status = _STATUS.get(run.record["status"], run.record["status"])
    return (
        f"<p>{_text(run.description)}</p>",
        f'<p class="quiet">Status: {_text(status)}. Last written {run.last_written:%Y-%m-%d %H:%M:%S} UTC in '
        f"<code>{_text(run.folder)}</code>.</p>",
    )


def _summary(run: RunContent) -> str:
    return _pairs({key.replace("_", " "): value for key, value in run.record["summary"].items()})


def _details(run: RunContent) -> Iterable[str]:
    record = run.record
    configuration, heads = record["configuration"], ["setting", "value"]
    if run.defaults:
        heads = [*heads, "default"]
        settings: list[tuple[object, ...]] = [
            (key, value, run.defaults.get(key)) for key, value in configuration.items()
        ]
    else:  # a Monitor has no defaults, and records what was not given as None or as empty
        settings = [(key, value) for key, value in configuration.items() if value not in (None, "", [], {})]
    tables = [
        (table.name, "cannot be read" if table.rows is None else table.rows, table.columns) for table in run.tables
    ]
    return (
        *_section("Figures", "".join(_figure(*figure) for figure in run.figures.items())),
        *_section("Tables", _grid(("file", "rows", "columns"), tables)),
        *_section("Configuration", _grid(heads, settings)),
        *_section("Timings", _pairs({f"{key}, seconds": value for key, value in record["timings"].items()})),
        *_section("Machine", _pairs(record["machine"])),
        *_section("Versions", _pairs(record["versions"])),
    )


def _comparison(runs: Sequence[RunContent]) -> str:
    """Return a table of the runs with their summaries and the settings in which they differ."""
    configurations = [run.record["configuration"] for run in runs]
    settings = dict.fromkeys(key for config in configurations for key in config)
    values = {key: {repr(config[key]) for config in configurations if key in config} for key in settings}
    different = [key for key in settings if len(values[key]) > 1]
    numbers = list(dict.fromkeys(key for run in runs for key in run.record["summary"]))
    heads = ("run", "experiment", "status", *different, *(key.replace("_", " ") for key in numbers))
    rows = [
        (
            run.name, run.record["experiment"], run.record["status"],
            *(run.record["configuration"].get(key, "–") for key in different),
            *(run.record["summary"].get(key, "–") for key in numbers),
        )
        for run in runs
    ]  # fmt: skip
    return f'<div class="runs">{_grid(heads, rows)}</div>'


def _folded(run: RunContent) -> str:
    content = "".join((*_head(run), _summary(run), *_details(run)))
    return f"<details><summary>{_text(run.name)}</summary>{content}</details>"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(value: object) -> str:
    return html.escape(cut_name(str(value), _MAX_CELL))


def _plain(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(part)}" for key, part in value.items())
    return ", ".join(str(_plain(part)) for part in value) if isinstance(value, list) else value


def _cell(value: object) -> str:
    """Return a cell of a table; hashes are cut, with the whole in a title."""
    whole = str(_plain(value))
    text = _HASH_CODE.sub(lambda digits: f"{digits[0][:_SHOWN_DIGITS]}…", whole)
    title = f' title="{html.escape(whole)}"' if text != whole else ""
    return f"<td{title}>{_text(text)}</td>"


def _section(title: str, content: str) -> Iterable[str]:
    return (f"<h2>{title}</h2>", content) if content else ()


def _pairs(values: Mapping[str, object]) -> str:
    rows = "".join(f'<tr><th scope="row">{_text(key)}</th>{_cell(value)}</tr>' for key, value in values.items())
    return f'<div class="scroll"><table>{rows}</table></div>' if rows else ""


def _grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f'<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'
    return f'<div class="scroll">{table}</div>' if lines else ""


def _figure(name: str, content: bytes) -> str:
    return f'<figure class="figure">{_image(name, content)}<figcaption>{_text(name)}</figcaption></figure>'


def _image(name: str, content: bytes) -> str:
    return f'<img alt="{_text(name)}" loading="lazy" src="data:image/png;base64,{base64.b64encode(content).decode()}">'


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
