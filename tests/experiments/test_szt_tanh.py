"""The experiment szt-tanh with a training of a few epochs; tools/ci/check_run.py checks its claims on a quick run."""

import json
import math

import pytest
import torch

from layerbits import noise_of
from layerbits._base import UsageError, read_csv
from layerbits.experiments import RunFolder
from layerbits.experiments.szt.network import noisy_network
from layerbits.experiments.szt.noisy_network import SZT_TANH
from layerbits.experiments.szt.scatter import SCATTER_COLUMNS
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.training import read_information, read_training

TINY = NoisySettings(epochs=30, evaluations=6, measurements=4, draws=3, queries=3, learning_rate=0.01)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("run"), experiment="szt-tanh", config=TINY, resume=False)
    with folder.running():
        SZT_TANH.run(TINY, folder)
    return folder.path


def test_network_is_the_one_of_the_paper():
    noisy = SZT_TANH.network(NoisySettings())
    shapes = [tuple(parameter.shape) for parameter in noisy.parameters() if parameter.ndim == 2]
    assert shapes == [(10, 12), (7, 10), (5, 7), (4, 5), (3, 4), (2, 3)]
    sigmas = {layer: noise.scale for layer, noise in noise_of(noisy).items()}
    assert list(sigmas) == ["tanh1", "tanh2", "tanh3", "tanh4", "tanh5"]
    assert set(sigmas.values()) == {0.005}


def test_initial_weights_have_the_spread_of_a_truncated_normal():
    networks = [SZT_TANH.network(NoisySettings(seed=seed)) for seed in range(50)]
    weights = torch.cat([noisy.linear1.weight.flatten() for noisy in networks])
    # Truncation at two standard deviations leaves 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737 of the variance.
    # The relative standard error of the standard deviation of 6000 such values is below 1 / sqrt(2 * 6000) = 0.9 %.
    assert weights.std().item() == pytest.approx(math.sqrt(0.7737 / 12), rel=0.04)
    assert weights.abs().max() <= 2 / math.sqrt(12)


def test_network_is_made_without_the_global_generator():
    before = torch.get_rng_state()
    SZT_TANH.network(NoisySettings())
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(
    ("activation", "noisy_layers"),
    [
        (torch.nn.Tanh, ("tanh1", "tanh2", "tanh3", "tanh4", "tanh5")),
        (torch.nn.LeakyReLU, ("leakyrelu1", "leakyrelu2", "leakyrelu3", "leakyrelu4", "leakyrelu5")),
        (None, ("linear1", "linear2", "linear3", "linear4", "linear5")),
    ],
)
def test_noise_is_on_every_hidden_layer_and_not_on_the_logits(activation, noisy_layers):
    assert tuple(noise_of(noisy_network(NoisySettings(), 0.1, activation))) == noisy_layers


def test_run_writes_all_its_files(finished_run):
    names = {path.name for path in finished_run.glob("[!.]*")}
    assert names == {
        "run.json", "training.csv", "information.csv", "information.json", "scatter.csv", "szt-tanh.png",
        "szt-tanh-plane.png", "checkpoints",
    }  # fmt: skip


def test_time_of_training_measurements_and_figures_is_recorded(finished_run):
    timings = json.loads((finished_run / "run.json").read_text())["timings"]
    assert timings.keys() == {"training", "measurements", "figures"}


def test_loss_falls(finished_run):
    losses = [row.loss for row in read_training(finished_run / "training.csv") if row.split == "train"]
    assert losses[-1] < losses[0]


def test_every_layer_is_measured_at_every_chosen_epoch(finished_run):
    tables = read_information(finished_run / "information.csv")
    assert tuple(tables) == TINY.measured_epochs == (1, 3, 10, 30)
    for table in tables.values():
        assert {row.layer for row in table} == set(noise_of(SZT_TANH.network(TINY)))
        assert {row.quantity for row in table} == {"I(X;T)", "h(T)", "h(T|X)", "I(T;Y)", "I(X;T|Y)"}


def test_first_layer_separates_all_inputs(finished_run):
    table = read_information(finished_run / "information.csv")[1]
    # The signals of any two inputs are more than 40 sigmas apart, so that log 4096 exceeds the information by at most
    # 4095 exp(-40^2 / 8) = 1e-83 nats.
    assert table["tanh1", "I(X;T)"].value == pytest.approx(math.log(4096), abs=1e-12)


def test_scatter_has_a_row_for_every_input_within_the_range_of_tanh_and_noise(finished_run):
    rows = read_csv(finished_run / "scatter.csv", SCATTER_COLUMNS)
    assert len(rows) == 4096 * len(TINY.shown_epochs)
    assert {row[1] for row in rows} == {"tanh5"}
    # A value exceeds 8 standard deviations with probability 1e-15.
    assert max(abs(float(value)) for row in rows for value in row[3:]) < 1 + 8 * TINY.sigma


def test_summary_agrees_with_the_tables(finished_run):
    summary = json.loads((finished_run / "run.json").read_text())["summary"]
    tables = read_information(finished_run / "information.csv").items()
    curve = {epoch: table["tanh5", "I(X;T)"] for epoch, table in tables}
    peak, final = curve[summary["last_layer_peak_epoch"]], curve[30]
    assert peak.value == max(row.value for row in curve.values())
    for name, row in {"peak": peak, "final": final}.items():
        numbers = [summary[f"last_layer_{name}_{part}"] for part in ("lower", "information", "upper")]
        assert numbers == [row.lower, row.value, row.upper]
    assert summary["last_layer_fall"] == peak.value - final.value
    assert summary["last_layer_least_fall"] == peak.lower - final.upper
    assert summary["test_accuracy"] == read_training(finished_run / "training.csv")[-1].accuracy


def test_shown_epochs_are_the_nearest_measured_ones():
    config = NoisySettings(epochs=1000, measurements=4, scatter_epochs=(1, 2, 28, 80, 10_000))
    assert config.measured_epochs == (1, 10, 100, 1000)
    assert config.shown_epochs == (1, 10, 100, 1000)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"sigma": 0.0}, {"widths": (10, 4)}, {"widths": ()}, {"epochs": 0}, {"learning_rate": -0.1},
        {"batch_size": 0}, {"test_fraction": 1.0}, {"evaluations": 1}, {"measurements": 1}, {"draws": 1},
        {"queries": 1}, {"tolerance": 0.0}, {"max_seconds": -1.0}, {"max_draws": 0}, {"scatter_epochs": (0,)},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        NoisySettings(**change)
