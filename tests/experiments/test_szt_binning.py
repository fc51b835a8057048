"""The experiment szt-binning: the claims of the paper's Figure 1 in a short training."""

import math

import numpy as np
import pytest
import torch

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.szt import binning_figures
from layerbits.experiments.szt.binning import SZT_BINNING, BinningExperiment, _cloud, _tracking
from layerbits.experiments.szt.binning_tables import Binned, BinningSettings, Pair, Tracking
from layerbits.training import read_information

LOG_N = math.log(4096)
# An epoch is one step, on a quarter of the inputs.
SMALL = {"epochs": 450, "learning_rate": 1.6e-2, "batch_size": 1024, "test_fraction": 0.75, "evaluations": 4,
         "measurements": 8, "draws": 4, "queries": 2, "scatter_epochs": (450,)}  # fmt: skip
TINY = BinningSettings(
    widths=(4, 3), epochs=5, evaluations=3, measurements=3, draws=2, queries=2, learning_rate=0.01, scatter_epochs=(5,)
)

# The margins of the claims are large, because the entropies depend on the training, and a training in float32 depends
# on the rounding of the processor.


@pytest.fixture(scope="module")
def folder(quick_run):
    return quick_run("szt-binning", **SMALL)


@pytest.fixture(scope="module")
def deterministic(folder):
    return read_table(folder / "deterministic" / "binned.csv", Binned)


@pytest.fixture(scope="module")
def noisy(folder):
    return read_table(folder / "noisy" / "binned.csv", Binned)


def last_layer(rows, bin_size, quantity="H(Bin(T))"):
    cell = "tanh5", bin_size, quantity
    return {row.epoch: row.value for row in rows if (row.layer, row.bin_size, row.quantity) == cell}


def test_information_of_the_deterministic_network_never_changes(deterministic):
    assert {row.distinct for row in deterministic} == {4096}
    assert [row.ceiling for row in deterministic] == pytest.approx([LOG_N] * len(deterministic), rel=1e-12)


def test_fine_bins_separate_nearly_all_inputs_at_every_layer_at_the_first_epoch(deterministic):
    rows = [row for row in deterministic if row.bin_size == 1e-4 and row.epoch == 1]
    assert {row.layer for row in rows} == {f"tanh{number}" for number in range(1, 6)}
    # A pair of inputs in one bin costs 2 log 2 / 4096. At layer 5, bins of 0.01 contain hundreds of pairs. Bins of 1e-4
    # have 1e-6 of the volume, so that even three pairs are unlikely.
    assert min(row.value for row in rows) > LOG_N - 3 * 2 * math.log(2) / 4096


def test_coarse_bins_show_the_last_layer_rise_and_fall(deterministic):
    first, *_, final = curve = list(last_layer(deterministic, 0.1).values())
    assert max(curve) - first > 0.4
    assert max(curve) - final > 0.7


def test_bin_sizes_give_different_curves_of_the_same_network(deterministic):
    entropy_in_fine_bins, entropy_in_coarse_bins = last_layer(deterministic, 1e-4), last_layer(deterministic, 0.1)
    # The entropy in fine bins has not fallen at these epochs. The entropy in coarse bins has fallen and is nats lower.
    epochs = [epoch for epoch in entropy_in_fine_bins if entropy_in_fine_bins[epoch] > LOG_N - 0.05]
    falls = {
        epoch: max(entropy_in_coarse_bins[earlier] for earlier in epochs if earlier <= epoch)
        - entropy_in_coarse_bins[epoch]
        for epoch in epochs
    }
    epoch = max(falls, key=lambda epoch: falls[epoch])
    assert falls[epoch] > 0.3
    assert entropy_in_fine_bins[epoch] - entropy_in_coarse_bins[epoch] > 2


def test_entropy_is_not_lower_in_bins_of_a_tenth_of_the_size(deterministic):
    values = {(row.bin_size, row.layer, row.epoch): row.value for row in deterministic if row.estimator == "fixed"}
    for (size, layer, epoch), value in values.items():
        # The edges of bins ten times as large are also edges of these bins. Rounding can move one or two pairs.
        assert value >= values.get((10 * size, layer, epoch), 0.0) - 2 * 2 * math.log(2) / 4096


def test_no_estimate_exceeds_the_entropy_without_bins(deterministic, noisy):
    assert all(row.value <= row.ceiling + 1e-12 for row in deterministic + noisy)


def test_binned_entropies_of_the_noisy_network_correlate_with_its_information(folder):
    rows = read_table(folder / "tracking.csv", Tracking)
    correlations = {(row.quantity, row.layer, row.from_epoch): row.rank_correlation for row in rows}
    middle = max(row.from_epoch for row in rows)
    for quantity in ("H(Bin(T))", "H(Bin(S))"):
        assert correlations[quantity, "all", 1] > 0.83
        assert correlations[quantity, "tanh5", middle] > 0.83


def test_information_and_binned_entropy_of_the_noisy_network_both_fall(folder, noisy):
    tables = read_information(folder / "noisy" / "information.csv")
    information = [table["tanh5", "I(X;T)"] for table in tables.values()]
    assert max(row.lower for row in information) - information[-1].upper > 0.4
    for quantity in ("H(Bin(T))", "H(Bin(S))"):
        entropies = list(last_layer(noisy, 0.05, quantity).values())
        assert max(entropies) - entropies[-1] > 0.4


