"""Training, measures and figures of the experiment with a convolutional network, on few images."""

import dataclasses
import functools
import itertools
import math
import shutil

import numpy as np
import pytest
import torch

from layerbits import binned_entropy, class_separation, layer_activations
from layerbits._base import UsageError
from layerbits.data import digits_dataset
from layerbits.experiments import RunFolder
from layerbits.experiments.cnn import representations, training
from layerbits.experiments.cnn.digits_cnn import DIGITS_CNN, Config
from layerbits.experiments.cnn.network import build_network
from layerbits.experiments.cnn.representations import Clustering, Distances, Similarity
from layerbits.experiments.cnn.settings import Variant
from layerbits.experiments.cnn.slices import SlicedInformation
from layerbits.experiments.cnn.training import Errors
from layerbits.experiments.framework.tables import read_table
from layerbits.training import Checkpoints, load_checkpoint, read_training
from tests.support.answers import information_on_line

TRAIN_IMAGES, TEST_IMAGES = 96, 60
NEAR_ZERO = 1e-30  # noise that changes no float32 value above 1e-22
TINY = Config(
    repeats=2,
    sigmas=(NEAR_ZERO, 0.3),
    channels=(2,),
    units=4,
    epochs=3,
    evaluations=3,
    measurements=2,
    bins=20,
    frames=8,
)
TWO_TRAININGS = dataclasses.replace(TINY, repeats=1, sigmas=(0.3,), variants=("deterministic", "noisy"))
DETERMINISTIC, NOISY, DROPOUT = (
    Variant("deterministic"),
    Variant("noisy-0.3", sigma=0.3),
    Variant("dropout", dropout=0.2),
)
CSV = ("errors.csv", "clustering.csv", "distances.csv", "slices.csv", "similarity.csv")


@functools.cache
def images(config=TINY):
    train, test = digits_dataset(test_fraction=config.test_fraction, seed=config.seed)
    return train.first(TRAIN_IMAGES), test.first(TEST_IMAGES)


EXPERIMENT = dataclasses.replace(DIGITS_CNN, images=images)


def run(path, *, config=TINY, resume=False):
    """Train and measure without figures."""
    folder = RunFolder(path, experiment="digits-cnn", config=config, resume=resume)
    with folder.running():
        EXPERIMENT.train(config, folder)
        EXPERIMENT.measure(config, folder)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    run(path)
    EXPERIMENT.plot(TINY, path)
    return path


def trained_network(path, variant, *, seed):
    model = build_network(TINY, variant, seed=seed, size=(8, 8))
    name = f"{variant.name}-seed-{seed}"
    load_checkpoint(path / name, TINY.epochs, model, run=TINY.identity(name))
    return model


def tables(path):
    return {file.relative_to(path): file.read_text() for file in sorted(path.rglob("*.csv"))}


def test_run_writes_all_its_files(finished_run):
    trainings = {f"{variant.name}-seed-{seed}" for seed, variant in TINY.trainings}
    assert len(trainings) == 8
    figures = {f"digits-cnn{suffix}.png" for suffix in ("", "-epochs", "-variants", "-slices")}
    assert {path.name for path in finished_run.glob("[!.]*")} == {"run.json", *CSV, *figures, *trainings}
    for name in trainings:
        assert {path.name for path in (finished_run / name).glob("[!.]*")} == {"training.csv", "checkpoints"}


def test_cudnn_is_deterministic_and_without_tf32_in_training_and_measuring(tmp_path, monkeypatch):
    def recording_forward(layer, inputs):
        flags.add((torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32))
        return forward(layer, inputs)

    flags, forward = set(), torch.nn.Conv2d.forward
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.nn.Conv2d, "forward", recording_forward)
    run(tmp_path, config=dataclasses.replace(TINY, repeats=1, variants=("deterministic",)))
    assert flags == {(True, False)}
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == before


def test_every_layer_of_every_training_is_measured_at_every_chosen_epoch(finished_run):
    cells = {
        (variant.name, seed, epoch, layer)
        for (seed, variant), epoch, layer in itertools.product(TINY.trainings, (1, 3), TINY.layers)
    }
    assert [row[:4] for row in read_table(finished_run / "clustering.csv", Clustering)] == sorted(
        cells, key=lambda cell: (cell[1], [v.name for v in TINY.training_variants].index(cell[0]), *cell[2:])
    )
    similarities = {row[:5] for row in read_table(finished_run / "similarity.csv", Similarity)}
    assert similarities == {(*cell, "off") for cell in cells if cell[0] != "deterministic"} | {
        (*cell, "on") for cell in cells if cell[0].startswith("noisy")
    }


