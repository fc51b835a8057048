"""The data of the charts: curves of information and of a training, and points of a layer."""

import math

import numpy as np
import pytest

from layerbits._base import InformationRow, InformationTable, UsageError, write_csv
from layerbits.report.curves import information_curves, layer_points, over_seeds, training_curves
from layerbits.report.page_data import as_json, page_data
from layerbits.training.history import TrainingRow, write_information


def row(layer="tanh1", quantity="I(X;T)", estimator="draws", value=1.0, lower=0.5, upper=2.0, **fields):
    return InformationRow(layer, quantity, estimator, value, 0.1, lower, upper, "nats", 3, 0.1, **fields)


@pytest.fixture
def data_of(tmp_path):
    """Return a function that writes rows by epoch into a table, and returns the data of its chart."""

    def data(rows_by_epoch):
        tables = {epoch: InformationTable(tuple(rows)) for epoch, rows in rows_by_epoch.items()}
        write_information(tmp_path / "information.csv", tables)
        return page_data([information_curves(tmp_path, "run")], [], [])

    return data


def test_curve_has_values_ends_and_notes(data_of):
    rows = [row(value=1.25, lower=0.75, upper=3, note="saturated at log N", flags=("saturated",))]
    data = data_of({1: [row()], 4: rows})
    (content,) = data["information"]
    assert content["epochs"] == [1, 4]
    curve = content["curves"]["I(X;T) in nats"][0]
    assert (curve["v"], curve["l"], curve["u"]) == ([1, 1.25], [0.5, 0.75], [2, 3])
    assert [data["notes"][index] for index in curve["n"]] == ["", "saturated at log N"]
    assert curve["s"] == [0, 1]


def test_flags_of_a_row_without_a_note_are_words(data_of):
    assert data_of({1: [row(flags=("saturated", "measurement_noise"))]})["notes"] == ["measurement noise, saturated"]


def test_nan_and_infinity_are_missing_numbers(data_of):
    data = data_of({1: [row()], 2: [row(value=math.nan, upper=math.inf)], 3: [row()]})
    curve = data["information"][0]["curves"]["I(X;T) in nats"][0]
    assert (curve["v"], curve["l"], curve["u"]) == ([1, None, 1], [0.5, 0.5, 0.5], [2, None, 2])
    assert "NaN" not in as_json(data)


def test_layer_that_an_epoch_lacks_has_a_gap(data_of):
    data = data_of({1: [row("a")], 2: [row("a"), row("b", value=0.7)]})
    assert data["information"][0]["curves"]["I(X;T) in nats"][1]["v"] == [None, 0.7]


def test_estimators_of_the_same_layer_have_separate_curves(data_of):
    data = data_of({1: [row(), row(estimator="paper")]})
    assert [layer["name"] for layer in data["layers"]] == ["tanh1, draws", "tanh1, paper"]


def test_each_pair_of_informations_has_a_plane(data_of):
    quantities = ("I(X;T)", "I(T;Y)", "I(T;digit)", "I(X;T|Y)", "h(T)", "SI_1(X;T)", "SI_1(T;Y)", "PI_2(X;T)")
    pairs = data_of({1: [row(quantity=quantity) for quantity in quantities]})["planes"]
    assert [(x.removesuffix(" in nats"), y.removesuffix(" in nats")) for x, y in pairs] == [
        ("I(X;T)", "I(T;Y)"),
        ("I(X;T)", "I(T;digit)"),
        ("SI_1(X;T)", "SI_1(T;Y)"),
    ]


def test_limits_have_names_unless_they_are_no_information(tmp_path):
    write_information(tmp_path / "information.csv", {1: InformationTable((row(), row(quantity="I(T;Y)")))})
    text = '{"confidence": 0.95, "limits": {"I(X;T)": 1.3862943611198906, "I(T;Y)": 1e9, "I(X;T|Y)": 1.0, "x": 2.0}}'
    (tmp_path / "information.json").write_text(text)
    assert information_curves(tmp_path, "run").limits == {"I(X;T) in nats": (1.3862943611198906, "log 4")}


def test_measures_are_curves_without_intervals(data_of, tmp_path):
    rows = [[1, "tanh1", "within", 0.5], [3, "tanh1", "within", 0.25], [9, "tanh1", "within", 1.0]]
    write_csv(tmp_path / "measures.csv", ["epoch", "layer", "measure", "value"], rows)
    (content,) = data_of({1: [row()], 2: [row()], 3: [row()]})["information"]
    assert content["curves"]["within"] == {0: {"v": [0.5, None, 0.25]}}
    assert content["epochs"] == [1, 2, 3]


