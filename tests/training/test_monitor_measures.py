"""`measures=` of the Monitor: clusters and distances beside the information."""

import csv
import math
import shutil

import numpy as np
import pytest
import torch

import layerbits as lb
from layerbits.training import monitor as monitor_module
from tests.support.networks import INPUTS, LABELS, tanh_mlp

NAMES = ["class_separation", "pairwise_distance_histogram", "binned_entropy"]


def network():
    return tanh_mlp(4, 3, 3, 2, dtype=INPUTS.dtype)


def make_monitor(folder, measures, *, labels=LABELS, model=None, **options):
    settings = lb.MeasurementSettings(queries=4)
    options = {"at": [1, 2], "sigma": 0.5, "settings": settings} | options
    return lb.Monitor(model or network(), INPUTS, labels, directory=folder, measures=measures, **options)


def test_named_measures_are_those_of_the_activations_of_each_layer(tmp_path):
    monitor = make_monitor(tmp_path, NAMES)
    monitor.step(1)
    expected = []
    for layer, activations in lb.layer_activations(network(), INPUTS).items():
        separation = lb.class_separation(activations, LABELS)
        for part in ("within", "between", "scatter_ratio", "collapse"):
            expected.append((layer, f"class_separation/{part}", getattr(separation, part)))
        overlap = lb.pairwise_distance_histogram(activations, LABELS).overlap
        expected.append((layer, "pairwise_distance_histogram/overlap", overlap))
        expected.append((layer, "binned_entropy", lb.binned_entropy(activations)))
    assert len(expected) == 12
    assert list(monitor.measures[1]) == expected


def test_noise_is_off_in_the_activations(tmp_path):
    model = lb.noisify(network(), sigma=0.5)
    seen = []
    make_monitor(tmp_path, {"look": lambda t, y: seen.append(t) or 0.0}, model=model, sigma=None).step(1)
    expected = lb.layer_activations(model, INPUTS)
    assert len(seen) == len(expected) == 2
    assert all(activations.equal(other) for activations, other in zip(seen, expected.values(), strict=True))


def test_functions_get_class_numbers_or_none(tmp_path):
    seen = []
    measures = {"look": lambda t, y: {"rows": len(t), "seen": seen.append(y) or math.nan}}
    monitor = make_monitor(tmp_path / "a", measures, layers="1")
    monitor.step(1)
    make_monitor(tmp_path / "b", measures, labels=None, layers="1").step(1)
    assert np.array_equal(seen[0], LABELS)
    assert seen[1] is None
    assert [row[:2] for row in monitor.measures[1]] == [("1", "look/rows"), ("1", "look/seen")]


def test_file_has_a_row_for_each_number_and_a_resumed_monitor_reads_it(tmp_path, monkeypatch):
    monitor = make_monitor(tmp_path, ["class_separation"])
    for epoch in (1, 2):
        monitor.step(epoch)
    with (tmp_path / "measures.csv").open(newline="") as file:
        rows = [(int(row["epoch"]), row["layer"], row["measure"], float(row["value"])) for row in csv.DictReader(file)]
    assert rows == [(epoch, *row) for epoch in (1, 2) for row in monitor.measures[epoch]]
    monkeypatch.setattr(monitor_module, "measure_layers", None)
    resumed = make_monitor(tmp_path, ["class_separation"])
    assert dict(resumed.measures) == dict(monitor.measures)
    resumed.load_state_dict(monitor.state_dict())
    assert dict(resumed.measures) == dict(monitor.measures)


def test_epoch_that_lost_a_measure_is_measured_again(tmp_path):
    monitor = make_monitor(tmp_path, ["binned_entropy"])
    monitor.step(1)
    monitor.step(2)
    path = tmp_path / "measures.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (tmp_path / ".measures.csv.sha256").unlink()
    with pytest.warns(RuntimeWarning, match="unverified"):
        resumed = make_monitor(tmp_path, ["binned_entropy"])
    assert list(resumed.tables) == [1]
    resumed.step(2)
    assert dict(resumed.measures) == dict(monitor.measures)


def test_file_of_another_monitor_is_left_out(tmp_path):
    mine = tmp_path / ("a" * 100)  # a path is shown in full
    make_monitor(mine, ["class_separation"]).step(1)
    model = network()
    torch.nn.init.eye_(model[0].weight)
    make_monitor(tmp_path / "other", ["class_separation"], model=model).step(1)
    for name in ("measures.csv", ".measures.csv.sha256"):
        shutil.copyfile(tmp_path / "other" / name, mine / name)
    with pytest.warns(RuntimeWarning, match=r"aa/measures\.csv: the rows of epoch 1 are not those"):
        resumed = make_monitor(mine, ["class_separation"])
    assert not resumed.tables


