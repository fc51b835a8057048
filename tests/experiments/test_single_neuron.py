"""The experiment single-neuron: quadrature against known values, the estimator against quadrature, and the training."""

import math

import numpy as np
import pytest
from layerbits.experiments.scalar.study import Neuron

from layerbits._base import UsageError
from layerbits.calibration import truths_of
from layerbits.experiments import RunFolder
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.scalar import single_neuron
from layerbits.experiments.scalar import study as scalar
from layerbits.experiments.scalar.single_neuron import STUDY, Config, Point
from layerbits.training import read_information, read_training

KNOWN = [
    (weight, sigma, value)
    for weight, row in single_neuron._PUBLISHED.items()
    for sigma, value in zip(single_neuron._SIGMAS, row, strict=True)
]
ONE_OF_FOUR = 0.562335  # H_b(1/4)
PUBLIC_CODE = {"momentum": 1.0, "learning_rate": 1e-3, "epochs": 400, "weights": (1.0,), "sigmas": (0.1,)}


def truth(weight, bias, sigma):
    return truths_of(*STUDY.channels([(weight, bias)], sigma))["I(X;T)"].value


@pytest.mark.parametrize(("weight", "sigma", "value"), KNOWN)
def test_quadrature_gives_the_known_value(weight, sigma, value):
    assert truth(weight, -2 * weight, sigma) == pytest.approx(value, abs=1e-4)  # the accuracy of the table


def test_inputs_far_apart_give_log_4():
    assert truth(0.2, -0.4, 1e-4) == pytest.approx(math.log(4), abs=1e-9)


def test_saturated_neuron_tells_one_input_from_three():
    # tanh(10) and -tanh(30), -tanh(50), ...: one against three, {1/4, 3/4} at +-1; known to be .562335 for sigma <= .1.
    assert truth(10.0, -20.0, 0.1) == pytest.approx(ONE_OF_FOUR, abs=1e-6)


def test_run_leaves_all_its_files(quick_run):
    names = {path.name for path in quick_run("single-neuron").iterdir()}
    tables = {"run.json", "training.csv", "information.csv", "information.json", "neurons.csv", "curves.csv"}
    assert names == tables | {"checkpoints", "single-neuron.png", "curves.png"}


def test_curves_hold_the_truth_of_quadrature_and_are_as_narrow_as_asked(quick_run):
    points = read_table(quick_run("single-neuron") / "curves.csv", Point)
    assert len(points) == 22 * 6
    assert max(point.upper - point.lower for point in points) <= 2 * 0.02
    # Of 132 intervals of 95 % as many as 20 fail by a chance of 1e-5. Quadrature is off by 1e-9.
    assert sum(not point.lower - 1e-9 <= point.truth <= point.upper + 1e-9 for point in points) < 20


def test_intervals_over_the_training_hold_the_truth(quick_run):
    folder = quick_run("single-neuron")
    tables = read_information(folder / "information.csv")
    neurons = read_table(folder / "neurons.csv", Neuron)
    rows = [tables[neuron.epoch]["neuron1", "I(X;T)"] for neuron in neurons]
    assert len(neurons) == len(tables) == 29
    assert max(row.upper - row.lower for row in rows) <= 2 * 0.02
    # Of 29 intervals of 95 % as many as 9 fail by a chance of 1e-5.
    held = [row.lower - 1e-9 <= neuron.truth <= row.upper + 1e-9 for row, neuron in zip(rows, neurons, strict=True)]
    assert held.count(False) < 9


def test_information_rises_to_log_4_and_falls_to_what_the_class_needs(quick_run):
    folder = quick_run("single-neuron")
    tables = read_information(folder / "information.csv")
    curve = [table["neuron1", "I(X;T)"] for table in tables.values()]
    peak = max(range(len(curve)), key=lambda place: curve[place].lower)
    # Nearly all confusions are of neighbours: at 6 sigmas, of which the four are apart at least, some 1e-3 nats.
    assert curve[peak].lower > math.log(4) - 2e-3
    assert max(row.upper for row in curve[:1]) < math.log(4) / 2
    # After the peak it never rises, but for the intervals' width.
    assert all(after.lower <= before.upper for before, after in zip(curve[peak:-1], curve[peak + 1 :], strict=True))
    # Of the three inputs of one class one is .3 sigma off, at most: 3/4 of 2/9 .3^2 / 2 nats, and .0075 is as much.
    assert ONE_OF_FOUR - 1e-6 <= curve[-1].upper <= ONE_OF_FOUR + 0.0075 + 0.02
    assert read_table(folder / "neurons.csv", Neuron)[-1].truth < ONE_OF_FOUR + 0.0075
    # What is left is what the class needs: H(Y) = H_b(1/4).
    about = tables[60_000]["neuron1", "I(T;Y)"]
    assert ONE_OF_FOUR - 0.02 < about.lower <= ONE_OF_FOUR <= about.upper + 1e-6


def test_weight_grows_and_bias_follows_to_twice_it(quick_run):
    neurons = read_table(quick_run("single-neuron") / "neurons.csv", Neuron)
    assert neurons[-1].weight > 2.5
    assert neurons[-1].bias == pytest.approx(-2 * neurons[-1].weight, rel=0.05)
    rows = read_training(quick_run("single-neuron") / "training.csv")
    # No less than the noise leaves, sigma^2, of which the mean over 1024 passes is off by 4.4 % (1 standard error).
    assert 0.05**2 * (1 - 4 * 0.044) < rows[-1].loss < 2 * 0.05**2
    assert rows[-1].accuracy == 1


def test_gradients_that_are_never_cleared_end_at_the_entropy_of_the_class(quick_run):
    """The public code's 400 steps, in which momentum 1 carries weight and bias on beyond all saturation."""
    folder = quick_run("single-neuron", **PUBLIC_CODE)
    curve = [table["neuron1", "I(X;T)"] for table in read_information(folder / "information.csv").values()]
    assert max(row.lower for row in curve) > math.log(4) - 0.02
    neuron = read_table(folder / "neurons.csv", Neuron)[-1]
    # Known to 1e-6; the values of the three inputs are some 1e-4 sigmas apart, which is no more.
    assert [curve[-1].lower, neuron.truth, curve[-1].upper] == pytest.approx([ONE_OF_FOUR] * 3, abs=2e-6)
    # That code names 6.94 and -14.29, of 30 random inputs; of each input as often as of the others they are 7.9 and
    # -14.7, give or take .15 for the noise.
    assert (neuron.weight, neuron.bias) == pytest.approx((6.94, -14.29), rel=0.2)


def test_weight_without_a_known_value_has_none(tmp_path):
    config = Config(weights=(0.3,), sigmas=(0.1,), tolerance=0.1)
    folder = RunFolder(tmp_path, experiment="single-neuron", config=config, resume=False)
    single_neuron.measure(config, folder)
    assert math.isnan(read_table(tmp_path / "curves.csv", Point)[0].published)


def test_network_gives_the_signals_that_quadrature_is_about():
    noisy = scalar.network(STUDY, [(0.7, -1.1)], 0.05)
    with noisy.noise_off():
        signals = noisy(STUDY.data()[0])[:, 0].detach().numpy()
    np.testing.assert_allclose(signals, np.tanh(0.7 * np.array(STUDY.inputs) - 1.1), rtol=1e-14)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": ()}, {"sigmas": (0.1, 0.0)}, {"sigmas": (1e-5,)}, {"weight": math.inf}, {"bias": math.nan},
        {"weights": (0.3, 0.3000000001)}, {"sigmas": (0.1, 0.1)},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        Config(**change)