def test_training_has_loss_and_accuracy_of_each_split(tmp_path):
    rows = [TrainingRow(1, "train", 0.5, 0.9), TrainingRow(1, "test", 0.75, 0.8), TrainingRow(2, "train", 0.25, 1.0)]
    write_csv(tmp_path / "training.csv", TrainingRow._fields, rows)
    data = page_data([], [training_curves(tmp_path, "run")], [])
    assert [split["name"] for split in data["splits"]] == ["train", "test"]
    curves = data["training"][0]["curves"]
    assert curves == {
        "loss": {0: {"v": [0.5, 0.25]}, 1: {"v": [0.75, None]}},
        "accuracy": {0: {"v": [0.9, 1.0]}, 1: {"v": [0.8, None]}},
    }


def test_table_without_rows_has_no_curves(tmp_path):
    write_information(tmp_path / "information.csv", {})
    write_csv(tmp_path / "training.csv", TrainingRow._fields, [])
    write_csv(tmp_path / "scatter.csv", ["epoch", "label", "t1", "t2"], [])
    assert information_curves(tmp_path, "run") is training_curves(tmp_path, "run") is layer_points(tmp_path, "run")


@pytest.mark.parametrize("n_units", [2, 3])
def test_points_have_the_classes_of_their_epoch(n_units, tmp_path):
    columns = ["epoch", "label", *(f"t{unit}" for unit in range(1, n_units + 1))]
    rows = [[5, 70, *[0.5] * n_units], [1, 3, *[-2.0] * n_units], [5, 3, *[0.25] * n_units]]
    write_csv(tmp_path / "scatter.csv", columns, rows)
    data = page_data([], [], [layer_points(tmp_path, "run")])
    (content,) = data["points"]
    assert content["epochs"] == [1, 5]
    assert content["labels"] == [[0], [1, 0]]  # classes are numbered
    assert [entry["name"] for entry in data["classes"]] == ["3", "70"]
    assert content["points"] == [[[-2.0] * n_units], [[0.5] * n_units, [0.25] * n_units]]
    assert content["limit"] == 2
    assert content["layer"] == ""


def test_classes_of_several_runs_have_one_legend(tmp_path):
    runs = []
    for name, labels in (("a", (5, 7)), ("b", (7, 0.5))):
        (tmp_path / name).mkdir()
        rows = [[1, "fc3", label, 0.5, 0.5] for label in labels]
        write_csv(tmp_path / name / "scatter.csv", ["epoch", "layer", "label", "t1", "t2"], rows)
        runs.append(layer_points(tmp_path / name, name))
    data = page_data([], [], runs)
    assert [entry["name"] for entry in data["classes"]] == ["0.5", "5", "7"]
    assert [content["labels"] for content in data["points"]] == [[[1, 2]], [[2, 0]]]
    assert [content["layer"] for content in data["points"]] == ["fc3", "fc3"]


def test_points_of_several_layers_are_refused(tmp_path):
    rows = [[1, layer, 0, 0.5, 0.5] for layer in ("fc1", "fc2")]
    write_csv(tmp_path / "scatter.csv", ["epoch", "layer", "label", "t1", "t2"], rows)
    with pytest.raises(UsageError, match=r"scatter\.csv: cannot be read: it has the layers fc1, fc2, wanted one"):
        layer_points(tmp_path, "run")


def test_many_points_are_thinned(tmp_path):
    rows = [[epoch, 0, index, 1.0] for epoch in range(50) for index in range(1500)]
    write_csv(tmp_path / "scatter.csv", ["epoch", "label", "t1", "t2"], rows)
    points = layer_points(tmp_path, "run").points
    assert len(points) == 20
    assert {len(positions) for _, positions in points.values()} == {1000}
    assert (min(points), max(points)) == (0, 49)


def test_part_of_many_points_has_all_classes_and_the_same_rows_at_each_epoch(tmp_path):
    rows = [[epoch, row % 10, row, 1.0] for epoch in range(21) for row in range(9991)]
    write_csv(tmp_path / "scatter.csv", ["epoch", "label", "t1", "t2"], rows)
    shown = layer_points(tmp_path, "run")
    labels, positions = shown.points[0]
    assert set(labels) == set(range(10))
    assert np.all(np.diff(positions[:, 0]) > 0)
    assert all(np.array_equal(positions, others) for _, others in shown.points.values())
    assert shown.remark == "The page shows 20 of 21 epochs, 1,000 of 9,991 points."