def test_training_with_negligible_noise_equals_the_deterministic_training(finished_run):
    for seed in TINY.seeds:
        noisy, deterministic = (
            read_training(finished_run / f"{name}-seed-{seed}" / "training.csv")
            for name in ("noisy-1e-30", "deterministic")
        )
        assert noisy == deterministic
    rows = [row for row in read_table(finished_run / "similarity.csv", Similarity) if row.variant == "noisy-1e-30"]
    # A cosine of float32 vectors of 128 dimensions has an error below 128 eps.
    assert all(abs(row[field] - 1) < 128 * 2**-23 for row in rows for field in range(5, 9))


def test_learning_rate_falls_geometrically_from_the_first_epoch_to_the_last():
    rates = [training._learning_rate(Config(epochs=3), epoch) for epoch in (1, 2, 3)]
    assert rates == pytest.approx([5e-3, math.sqrt(5e-3 * 5e-4), 5e-4], rel=1e-12)
    assert training._learning_rate(Config(epochs=1), 1) == 5e-3


def test_errors_are_those_of_the_last_epoch(finished_run):
    errors = read_table(finished_run / "errors.csv", Errors)
    assert [(row.seed, row.variant) for row in errors] == [(seed, variant.name) for seed, variant in TINY.trainings]
    for row in errors:
        last = read_training(finished_run / f"{row.variant}-seed-{row.seed}" / "training.csv")[-1]
        assert (last.epoch, last.split, row.images) == (3, "test", TEST_IMAGES)
        assert row.errors == pytest.approx((1 - last.accuracy) * TEST_IMAGES, abs=1e-6)


def test_every_pair_of_the_first_seed_is_counted_once(finished_run):
    rows = read_table(finished_run / "distances.csv", Distances)
    class_sizes = images()[1].labels.bincount()
    expected = {"within": int((class_sizes * (class_sizes - 1)).sum()) // 2}
    expected["between"] = TEST_IMAGES * (TEST_IMAGES - 1) // 2 - expected["within"]
    for kind, total in expected.items():
        cells = {}
        for row in rows:
            if row.kind == kind:
                assert row.seed == 0
                cells[row.variant, row.epoch, row.layer] = cells.get((row.variant, row.epoch, row.layer), 0) + row.pairs
        assert len(cells) == 4 * 2 * 2
        assert set(cells.values()) == {total}


def test_clustering_is_measured_without_noise_on_the_test_images(finished_run):
    _, test = images()
    points = layer_activations(trained_network(finished_run, NOISY, seed=1), test.inputs)["tanh2"]
    rows = read_table(finished_run / "clustering.csv", Clustering)
    (row,) = (row for row in rows if row[:4] == ("noisy-0.3", 1, 3, "tanh2"))
    separation = class_separation(points, test.labels)
    assert (row.within, row.between) == pytest.approx((separation.within, separation.between), rel=1e-5)
    assert row.binned_entropy == pytest.approx(binned_entropy(points, edges=torch.zeros(1)), rel=1e-9)


def test_slices_of_the_first_seed_are_those_of_the_activations_without_noise(finished_run):
    _, test = images()
    rows = read_table(finished_run / "slices.csv", SlicedInformation)
    assert len(rows) == len({row[:5] for row in rows}) == 4 * 2 * 2 * 2
    points = layer_activations(trained_network(finished_run, NOISY, seed=0), test.inputs)["tanh2"]
    frames = torch.linalg.qr(torch.randn(200, 4, 1, generator=torch.Generator().manual_seed(0)).double()).Q[..., 0]
    truth = np.mean([information_on_line((points.double() @ frame).numpy(), TINY.slice_sigma) for frame in frames])
    (row,) = (row for row in rows if row[:5] == ("noisy-0.3", 0, 3, "tanh2", "SI_1(X;T)"))
    assert row.lower < truth < row.upper
    # The mean of 8 slices errs by less than four standard errors; a slice of 4 units has a deviation below truth.
    assert row.value == pytest.approx(truth, abs=4 * truth / math.sqrt(8))


def test_similarities_are_mean_and_quantiles_of_cosines(finished_run):
    _, test = images()
    rows = read_table(finished_run / "similarity.csv", Similarity)
    for layer in TINY.layers:
        dropout, deterministic = (
            layer_activations(trained_network(finished_run, variant, seed=1), test.inputs)[layer].double().numpy()
            for variant in (DROPOUT, DETERMINISTIC)
        )
        norms = np.linalg.norm(dropout, axis=1) * np.linalg.norm(deterministic, axis=1)
        cosines = np.sort((dropout * deterministic).sum(1) / norms)
        ranks = np.array([0.05, 0.5, 0.95]) * (len(cosines) - 1)
        quantiles = np.interp(ranks, range(len(cosines)), cosines)
        (row,) = (row for row in rows if row[:5] == ("dropout", 1, 3, layer, "off"))
        # The cosines and their norms are float32 sums of at most 128 products.
        assert row[5:] == pytest.approx([cosines.mean(), *quantiles], abs=256 * 2**-23)


def test_noise_lowers_similarity(finished_run):
    rows = {row[:5]: row.mean for row in read_table(finished_run / "similarity.csv", Similarity)}
    for layer in TINY.layers:
        # Noise of .3 multiplies the cosine by at most .9 if the values have a root mean square of at most .6.
        assert rows["noisy-0.3", 0, 3, layer, "on"] < rows["noisy-0.3", 0, 3, layer, "off"] - 0.05


# Calls 1, 8 and 11 of Checkpoints.step end the first epoch of the first training, the second epoch of noisy-0.3 and the
# second epoch of dropout. These calls of _measure_network measure the first checkpoint, the last checkpoint of seed 0
# and the third checkpoint of seed 1.
@pytest.mark.parametrize("call", [1, pytest.param(8, marks=pytest.mark.stress), 11])
def test_run_interrupted_in_training_and_in_measuring_equals_an_uninterrupted_run(
    call, finished_run, tmp_path, monkeypatch
):
    def interrupting(function):
        count = itertools.count(1)

        def interrupted(*arguments):
            if next(count) == call:
                raise KeyboardInterrupt
            return function(*arguments)

        return interrupted

    for owner, name, resume in ((Checkpoints, "step", False), (representations, "_measure_network", True)):
        with monkeypatch.context() as patched:
            patched.setattr(representations, "_SECONDS_BETWEEN_SAVES", 0.0)
            patched.setattr(owner, name, interrupting(getattr(owner, name)))
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, resume=resume)
    run(tmp_path, resume=True)
    assert tables(tmp_path) == tables(finished_run)