def test_folder_of_other_measures_is_refused(tmp_path):
    make_monitor(tmp_path, ["binned_entropy"]).step(1)
    with pytest.raises(lb.UsageError, match=r"^measures: .*was measured with \['binned_entropy'\]"):
        make_monitor(tmp_path, NAMES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("abc", "it has columns"),
        ("epoch,layer,measure,value\n1,1,binned_entropy,x\n", "row 1, column 'value': could not convert"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_damaged_file_is_named(content, words, tmp_path):
    make_monitor(tmp_path, ["binned_entropy"]).step(1)
    (tmp_path / "measures.csv").write_text(content)
    (tmp_path / ".measures.csv.sha256").unlink()
    with pytest.raises(lb.UsageError, match=rf"measures.csv: cannot be read: {words}"):
        make_monitor(tmp_path, ["binned_entropy"])


def test_logger_gets_the_measures_too(tmp_path):
    logged = []
    monitor = make_monitor(tmp_path, ["binned_entropy"], log=logged.append)
    monitor.step(1)
    (numbers,) = logged
    assert {name: numbers[name] for name in numbers if name.startswith("measures/")} == {
        f"measures/{layer}/binned_entropy": value for layer, _, value in monitor.measures[1]
    }
    assert "information/1/I_XT" in numbers


def rank(activations, labels):
    return int(torch.linalg.matrix_rank(activations))


@pytest.mark.parametrize(
    ("measures", "labels", "error", "message"),
    [
        ("binned_entropy", LABELS, TypeError, "got str, wanted a list of names and functions"),
        (rank, LABELS, TypeError, "got function, wanted a list"),
        ([3], LABELS, TypeError, "got int, wanted a name or a function"),
        (["entropy"], LABELS, ValueError, "got 'entropy', wanted a function .*, or one of binned_entropy, "),
        ([lambda t, y: 0.0], LABELS, ValueError, "got a function without a name, wanted a mapping"),
        ([rank, rank], LABELS, ValueError, "got 'rank' twice"),
        ({"a/b": rank}, LABELS, ValueError, "got the name 'a/b'"),
        ({" ": rank}, LABELS, ValueError, "got the name ' '"),
        ({"a\nb": rank}, LABELS, ValueError, "got the name"),
        ({"epoch": rank}, LABELS, ValueError, "got the name 'epoch', which the tables or reports have"),
        ({"I(X;T) in nats": rank}, LABELS, ValueError, "got the name 'I.X;T. in nats', which"),
        (["class_separation"], None, ValueError, "got 'class_separation' without labels"),
    ],
)
def test_wrong_measure_is_refused_before_anything_is_written(measures, labels, error, message, tmp_path):
    with pytest.raises(error, match=f"^measures: {message}"):
        make_monitor(tmp_path / "run", measures, labels=labels)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("result", [None, "text", {}, [1.0, 2.0]])
def test_measure_that_returns_no_number_is_named(result, tmp_path):
    with pytest.raises(TypeError, match=r"^measures: look returned .*, wanted a number or a mapping of numbers"):
        make_monitor(tmp_path, {"look": lambda t, y: result}).step(1)


def test_measure_that_raises_is_named_and_the_information_of_the_epoch_is_kept(tmp_path):
    def bad(activations, labels):
        raise KeyError("x")

    monitor = make_monitor(tmp_path, {"rank": rank, "bad": bad})
    with pytest.raises(lb.UsageError, match=r"^measures\['bad'\]: got KeyError \('x'\) at layer '1'") as refusal:
        monitor.step(1)
    assert isinstance(refusal.value.__cause__, KeyError)
    other = make_monitor(tmp_path / "other", ["binned_entropy"]).step(1)
    assert lb.read_history(tmp_path)[1].scalars() == other.scalars()
    resumed = make_monitor(tmp_path, {"rank": rank, "bad": lambda activations, labels: 1.0})
    resumed.step(1)
    assert [row.measure for row in resumed.measures[1]] == ["rank", "bad"] * 2


def test_measure_that_raised_is_computed_by_the_next_step_of_the_epoch(tmp_path, monkeypatch):
    def fails_once(activations, labels):
        calls.append(labels)
        return 1 / (len(calls) - 1)

    calls, logged = [], []
    monitor = make_monitor(tmp_path, {"fails_once": fails_once}, layers="1", log=logged.append)
    with pytest.raises(lb.UsageError, match=r"^measures\['fails_once'\]: got ZeroDivisionError"):
        monitor.step(1)
    monkeypatch.setattr(monitor_module, "measure_layers", None)  # the information is not measured again
    table = monitor.step(1)
    assert monitor.step(1) is table
    assert monitor.measures[1] == (("1", "fails_once", 1.0),)
    assert dict(make_monitor(tmp_path, {"fails_once": fails_once}, layers="1").measures) == dict(monitor.measures)
    assert [entry["measures/1/fails_once"] for entry in logged] == [1.0]


def test_functions_with_a_name_need_no_mapping(tmp_path):
    monitor = make_monitor(tmp_path, [rank], layers="1")
    monitor.step(1)
    assert monitor.measures[1] == (("1", "rank", 3.0),)


def test_measure_that_writes_into_its_arguments_does_not_change_the_next(tmp_path):
    def erase(activations, labels):
        labels[:] = 0
        return float(activations.zero_().sum())

    def mean(activations, labels):
        return float(activations.abs().mean() + labels.sum())

    monitor = make_monitor(tmp_path, {"erase": erase, "mean": mean}, at=[1, 2])
    monitor.step(1)
    monitor.step(2)
    for layer, activations in lb.layer_activations(network(), INPUTS).items():
        expected = pytest.approx(float(activations.abs().mean()) + LABELS.sum())
        assert [dict((row[:2], row.value) for row in monitor.measures[epoch])[layer, "mean"] for epoch in (1, 2)] == [
            expected,
            expected,
        ]