def run_tiny(path, *, resume):
    """Train and measure, without figures."""
    folder = RunFolder(path, experiment="szt-binning", config=TINY, resume=resume)
    with folder.running():  # releases the folder at the end, while the traceback of an interrupt still refers to it
        SZT_BINNING.train(TINY, folder)
        SZT_BINNING.measure(TINY, folder)
    return path


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("run"), resume=False)


def test_run_writes_all_its_files(folder):
    assert {str(file.relative_to(folder)) for file in folder.rglob("[!.]*") if file.suffix != ".pt"} == {
        "run.json", "tracking.csv", "szt-binning.png", "szt-binning-noisy.png",
        "szt-binning-planes.png",
        "deterministic", "deterministic/checkpoints", "deterministic/training.csv", "deterministic/binned.csv",
        "noisy", "noisy/checkpoints", "noisy/training.csv", "noisy/binned.csv", "noisy/information.csv",
        "noisy/information.json", "noisy/scatter.csv",
    }  # fmt: skip


def interrupt(*_):
    raise KeyboardInterrupt


def test_run_that_is_interrupted_at_each_phase_and_resumed_ends_with_the_same_tables(tiny_run, tmp_path, monkeypatch):
    for number, step in enumerate(("train", "_bin", "measure")):
        with monkeypatch.context() as patch:
            patch.setattr(BinningExperiment, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run_tiny(tmp_path, resume=number > 0)
    run_tiny(tmp_path, resume=True)
    first_rows = (tmp_path / "deterministic" / "binned.csv").read_bytes().splitlines(keepends=True)[:7]
    (tmp_path / "deterministic" / "binned.csv").write_bytes(b"".join(first_rows))
    (tmp_path / "deterministic" / ".binned.csv.sha256").unlink()
    with pytest.warns(RuntimeWarning, match="unverified"):
        run_tiny(tmp_path, resume=True)
    for name in ("deterministic/binned.csv", "noisy/training.csv", "noisy/binned.csv", "tracking.csv"):
        assert (tmp_path / name).read_bytes() == (tiny_run / name).read_bytes()


def test_initial_weights_of_both_networks_are_equal():
    plain, noisy = (SZT_BINNING.network(BinningSettings(seed=3), variant) for variant in ("deterministic", "noisy"))
    assert all(map(torch.equal, plain.parameters(), noisy.parameters()))


@pytest.mark.parametrize("rounding", [-2e-7, 2e-7])
def test_rank_correlation_ignores_differences_of_information_by_rounding(rounding):
    pairs = [Pair("H(Bin(T))", "tanh1", 1, LOG_N, 8.3), Pair("H(Bin(T))", "tanh2", 1, LOG_N + rounding, 8.2)]
    pairs += [Pair("H(Bin(T))", "tanh1", 2, 2.0, 1.0), Pair("H(Bin(T))", "tanh2", 2, 1.0, 0.5)]
    # Ranks of information (3.5, 3.5, 2, 1) and of entropy (4, 3, 2, 1).
    assert _tracking(pairs, "H(Bin(T))", "all", 1).rank_correlation == pytest.approx(4.5 / math.sqrt(5 * 4.5))


def test_entropy_of_points_counts_equal_points():
    cloud = _cloud(np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 1.0], [1.0, 1.0]]))
    assert (cloud.entropy, cloud.distinct_points) == (pytest.approx(1.5 * math.log(2)), 3)


PARTS = ["deterministic/training.csv", "deterministic/binned.csv", "noisy/information.csv"]


@pytest.mark.parametrize("parts", range(4))
@pytest.mark.filterwarnings("ignore:.*unverified:RuntimeWarning")
def test_incomplete_run_is_plotted(tiny_run, tmp_path, parts):
    for name in PARTS[:parts]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    SZT_BINNING.plot(TINY, tmp_path)
    assert (tmp_path / "szt-binning.png").exists()
    assert (tmp_path / "szt-binning-noisy.png").exists() == (parts == 3)


@pytest.fixture
def figures(tiny_run, monkeypatch):
    """Return the figures of a tiny run by the name of their file."""
    figures = {}
    monkeypatch.setattr(binning_figures, "save_figure", lambda figure, file: figures.update({file.name: figure}))
    SZT_BINNING.plot(TINY, tiny_run)
    return figures


def test_both_planes_have_the_largest_possible_values(figures):
    planes = figures["szt-binning-planes.png"].axes[:2]
    assert [[text.get_text() for text in axes.texts] for axes in planes] == [["log 4096", "H(Y)"]] * 2


def test_points_of_the_noisy_network_are_inside_their_panel(figures):
    (axes,) = [axes for axes in figures["szt-binning-noisy.png"].axes if axes.get_xlabel() == "I(X;T) in nats"]
    low, high = axes.get_xlim()
    numbers = np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() in ("o", "x")])
    margin = 0.02 * (high - low)
    assert low + margin < numbers.min()
    assert numbers.max() < high - margin


@pytest.mark.parametrize(
    "change",
    [
        {"sigma": 0.0}, {"bin_sizes": ()}, {"bin_sizes": (1e-16,)}, {"bin_sizes": (0.1, 0.1)},
        {"szt_bins": 0}, {"quantile_bins": 0},
        {"szt_bins": 2**21}, {"quantile_bins": 2**21}, {"bin_sizes": (0.1, 0.1000000001)},
        {"noisy_bin": 0.0}, {"noisy_bin": 1e9}, {"noisy_bin": 1.0, "sigma": 1e-20},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        BinningSettings(**change)
