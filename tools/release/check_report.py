"""Click through a report in headless Chromium, and check that it makes no request and loads fast.

    python tools/release/check_report.py [PICTURES]

The program reports on runs over seeds, with a hostile layer name, and on a history of 10^5 rows. It exits with status 1
at the first check that fails. Pictures of the page, light and dark, wide and narrow, go into the folder PICTURES. Needs
chromium, chromedriver and the extra `browser`.
"""

from __future__ import annotations

import base64
import csv
import http.server
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from example_runs import HOSTILE, write_run
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from layerbits.report import write_report

_FLAGS = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
          "disable-component-update", "disable-sync", "hide-scrollbars")  # fmt: skip
_SECONDS = 1.0  # the longest time to load the page of 10^5 rows, the best of `_LOADS` loads
_LOADS = 5


class Page:
    """A page in a browser, and short forms of what a user does."""

    def __init__(self, driver: webdriver.Chrome, path: Path) -> None:
        self._driver = driver
        driver.get(path.resolve().as_uri())

    def one(self, selector: str) -> Any:
        """Return the only element."""
        (element,) = self.all(selector)
        return element

    def all(self, selector: str) -> list[Any]:
        """Return the elements."""
        return list(self._driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements."""
        return [element.text for element in self.all(selector)]

    def run(self, script: str, *arguments: object) -> Any:
        """Return the value of a script."""
        return self._driver.execute_script(script, *arguments)

    def emulate(self, *, width: int, height: int = 1000, scheme: str = "light") -> None:
        """Set the size of the window in pixels, and the colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_feature]})

    def save_picture(self, path: Path) -> None:
        """Save a picture of the whole page."""
        picture = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(picture["data"]))

    def messages(self) -> list[str]:
        """Return the messages on the console since the last call."""
        entries: list[dict[str, str]] = self._driver.get_log("browser")
        return [entry["message"] for entry in entries]


def main() -> int:
    """Check the page, and return the exit status."""
    pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        epochs = [2**index for index in range(12)]
        for seed in range(3):
            write_run(folder / "runs" / f"mine-seed{seed}", epochs=epochs, n_layers=3, seed=seed)
        write_run(folder / "runs" / "other", epochs=epochs[:7], n_layers=5, seed=9)
        write_run(folder / "long", epochs=range(1, 4001), n_layers=5, seed=0)
        write_run(folder / "two" / "full", epochs=epochs, n_layers=3, seed=0)
        _write_bare_run(folder / "two" / "bare", epochs)
        write_run(folder / "short", epochs=[1, 2, 3, 4], n_layers=2, seed=0)
        _write_single_epoch(folder / "single")
        write_run(folder / "initial", epochs=[0, *epochs], n_layers=2, seed=1)
        driver = _driver(folder / "profile")
        try:
            page = Page(driver, write_report(folder / "runs").page)
            for check in (_check_slider, _check_layers_and_runs, _check_tables, _check_menus, _check_pointer,
                          _check_points, _check_appearance, _check_isolation):  # fmt: skip
                check(page)
                _require(page.messages() == [] or check is _check_isolation, f"{check.__name__}: no message")
                print(f"passed: {check.__name__.removeprefix('_check_')}")
            if pictures is not None:
                _save_pictures(page, pictures)
            _check_missing_quantities(Page(driver, write_report(folder / "two").page))
            _check_short_training(Page(driver, write_report(folder / "short").page))
            _check_single_epoch(Page(driver, write_report(folder / "single").page))
            _check_epoch_0(Page(driver, write_report(folder / "initial").page))
            _check_time(driver, write_report(folder / "long").page)
        finally:
            driver.quit()
    return 0