def test_labels_of_points_may_be_texts(tmp_path):
    rows = [[1, label, 0.5, 0.5] for label in ("dog", "<b>", "dog", "True")]
    write_csv(tmp_path / "scatter.csv", ["epoch", "label", "t1", "t2"], rows)
    data = page_data([], [], [layer_points(tmp_path, "run")])
    assert [entry["name"] for entry in data["classes"]] == ["<b>", "True", "dog"]
    assert data["points"][0]["labels"] == [[2, 0, 2, 1]]


def test_training_of_many_epochs_says_how_many_are_shown(tmp_path):
    write_csv(tmp_path / "training.csv", TrainingRow._fields, [TrainingRow(e, "train", 0.5, 1) for e in range(2500)])
    run = training_curves(tmp_path, "run")
    assert run.remark == "The page shows 500 of 2,500 epochs."
    assert over_seeds("runs", [run, run]).remark.endswith(run.remark)


@pytest.mark.parametrize("cell", ["much", "nan", "inf"])
def test_points_that_are_no_numbers_are_refused(cell, tmp_path):
    write_csv(tmp_path / "scatter.csv", ["epoch", "label", "t1", "t2"], [[1, 0, 0.5, 0.5], [1, 0, 0.5, cell]])
    with pytest.raises(UsageError, match=r"scatter\.csv: cannot be read: row 2, column 't2': "):
        layer_points(tmp_path, "run")


@pytest.mark.parametrize(("epochs", "text"), [([10**30], "epoch beyond"), (range(1500), "1500 curves at 1500 epochs")])
def test_table_that_no_measurement_writes_is_refused(epochs, text, data_of):
    with pytest.raises(UsageError, match=text):
        data_of({epoch: [row(quantity=f"q{epoch}")] for epoch in epochs})


def test_number_that_would_overflow_an_axis_is_missing(data_of):
    curve = data_of({1: [row(value=1e308, upper=1e308)]})["information"][0]["curves"]["I(X;T) in nats"][0]
    assert (curve["v"], curve["l"], curve["u"]) == ([None], [0.5], [None])


def test_training_of_many_splits_is_refused(tmp_path):
    rows = [TrainingRow(1, f"split{number}", 0.5, 0.9) for number in range(9)]
    write_csv(tmp_path / "training.csv", TrainingRow._fields, rows)
    with pytest.raises(UsageError, match="it has 9 splits"):
        training_curves(tmp_path, "run")


@pytest.mark.parametrize(
    ("networks", "merged"),
    [
        (("abc", "abcde"), "abcde"),
        (("bc", "abc"), "abc"),
        (("ad", "abd", "cd"), "abcd"),
        (("ab", "cd"), "abcd"),
        (("ab", "ba", "bca"), "cab"),  # the first network has b behind a
    ],
)
def test_layers_of_several_runs_have_different_colors_in_the_order_of_the_networks(networks, merged, tmp_path):
    runs = []
    for number, layers in enumerate(networks):
        write_information(tmp_path / "information.csv", {1: InformationTable(tuple(map(row, layers)))})
        runs.append(information_curves(tmp_path, f"run {number}"))
    layers = page_data(runs, [], [])["layers"]
    assert [layer["name"] for layer in layers] == list(merged)
    assert len({layer["light"] for layer in layers}) == len({layer["dark"] for layer in layers}) == len(merged)


def test_long_names_of_layers_are_cut_to_different_ones(data_of):
    names = [f"distilbert.transformer.layer.{number}[mean, mask=attention_mask]" for number in range(3)]
    layers = data_of({1: list(map(row, names))})["layers"]
    assert [layer["full"] for layer in layers] == names
    assert len({layer["name"] for layer in layers}) == 3


def test_colors_of_layers_run_from_first_to_last_in_each_network(data_of):
    layers = data_of({1: [row(name) for name in ("a", "b", "c")]})["layers"]
    brightness = [
        [np.mean([int(layer[page][i : i + 2], 16) for i in (1, 3, 5)]) for layer in layers]
        for page in ("light", "dark")
    ]
    assert all(values == sorted(values, reverse=True) for values in brightness)
    assert min(brightness[1]) > min(brightness[0])
