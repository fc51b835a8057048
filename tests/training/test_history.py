"""The history of a monitor: in memory, from its folder, and with intervals that hold together over the epochs."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy.special import entr

from layerbits import MeasurementSettings, Monitor, UsageError, layer_information, read_history
from layerbits._base import COLUMNS
from layerbits.report import write_report
from tests.support.answers import entropy
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import INPUTS, LABELS, ScalarChain, tanh_mlp

SETTINGS = MeasurementSettings(queries=4, confidence=0.9)
TOGETHER = dataclasses.replace(SETTINGS, simultaneous=True)


def make_monitor(directory, settings=TOGETHER, at=(1, 2, 5)):
    network = tanh_mlp(4, 3, 2, dtype=torch.float64)
    return Monitor(network, INPUTS, LABELS, at=at, directory=directory, sigma=0.5, settings=settings)


@pytest.mark.parametrize("settings", [SETTINGS, TOGETHER])
def test_history_in_a_folder_is_that_of_the_monitor(tmp_path, settings):
    monitor = make_monitor(tmp_path, settings)
    for epoch in (1, 2):
        monitor.step(epoch)
    history = read_history(tmp_path)
    assert history == monitor.history
    assert (history.epochs, history.layers, history.confidence) == ((1, 2), ("1",), 0.9)
    assert history.simultaneous is settings.simultaneous
    assert history == read_history(str(tmp_path)) == make_monitor(tmp_path, settings).history


def test_file_in_place_of_its_folder_is_refused(tmp_path):
    make_monitor(tmp_path).step(1)
    with pytest.raises(UsageError, match=rf"^folder: got the file .*, wanted its folder, '{tmp_path}'"):
        read_history(tmp_path / "information.csv")


def test_history_does_not_change_after_it_was_returned(tmp_path):
    monitor = make_monitor(tmp_path)
    monitor.step(1)
    history = monitor.history
    monitor.step(2)
    assert (history.epochs, monitor.history.epochs) == ((1,), (1, 2))


def test_risk_is_divided_by_the_rows_of_all_planned_epochs(tmp_path):
    """The level of each of 3 tables is 1 - 0.1 / 3; the two risks of an end differ by rounding."""
    table = make_monitor(tmp_path).step(2)
    options = {"sigma": 0.5, "queries": 4, "confidence": 1 - 0.1 / 3, "simultaneous": True}
    expected_table = layer_information(tanh_mlp(4, 3, 2, dtype=torch.float64), INPUTS, LABELS, **options)
    assert len(table) == len(expected_table) == 5
    for row, expected in zip(table, expected_table, strict=True):
        assert (row.lower, row.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-9)


def test_folder_of_other_planned_epochs_is_refused_if_intervals_hold_together(tmp_path):
    make_monitor(tmp_path / "together").step(1)
    with pytest.raises(UsageError, match=r"^at: .* was measured with \[1, 2, 5\], wanted \[1, 2, 5, 9\]"):
        make_monitor(tmp_path / "together", at=(1, 2, 5, 9))
    make_monitor(tmp_path / "single", SETTINGS).step(1)
    assert make_monitor(tmp_path / "single", SETTINGS, at=(1, 9)).history.epochs == (1,)


def test_folder_of_single_intervals_is_refused_if_intervals_are_to_hold_together(tmp_path):
    make_monitor(tmp_path, SETTINGS).step(1)
    with pytest.raises(UsageError, match=r"^(at|simultaneous): "):
        make_monitor(tmp_path)


def test_missing_table_is_named(tmp_path):
    make_monitor(tmp_path).step(1)
    (tmp_path / "information.csv").unlink()
    with pytest.raises(UsageError, match=r"information\.csv"):
        read_history(tmp_path)


@pytest.mark.parametrize("read", [read_history, write_report])
def test_folder_without_a_measured_epoch_is_refused_by_name(tmp_path, read):
    make_monitor(tmp_path)
    with pytest.raises(UsageError, match="no epoch was measured yet; try again after") as refusal:
        read(tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path}: ")


def test_changed_table_has_a_remedy_that_fits(tmp_path):
    make_monitor(tmp_path).step(1)
    path = tmp_path / "information.csv"
    path.write_text(path.read_text().replace(",nats,", ",bits,", 1))
    with pytest.raises(
        UsageError, match=r"written; restore it, or delete .information.csv.sha256 to read it unverified$"
    ):
        read_history(tmp_path)
    (tmp_path / ".information.csv.sha256").unlink()
    with (
        pytest.warns(RuntimeWarning, match="unverified"),
        pytest.raises(UsageError, match=r"records; restore it, or delete information.json to use it unverified$"),
    ):
        read_history(tmp_path)


def change_table(folder, change):
    """Replace the lines of the rows of an information.csv that has no checksum and no settings."""
    path = folder / "information.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *change(lines)]) + "\n")
    for name in ("information.json", ".information.csv.sha256"):
        (folder / name).unlink()


def crossed(line, flag):
    cells = dict(zip(COLUMNS, line.split(",")[1:], strict=True)) | {"lower": "2.5", "upper": "1.5", "flags": flag}
    return ",".join([line.split(",")[0], *cells.values()])


@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: [*lines, *lines],
            r"row 6 has the epoch, layer, quantity and estimator \(1, '1', 'I\(X;T\)', '.*'\), wanted others than "
            r"those of row 1; restore it, or use another folder$",
        ),
        (
            lambda lines: [*lines[:1], crossed(lines[1], ""), *lines[2:]],
            r"row 2 has the lower end 2\.5, wanted ",
        ),
    ],
)
def test_row_that_contradicts_its_table_is_refused_by_number(tmp_path, change, message):
    make_monitor(tmp_path).step(1)
    change_table(tmp_path, change)
    with pytest.raises(UsageError, match=rf"information\.csv: cannot be read: {message}"):
        read_history(tmp_path)
    with pytest.raises(UsageError, match=message):
        write_report(tmp_path)


@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_ends_that_cross_with_their_flag_are_read(tmp_path):
    make_monitor(tmp_path).step(1)
    change_table(tmp_path, lambda lines: [crossed(line, "ends_cross") for line in lines])
    assert {(row.lower, row.upper) for _, row in read_history(tmp_path).rows} == {(2.5, 1.5)}


def test_warning_on_a_missing_checksum_shows_the_line_of_the_user(tmp_path):
    make_monitor(tmp_path).step(1)
    (tmp_path / ".information.csv.sha256").unlink()
    with pytest.warns(RuntimeWarning, match="unverified") as warned:
        read_history(tmp_path)
    assert [warning.filename for warning in warned] == [__file__]


def test_history_without_settings_has_an_unknown_confidence_and_no_changes(tmp_path):
    table = make_monitor(tmp_path).step(1)
    (tmp_path / "information.json").unlink()
    history = read_history(tmp_path)
    assert (history[1], history.limits) == (table, {})
    assert math.isnan(history.confidence)
    with pytest.raises(ValueError, match=r"^simultaneous: "):
        history.change("1", "I(X;T)", 1, 1)


def test_limits_are_read_with_the_tables(tmp_path):
    monitor = make_monitor(tmp_path)
    monitor.step(1)
    of_labels = float(entr(np.bincount(LABELS) / len(LABELS)).sum())
    of_inputs = math.log(len(INPUTS))
    limits = {"I(X;T)": of_inputs, "I(T;Y)": of_labels, "I(X;T|Y)": of_inputs - of_labels}
    assert monitor.history.limits == pytest.approx(limits)
    assert read_history(tmp_path).limits == make_monitor(tmp_path).history.limits == monitor.history.limits


@pytest.mark.parametrize("change", [{"confidence": "high"}, {"simultaneous": "yes"}, {"limits": {"I(X;T)": "log 3"}}])
def test_damaged_settings_are_named(tmp_path, change):
    make_monitor(tmp_path).step(1)
    path = tmp_path / "information.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=r"information.json: "):
        read_history(tmp_path)


@pytest.mark.parametrize("folder", [None, 3])
def test_folder_is_a_path(folder):
    with pytest.raises(TypeError, match=r"^folder: got "):
        read_history(folder)


GAINS = (0.5, 1.0, 3.0)


def true_information(gain):
    """Return I(X;T) of both layers of a chain whose first layer has this gain."""
    chain = ScalarChain(np.linspace(-1, 1, 5), gains=(gain, 2.0), sigma=0.5)
    densities = {f"{2 * layer - 1}": chain.densities(layer) for layer in (1, 2)}
    return {
        name: entropy(of_layer.mean(0), chain.axis) - np.mean([entropy(density, chain.axis) for density in of_layer])
        for name, of_layer in densities.items()
    }


def history_of_gains(directory, seed):
    """Measure a chain whose first layer has the gains `GAINS` at epochs 0, 1 and 2."""
    chain = ScalarChain(np.linspace(-1, 1, 5), gains=(1.0, 2.0), sigma=0.5)
    noisy, inputs = chain.noisy(), chain.inputs(copies=20)
    settings = MeasurementSettings(draws=16, queries=8, confidence=0.9, seed=seed, simultaneous=True)
    monitor = Monitor(noisy, inputs, at=range(3), directory=directory, settings=settings)
    for epoch, gain in enumerate(GAINS):
        with torch.no_grad():
            noisy[0].weight.fill_(gain)
        monitor.step(epoch)
    return monitor.history


@pytest.mark.usefixtures("one_thread")
def test_all_changes_of_a_history_cover_the_truth_together(tmp_path):
    """Three epochs of a chain: some change of I(X;T) misses with a probability of at most 10 %.

    Such changes miss too often with a probability of 1e-6.
    """
    truths, rises = [true_information(gain) for gain in GAINS], []

    def misses_of(seeds):
        for seed in seeds:
            changes = history_of_gains(tmp_path / str(seed), seed)
            covered = True
            for layer, (first, last) in itertools.product(("1", "3"), itertools.permutations(range(3), 2)):
                change = changes.change(layer, "I(X;T)", first, last)
                covered &= change.lower <= truths[last][layer] - truths[first][layer] <= change.upper
                assert change.lower <= change.value <= change.upper
                rises.append(change.lower > 0)
            if not covered:
                yield "some change"

    assert excess_misses(misses_of, allowed_misses(12, 0.1, 1e-6)) == {}
    assert sum(rises) > len(rises) / 12  # intervals are narrow enough to show growth