def _check_slider(page: Page) -> None:
    slider, title = page.one("#epoch"), "#planes .panel h4"
    _require(page.texts(title) == ["mine, 3 seeds epoch 2048", "other epoch 64"], "last epochs")
    slider.send_keys(Keys.HOME)
    _require(page.texts(title) == ["mine, 3 seeds epoch 1", "other epoch 1"], "Home goes to the first epoch")
    _require(page.one("#epoch-text").text == "1", "text beside the slider")
    _require(_paths(page, "earlier") == [""] * 8, "no earlier rectangles")
    rectangles = _paths(page, "interval")
    slider.send_keys(Keys.ARROW_RIGHT)
    _require(page.texts(title)[0].endswith("epoch 2"), "an arrow goes to the next epoch")
    _require(_paths(page, "earlier") == rectangles, "earlier rectangles are those of the first epoch")
    _require(all(path.count("H") == 2 for path in _paths(page, "interval")), "rectangles")
    page.all("#planes svg")[0].send_keys(Keys.ARROW_RIGHT)
    _require(page.texts(title)[0].endswith("epoch 4"), "an arrow on a plane goes to the next epoch")
    page.one("#play").click()
    _require(page.one("#play").text == "Stop", "play")
    page.one("#play").click()
    slider.send_keys(Keys.END)


def _check_layers_and_runs(page: Page) -> None:
    layers, groups = page.all("#layers input"), "#planes .panel:first-child svg g.colored"
    _require(len(page.all(groups)) == 3, "three layers")
    layers[0].send_keys(Keys.SPACE)
    _require(len(page.all(groups)) == 2 and len(page.all("#rows tbody tr")) == 6, "a layer is hidden everywhere")
    page.one("#layers button").click()
    _require(len(page.all(groups)) == 3, "all layers")
    page.all("#runs input")[0].click()
    _require(page.texts("#curves h4") == ["other epoch 64"], "a run is hidden")
    page.all("#runs input")[0].click()
    _require(len(page.all("#curves .panel")) == 2, "a run is shown again")
    _require(HOSTILE[:19] in page.one("#layers").text and not page.all("img"), "a name with markup is a text")


def _check_tables(page: Page) -> None:
    column = "#rows tbody td:nth-child(4)"
    head = page.all("#rows th button")[3]
    head.send_keys(Keys.ENTER)
    values = [float(text) for text in page.texts(column)]
    _require(values == sorted(values) and len(values) == 8, "ascending")
    head.click()
    _require([float(text) for text in page.texts(column)] == values[::-1], "descending")
    page.one("#epoch").send_keys(Keys.HOME)
    moved = [float(text) for text in page.texts(column)]
    _require(moved == sorted(moved, reverse=True) and moved != values[::-1], "sorted at another epoch")
    page.one("#epoch").send_keys(Keys.END)
    runs = page.all("table.sortable")[0]
    runs.find_element(By.CSS_SELECTOR, "th button").click()
    runs.find_element(By.CSS_SELECTOR, "th button").click()
    names = [row.text.split()[0] for row in runs.find_elements(By.CSS_SELECTOR, "tbody tr")]
    _require(names == ["other", "mine-seed2", "mine-seed1", "mine-seed0"], "table of runs")


def _check_menus(page: Page) -> None:
    Select(page.one("#quantity")).select_by_visible_text("rank")
    _require(page.texts("#rows td.number") == ["12.0000", "–", "–", "4.0000", "3.0000", "5.0000"], "a measure")
    _require(page.one("#rows-quantity").text == "rank", "the table names the measure")
    Select(page.one("#quantity")).select_by_visible_text("I(T;Y) in nats")
    labels = page.texts("#curves .axis text")
    _require("I(T;Y) in nats" in labels and "I(X;T) in nats" not in labels, "curves of another quantity")
    _require(page.one("#rows-quantity").text == "I(T;Y) in nats", "the table names another quantity")
    Select(page.one("#training-quantity")).select_by_visible_text("accuracy")
    _require("accuracy" in page.texts("#training .axis text"), "accuracy")
    _require("rank" in page.texts("#measures .axis text"), "curves of a measure")
    _require(len(_paths(page, "band", "#curves .panel:first-child")) == 6, "two bands over seeds for each layer")
    _require(len(_paths(page, "band", "#curves .panel:last-child")) == 5, "one band of intervals for each layer")