@pytest.fixture(scope="module")
def run_of_two_trainings(tmp_path_factory):
    path = tmp_path_factory.mktemp("two")
    run(path, config=TWO_TRAININGS)
    return path


@pytest.mark.parametrize("lost_tables", [CSV, *((name,) for name in CSV)])
def test_lost_table_is_written_again(lost_tables, run_of_two_trainings, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run_of_two_trainings, path)
    for name in lost_tables:
        (path / name).unlink()
    run(path, config=TWO_TRAININGS, resume=True)
    assert tables(path) == tables(run_of_two_trainings)


@pytest.mark.parametrize("lost_tables", [CSV, CSV[1:], ("similarity.csv",)])
def test_figures_are_plotted_from_incomplete_tables(lost_tables, finished_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(finished_run, path)
    for figure in path.glob("*.png"):
        figure.unlink()
    for name in lost_tables:
        (path / name).unlink()
    for name in ("dropout-seed-0", "dropout-seed-1", "noisy-0.3-seed-1"):
        shutil.rmtree(path / name)
    EXPERIMENT.plot(TINY, path)
    assert (path / "digits-cnn.png").stat().st_size > 0
    assert (path / "digits-cnn-epochs.png").exists() == ("distances.csv" not in lost_tables)
    assert (path / "digits-cnn-slices.png").exists() == ("slices.csv" not in lost_tables)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"repeats": 0}, {"variants": ("noisy",)}, {"variants": ()},
        {"variants": ("deterministic", "quiet")}, {"sigmas": ()}, {"sigmas": (0.0,)}, {"sigmas": (0.1, 0.1)},
        {"sigmas": (1e-40,)}, {"dropout": 0.0}, {"dropout": 1.0}, {"channels": ()}, {"channels": (2, 2, 2, 2)},
        {"units": 0}, {"epochs": 0}, {"batch_size": 1}, {"first_learning_rate": 0.0}, {"last_learning_rate": math.nan},
        {"momentum": 1.0}, {"momentum": -0.1}, {"degrees": 90.0}, {"shear": -1.0}, {"shift": math.inf},
        {"evaluations": 1}, {"measurements": 1}, {"bins": 0}, {"bins": 2**24},
        {"sigmas": (0.05, 0.0500000001)}, {"test_fraction": 1.0}, {"sigmas": (1e7,)}, {"bins": 10_001}, {"shift": 29.0},
        {"frames": 7}, {"slice_sigma": 0.0},
        {"first_learning_rate": 1e4}, {"last_learning_rate": 1e4}, {"repeats": 1001}, {"channels": (257,)},
        {"units": 10_001}, {"evaluations": 10_001}, {"measurements": 10_001}, {"variants": ("deterministic",) * 2},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        Config(**change)
