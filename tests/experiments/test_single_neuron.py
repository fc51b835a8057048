"""The experiment single-neuron: quadrature against tabulated values, the estimator against quadrature, the training."""

import math

import numpy as np
import pytest

from layerbits import noise_off
from layerbits._base import UsageError
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.scalar.single_neuron import TABULATED, TABULATED_SIGMAS, TASK, Point, SingleNeuronSettings
from layerbits.experiments.scalar.training import Neuron
from layerbits.training import read_information, read_training

TABULATED_VALUES = [
    (weight, sigma, value)
    for weight, values in TABULATED.items()
    for sigma, value in zip(TABULATED_SIGMAS, values, strict=True)
]
ENTROPY_OF_QUARTER = 0.562335  # H_b(1/4)
# A step with momentum 0.97 moves 10/3 times as far as with the 0.9 of a quick run: 14,000 steps correspond to 47,000 of
# its 60,000.
SMALL = {
    "momentum": 0.97, "epochs": 14_000, "evaluations": 20, "measurements": 20, "shown_epochs": (14_000,),
    "weights": tuple(sorted(TABULATED)),
}  # fmt: skip
PUBLIC_CODE = {
    "momentum": 1.0, "learning_rate": 1e-3, "epochs": 400, "evaluations": 10, "measurements": 20,
    "shown_epochs": (400,), "weights": (0.3,), "sigmas": (0.1,),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(quick_run):
    return quick_run("single-neuron", **SMALL)


def true_information(weight, bias, sigma):
    return TASK.information([(weight, bias)], sigma)


@pytest.mark.parametrize(("weight", "sigma", "value"), TABULATED_VALUES)
def test_quadrature_gives_the_tabulated_value(weight, sigma, value):
    assert true_information(weight, -2 * weight, sigma) == pytest.approx(value, abs=1e-4)  # the precision of the table


def test_information_of_inputs_far_apart_is_log_4():
    assert true_information(0.2, -0.4, 1e-4) == pytest.approx(math.log(4), abs=1e-9)


def test_saturated_neuron_separates_one_input_from_three():
    # The signal is 1 for one input and -1 for three; the tabulated information is .562335 for sigma <= 0.1.
    assert true_information(10.0, -20.0, 0.1) == pytest.approx(ENTROPY_OF_QUARTER, abs=1e-6)


def test_run_writes_all_its_files(folder):
    names = {path.name for path in folder.glob("[!.]*")}
    tables = {"run.json", "training.csv", "information.csv", "information.json", "neurons.csv", "curves.csv"}
    assert names == tables | {"checkpoints", "single-neuron.png", "curves.png"}


def test_intervals_of_the_curves_contain_the_true_value_and_are_as_narrow_as_the_tolerance(folder):
    points = read_table(folder / "curves.csv", Point)
    assert [(point.weight, point.sigma, point.tabulated) for point in points] == TABULATED_VALUES
    assert max(point.upper - point.lower for point in points) <= 2 * 0.02
    # The chance that 10 or more of 36 intervals of 95 % are wrong is 1e-5. The error of the quadrature is 1e-9.
    assert sum(not point.lower - 1e-9 <= point.truth <= point.upper + 1e-9 for point in points) < 10


def test_intervals_of_the_training_contain_the_true_value(folder):
    tables = read_information(folder / "information.csv")
    neurons = read_table(folder / "neurons.csv", Neuron)
    rows = [tables[neuron.epoch]["neuron1", "I(X;T)"] for neuron in neurons]
    assert len(neurons) == len(tables) == 20
    assert max(row.upper - row.lower for row in rows) <= 2 * 0.02
    is_correct = [
        row.lower - 1e-9 <= neuron.truth <= row.upper + 1e-9 for row, neuron in zip(rows, neurons, strict=True)
    ]
    # The chance that 8 or more of 20 intervals of 95 % are wrong is 3e-6.
    assert is_correct.count(False) < 8


def test_information_rises_to_log_4_and_falls_to_the_entropy_of_the_class(folder):
    tables = read_information(folder / "information.csv")
    curve = [table["neuron1", "I(X;T)"] for table in tables.values()]
    peak = max(range(len(curve)), key=lambda index: curve[index].lower)
    # Nearly all confusions are between neighbours, which are at least 6 sigmas apart: about 1e-3 nats.
    assert curve[peak].lower > math.log(4) - 2e-3
    assert curve[0].upper < math.log(4) / 2
    # After the peak no interval is above the interval before.
    assert all(next_row.lower <= row.upper for row, next_row in zip(curve[peak:-1], curve[peak + 1 :], strict=True))
    # Three inputs have one class, and one of them is at most 0.3 sigma away from the others, which adds at most
    # 3/4 of 2/9 0.3^2 / 2 = 0.0075 nats.
    assert ENTROPY_OF_QUARTER - 1e-6 <= curve[-1].upper <= ENTROPY_OF_QUARTER + 0.0075 + 0.02
    assert read_table(folder / "neurons.csv", Neuron)[-1].truth < ENTROPY_OF_QUARTER + 0.0075
    # The remaining information is about the class: H(Y) = H_b(1/4).
    about_class = tables[14_000]["neuron1", "I(T;Y)"]
    assert ENTROPY_OF_QUARTER - 0.02 < about_class.lower <= ENTROPY_OF_QUARTER <= about_class.upper + 1e-6


def test_weight_grows_and_bias_approaches_minus_twice_the_weight(folder):
    neurons = read_table(folder / "neurons.csv", Neuron)
    assert neurons[-1].weight > 2.5
    assert neurons[-1].bias == pytest.approx(-2 * neurons[-1].weight, rel=0.05)
    rows = read_training(folder / "training.csv")
    # The noise alone costs sigma^2; the mean over 256 passes of four inputs has a standard error of 4.4 %.
    assert 0.05**2 * (1 - 4 * 0.044) < rows[-1].loss < 2 * 0.05**2
    assert rows[-1].accuracy == 1


@pytest.fixture(scope="module")
def public_code(quick_run):
    """Run with the settings of the public code, which never clears gradients: this is momentum 1."""
    return quick_run("single-neuron", **PUBLIC_CODE)


def test_run_of_the_public_code_ends_at_the_entropy_of_the_class(public_code):
    curve = [table["neuron1", "I(X;T)"] for table in read_information(public_code / "information.csv").values()]
    assert max(row.lower for row in curve) > math.log(4) - 0.02
    neuron = read_table(public_code / "neurons.csv", Neuron)[-1]
    # The tabulated value has six digits; the signals of the three inputs are about 1e-4 sigmas apart and add less.
    assert [curve[-1].lower, neuron.truth, curve[-1].upper] == pytest.approx([ENTROPY_OF_QUARTER] * 3, abs=2e-6)
    # The public code reports 6.94 and -14.29 for 30 random inputs. With equal frequencies of the inputs the parameters
    # are 7.9 and -14.7; the noise changes them by up to 0.15.
    assert (neuron.weight, neuron.bias) == pytest.approx((6.94, -14.29), rel=0.2)


def test_weight_without_a_tabulated_value_has_none(public_code):
    (point,) = read_table(public_code / "curves.csv", Point)
    assert math.isnan(point.tabulated)


def test_network_gives_the_signals_that_the_quadrature_assumes():
    noisy = TASK.network([(0.7, -1.1)], 0.05)
    with noise_off(noisy):
        signals = noisy(TASK.data()[0])[:, 0].detach().numpy()
    np.testing.assert_allclose(signals, np.tanh(0.7 * np.array(TASK.inputs) - 1.1), rtol=1e-14)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": ()}, {"sigmas": (0.1, 0.0)}, {"sigmas": (1e-5,)}, {"weight": math.inf}, {"bias": math.nan},
        {"weights": (0.3, 0.3000000001)}, {"sigmas": (0.1, 0.1)},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        SingleNeuronSettings(**change)