def _check_pointer(page: Page) -> None:
    click = """
        const svg = document.querySelector("#curves .panel:last-child svg");
        svg.scrollIntoView({ block: "center" });
        const { x, y } = svg.marks[2];
        const box = svg.getBoundingClientRect();
        const point = { clientX: box.left + x, clientY: box.top + y, bubbles: true };
        svg.dispatchEvent(new PointerEvent("pointermove", point));
        svg.dispatchEvent(new MouseEvent("click", point));
    """
    page.run(click)
    _require(page.one("#epoch-text").text == "4", "a click on a value goes to its epoch")
    hint = page.one("#hint").text.split("\n")
    _require(hint[0].startswith("<img src=x") and hint[0].endswith(", epoch 4"), "hint names layer and epoch")
    _require(hint[1].startswith("I(T;Y) in nats: ") and "[" in hint[1], "hint has the interval")
    page.one("#epoch").send_keys(Keys.END)


def _check_points(page: Page) -> None:
    _require(page.texts("#classes .key") == ["0", "1"], "legend of the classes")
    _require(" layer encoder.layers.2.relu, epoch " in page.one("#points h4").text, "layer of the points")
    before = _paths(page, "points")
    _require(len(before) == 2 and len(page.all("#points .panel")) == 1, "two classes of one run")
    svg = page.one("#points svg")
    svg.send_keys(Keys.ARROW_LEFT)
    turned = _paths(page, "points")
    _require(turned != before, "an arrow turns the cube")
    svg.send_keys(Keys.ARROW_RIGHT)
    _require(_paths(page, "points") == before, "the other arrow turns it back")
    webdriver.ActionChains(page._driver).drag_and_drop_by_offset(svg, 40, 0).perform()
    _require(_paths(page, "points") != before, "a drag turns the cube")
    page.one("#epoch").send_keys(Keys.HOME)
    _require(_paths(page, "points") != turned and page.one("#points h4").text.endswith("epoch 1"), "points by epoch")
    page.one("#epoch").send_keys(Keys.END)


def _check_appearance(page: Page) -> None:
    color = "return [document.body, document.querySelector('#planes g.colored')].map((e) => getComputedStyle(e).color)"
    page.emulate(width=1300)
    light = page.run(color)
    page.emulate(width=340, scheme="dark")
    dark = page.run(color)
    _require(light[0] != dark[0] and light[1] != dark[1], "dark colours of texts and of layers")
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    _require(page.run(overflow) <= 0, "a narrow page does not scroll sideways")
    covered = """
        const menu = document.querySelector("#quantity");
        menu.scrollIntoView();
        const bar = document.querySelector(".controls").getBoundingClientRect();
        return bar.bottom - menu.getBoundingClientRect().top;
    """
    _require(page.run(covered) <= 0, "the bar does not cover a control that is scrolled to the top")
    panels = page.run("return [...document.querySelectorAll('#planes svg')].map((svg) => svg.viewBox.baseVal.width)")
    _require(all(width <= 340 for width in panels), "panels are plotted again for the width")
    page.emulate(width=1300)


def _check_isolation(page: Page) -> None:
    """Try to load an image and to run a script: the policy of the page allows neither."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        page.run("new Image().src = arguments[0]; fetch(arguments[0]).catch(() => {});", address)
        page.run("const s = document.createElement('script'); s.textContent = 'ran = 1'; document.body.append(s);")
        _require(page.run("return typeof ran") == "undefined", "no other script runs")
        page.run("return new Promise((resolve) => setTimeout(resolve, 300))")
        server.shutdown()
    _require(requests == [], "no request")
    refused = [message for message in page.messages() if "Content Security Policy" in message]
    _require(len(refused) >= 3, "the policy refused image, request and script")


def _write_bare_run(folder: Path, epochs: Sequence[int]) -> None:
    """Write the tables of a training without labels and measures."""
    write_run(folder, epochs=epochs, n_layers=3, seed=1)
    (folder / "measures.csv").unlink()
    path = folder / "information.csv"
    header, *lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *(line for line in lines if "I(X;T)," in line)]))


def _check_missing_quantities(page: Page) -> None:
    for container, names in {"planes": ["full"], "curves": ["bare", "full"], "measures": ["full"]}.items():
        _require(
            [text.split()[0] for text in page.texts(f"#{container} h4")] == names, f"{container}: runs with values"
        )
    _require(page.messages() == [], "no message")
    print("passed: missing_quantities")


def _check_short_training(page: Page) -> None:
    labels = page.texts("#curves svg .axis text[text-anchor=middle]:not([transform])")
    _require(labels == ["1", "4", "2", "3", "epoch"], f"epochs are labelled by whole numbers; got {labels}")
    print("passed: short_training")


def _write_single_epoch(folder: Path) -> None:
    """Write a table of one epoch without limits, in which no interval has a finite upper end."""
    write_run(folder, epochs=[3], n_layers=2, seed=1)
    (folder / "information.json").unlink()
    with (folder / "information.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    place = header.index("upper")
    with (folder / "information.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *([*row[:place], "inf", *row[place + 1 :]] for row in rows)])


def _check_single_epoch(page: Page) -> None:
    labels = page.texts("#curves svg .axis text[text-anchor=middle]:not([transform])")
    _require(labels == ["3", "epoch"], f"a single epoch is the only tick; got {labels}")
    _require(not page.one("#play").is_enabled(), "a single epoch cannot be played")
    bands = [
        [float(number) for number in re.findall("[0-9.]+", path)[1::2]] for path in _paths(page, "band", "#curves")
    ]
    _require([min(band) for band in bands] == [14, 14], f"bands without upper ends reach the top; got {bands}")
    _require("∞" in page.texts("#rows td.number"), "an infinite end in the table")
    _require(HOSTILE in page.texts("#rows td.name"), "whole names in the table")
    labels = [box.get_attribute("aria-label") for box in page.all("#layers input")]
    _require(labels == [HOSTILE, "encoder.layers.1.relu"], "whole names of layers for readers of screens")
    key = page.one("#plane-key").text
    _require(key.startswith("A rectangle") and "Dotted" in key, "key of the plane")
    _require("Dashed" not in key and "Pale" not in key and "hollow" not in key, f"no key of missing parts; got {key}")
    _require(page.messages() == [], "no message")
    print("passed: single_epoch")


def _check_epoch_0(page: Page) -> None:
    page.emulate(width=1300)
    labels = page.texts("#curves svg .axis text[text-anchor=middle]:not([transform])")
    _require(labels == ["0", "2048", "1", "10", "100", "1000", "epoch"], f"epoch 0 on a logarithmic axis; got {labels}")
    print("passed: epoch_0")


def _check_time(driver: webdriver.Chrome, path: Path) -> None:
    entry = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    seconds = []
    for _ in range(_LOADS):
        page = Page(driver, path)
        WebDriverWait(driver, 30).until(lambda driver: driver.execute_script(entry) > 0)
        seconds.append(page.run(entry) / 1000)
    _require("100,000 rows" in page.texts(".notice")[0], "the page says that it was thinned")
    print(f"page of 100,000 rows: {path.stat().st_size / 1e6:.1f} MB, loads in {min(seconds):.2f} s")
    _require(min(seconds) < _SECONDS, f"loads in {_SECONDS} s")


def _paths(page: Page, name: str, inside: str = "#charts") -> list[str]:
    return [element.get_attribute("d") for element in page.all(f"{inside} path.{name}")]


def _save_pictures(page: Page, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for width in (1300, 360):
            page.emulate(width=width, scheme=scheme)
            page.save_picture(folder / f"{scheme}-{width}.png")


def _driver(profile: Path) -> webdriver.Chrome:
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        sys.exit("chromium or chromedriver: not found; install both, on Debian chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    for flag in (*_FLAGS, f"user-data-dir={profile}", "window-size=1300,1000"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = str(paths[0])
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(str(paths[1])))


def _require(is_true: bool, what: str) -> None:
    if not is_true:
        raise AssertionError(what)


if __name__ == "__main__":
    sys.exit(main())
