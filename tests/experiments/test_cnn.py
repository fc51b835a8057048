"""The experiment with a convolutional network: networks, trainings, measures and figures, on few images."""

import dataclasses
import functools
import itertools
import math
import shutil

import numpy as np
import pytest
import torch

from layerbits import NoisyModule, binned_entropy, class_separation, layer_activations
from layerbits._base import UsageError
from layerbits.data import digits_dataset
from layerbits.experiments import RunFolder
from layerbits.experiments.cnn import representations, training
from layerbits.experiments.cnn.digits_cnn import DIGITS_CNN, Config
from layerbits.experiments.cnn.network import Dropout, build_network
from layerbits.experiments.cnn.representations import Clustering, Distances, Similarity
from layerbits.experiments.cnn.settings import CnnConfig, Variant
from layerbits.experiments.cnn.training import Errors
from layerbits.experiments.framework.tables import read_table
from layerbits.training import Checkpoints, load_checkpoint, read_training

TRAIN_IMAGES, TEST_IMAGES = 96, 60
NEAR_ZERO = 1e-30  # noise that changes no value of float32 but a zero
TINY = Config(
    repeats=2, sigmas=(NEAR_ZERO, 0.3), channels=(2, 3), units=4, epochs=3, evaluations=3, measurements=2, bins=20
)
DETERMINISTIC, NOISY, DROPOUT = (
    Variant("deterministic"),
    Variant("noisy-0.3", sigma=0.3),
    Variant("dropout", dropout=0.2),
)
CSV = ("errors.csv", "clustering.csv", "distances.csv", "similarity.csv")


@functools.cache
def images(config=TINY):
    train, test = digits_dataset(test_fraction=config.test_fraction, seed=config.seed)
    return train.first(TRAIN_IMAGES), test.first(TEST_IMAGES)


EXPERIMENT = dataclasses.replace(DIGITS_CNN, images=images)


def run(path, *, resume=False, figures=False):
    folder = RunFolder(path, experiment="digits-cnn", config=TINY, resume=resume)
    with folder.running():
        EXPERIMENT.train(TINY, folder)
        EXPERIMENT.measure(TINY, folder)
        if figures:
            EXPERIMENT.plot(TINY, path)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"), figures=True)


def tables(path):
    return {file.relative_to(path): file.read_text() for file in sorted(path.rglob("*.csv"))}


def parameters(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


# The network


def test_blocks_are_in_the_order_of_the_paper():
    names = [name for name, _ in build_network(Config(), DROPOUT, seed=0, size=(28, 28)).named_children()]
    assert names == [
        "conv1", "norm1", "tanh1", "dropout1", "pool1", "conv2", "norm2", "tanh2", "dropout2", "pool2",
        "flatten", "dense", "norm3", "tanh3", "dropout3", "logits",
    ]  # fmt: skip


def test_layers_have_the_widths_of_the_paper_on_images_of_its_size():
    model = build_network(CnnConfig(), DETERMINISTIC, seed=0, size=(28, 28))
    assert [tuple(p.shape) for p in model.parameters() if p.ndim > 1] == [
        (16, 1, 5, 5), (32, 16, 5, 5), (128, 1568), (10, 128),
    ]  # fmt: skip
    found = layer_activations(model, torch.zeros(2, 1, 28, 28), layers=CnnConfig().layers)
    assert {name: points.shape[1] for name, points in found.items()} == {
        "tanh1": 16 * 28 * 28, "tanh2": 32 * 14 * 14, "tanh3": 128,
    }  # fmt: skip


def test_noise_lies_between_tanh_and_pooling_on_every_hidden_layer():
    noisy = build_network(Config(), NOISY, seed=0, size=(8, 8))
    assert isinstance(noisy, NoisyModule)
    assert noisy.layer_names == ("tanh1", "tanh2", "tanh3") == Config().layers
    assert noisy.sigma == 0.3


def test_all_variants_of_a_seed_begin_with_the_same_weights_and_other_seeds_with_others():
    of_variants = [
        parameters(build_network(Config(), each, seed=3, size=(8, 8))) for each in Config().training_variants
    ]
    assert len(of_variants) == 6
    for weights in of_variants[1:]:
        assert all(map(torch.equal, weights, of_variants[0]))
    other = parameters(build_network(Config(), DETERMINISTIC, seed=4, size=(8, 8)))
    assert not torch.equal(other[0], of_variants[0][0])


def test_weights_and_biases_are_uniform_up_to_the_limit_of_torch():
    model = build_network(CnnConfig(), DETERMINISTIC, seed=0, size=(28, 28))
    for name, inputs in (("conv1", 25), ("conv2", 400), ("dense", 1568), ("logits", 128)):
        layer = model.get_submodule(name)
        limit = 1 / math.sqrt(inputs)
        for values in layer.parameters():
            assert values.abs().max() <= torch.tensor(limit)  # rounded to float32
        # The standard error of a standard deviation of n uniform values is sqrt(.2 / n) of it: 2 % of 400.
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)


def test_network_is_made_without_the_global_generator():
    before = torch.get_rng_state()
    build_network(Config(), NOISY, seed=0, size=(8, 8))(torch.zeros(2, 1, 8, 8))
    build_network(Config(), DROPOUT, seed=0, size=(8, 8))(torch.zeros(2, 1, 8, 8))
    assert torch.get_rng_state().equal(before)


# Dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    found = Dropout(0.2, seed=0, layer=1)(torch.ones(100, 1000))
    assert set(found.unique().tolist()) == {0.0, 1.25}
    # Five standard errors of a share of 100,000.
    assert (found == 0).double().mean().item() == pytest.approx(0.2, abs=5 * math.sqrt(0.2 * 0.8 / 1e5))


def test_dropout_passes_signals_on_in_evaluation():
    signal = torch.rand(3, 4)
    layer = Dropout(0.2, seed=0, layer=1).eval()
    assert layer(signal) is signal
    assert layer.passes == 0


def test_dropout_goes_on_from_its_state_and_differs_between_passes_layers_and_seeds():
    ones = torch.ones(10, 10)
    layer = Dropout(0.5, seed=0, layer=1)
    first, second = layer(ones), layer(ones)
    resumed = Dropout(0.5, seed=0, layer=1)
    resumed(ones)
    other = Dropout(0.5, seed=0, layer=1)
    other.load_state_dict(resumed.state_dict())
    assert torch.equal(other(ones), second)
    for changed in (second, Dropout(0.5, seed=1, layer=1)(ones), Dropout(0.5, seed=0, layer=2)(ones)):
        assert not torch.equal(changed, first)


# A run


def test_run_leaves_all_its_files(finished):
    trainings = {f"{variant.name}-seed-{seed}" for seed, variant in TINY.trainings}
    assert len(trainings) == 8
    figures = {f"digits-cnn{which}.png" for which in ("", "-epochs", "-variants")}
    assert {path.name for path in finished.path.iterdir()} == {"run.json", *CSV, *figures, *trainings}
    for name in trainings:
        assert {path.name for path in (finished.path / name).iterdir()} == {"training.csv", "checkpoints"}


def test_convolutions_of_a_device_are_neither_rounded_nor_summed_at_will(tmp_path, monkeypatch):
    def watched(layer, signal):
        seen.add((torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32))
        return forward(layer, signal)

    seen, forward = set(), torch.nn.Conv2d.forward
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    run(tmp_path)
    assert seen == {(True, False)}
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == before


def test_every_layer_of_every_training_is_measured_at_every_chosen_epoch(finished):
    cells = {
        (variant.name, seed, epoch, layer)
        for (seed, variant), epoch, layer in itertools.product(TINY.trainings, (1, 3), TINY.layers)
    }
    assert [row[:4] for row in read_table(finished.path / "clustering.csv", Clustering)] == sorted(
        cells, key=lambda cell: (cell[1], [v.name for v in TINY.training_variants].index(cell[0]), *cell[2:])
    )
    similarities = {row[:5] for row in read_table(finished.path / "similarity.csv", Similarity)}
    assert similarities == {(*cell, "off") for cell in cells if cell[0] != "deterministic"} | {
        (*cell, "on") for cell in cells if cell[0].startswith("noisy")
    }


def test_batches_are_the_same_for_all_variants(finished):
    # With noise that changes nothing, a noisy training is the deterministic one.
    for seed in TINY.seeds:
        noisy, deterministic = (
            read_training(finished.path / f"{name}-seed-{seed}" / "training.csv")
            for name in ("noisy-1e-30", "deterministic")
        )
        assert noisy == deterministic
    same = [row for row in read_table(finished.path / "similarity.csv", Similarity) if row.variant == "noisy-1e-30"]
    # A cosine of float32 vectors of 128 dimensions, summed pairwise or in order: below 128 eps.
    assert all(abs(row[field] - 1) < 128 * 2**-23 for row in same for field in range(5, 9))


def test_learning_rate_falls_geometrically_from_the_first_to_the_last():
    rates = [training._learning_rate(Config(epochs=3), epoch) for epoch in (1, 2, 3)]
    assert rates == pytest.approx([5e-3, math.sqrt(5e-3 * 5e-4), 5e-4], rel=1e-12)
    assert training._learning_rate(Config(epochs=1), 1) == 5e-3


def test_errors_are_those_of_the_last_epoch(finished):
    errors = read_table(finished.path / "errors.csv", Errors)
    assert [(row.seed, row.variant) for row in errors] == [(seed, variant.name) for seed, variant in TINY.trainings]
    for row in errors:
        last = read_training(finished.path / f"{row.variant}-seed-{row.seed}" / "training.csv")[-1]
        assert (last.epoch, last.split, row.images) == (3, "test", TEST_IMAGES)
        assert row.errors == pytest.approx((1 - last.accuracy) * TEST_IMAGES, abs=1e-6)


def test_every_pair_of_the_first_seed_is_counted_once(finished):
    rows = read_table(finished.path / "distances.csv", Distances)
    labels = images()[1].labels.bincount()
    expected = {"within": int((labels * (labels - 1)).sum()) // 2}
    expected["between"] = TEST_IMAGES * (TEST_IMAGES - 1) // 2 - expected["within"]
    for kind, total in expected.items():
        cells = {}
        for row in rows:
            if row.kind == kind:
                assert row.seed == 0
                cells[row.variant, row.epoch, row.layer] = cells.get((row.variant, row.epoch, row.layer), 0) + row.pairs
        assert len(cells) == 4 * 2 * 3
        assert set(cells.values()) == {total}


def test_clustering_is_measured_without_noise_on_the_test_images(finished):
    _, test = images()
    model = build_network(TINY, NOISY, seed=1, size=(8, 8))
    load_checkpoint(finished.path / "noisy-0.3-seed-1", 3, model)
    points = layer_activations(model, test.inputs)["tanh3"]
    rows = read_table(finished.path / "clustering.csv", Clustering)
    found = next(row for row in rows if row[:4] == ("noisy-0.3", 1, 3, "tanh3"))
    separation = class_separation(points, test.labels)
    assert (found.within, found.between) == pytest.approx((separation.within, separation.between), rel=1e-5)
    assert found.binned_entropy == pytest.approx(binned_entropy(points, edges=torch.zeros(1)), rel=1e-9)


def test_similarities_are_mean_and_quantiles_of_the_cosines_of_the_images(finished):
    _, test = images()
    for layer in TINY.layers:
        of_both = []
        for variant in (DROPOUT, DETERMINISTIC):
            model = build_network(TINY, variant, seed=1, size=(8, 8))
            load_checkpoint(finished.path / f"{variant.name}-seed-1", 3, model)
            of_both.append(layer_activations(model, test.inputs)[layer].double().numpy())
        one, other = of_both
        cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        ordered = np.sort(cosines)
        quantiles = [np.interp(share * (len(ordered) - 1), range(len(ordered)), ordered) for share in (0.05, 0.5, 0.95)]
        rows = read_table(finished.path / "similarity.csv", Similarity)
        (found,) = (row for row in rows if row[:5] == ("dropout", 1, 3, layer, "off"))
        # float32 sums of at most 128 products.
        assert found[5:] == pytest.approx([cosines.mean(), *quantiles], abs=256 * 2**-23)


def test_noise_lowers_similarity(finished):
    rows = {row[:5]: row.mean for row in read_table(finished.path / "similarity.csv", Similarity)}
    for layer in TINY.layers:
        # Noise of 0.3 on tanh of spread 0.6 at most leaves a cosine of .9 at most.
        assert rows["noisy-0.3", 0, 3, layer, "on"] < rows["noisy-0.3", 0, 3, layer, "off"] - 0.05


@pytest.mark.parametrize("calls", [1, 13])
def test_run_interrupted_in_training_and_in_measuring_equals_an_uninterrupted_one(
    calls, finished, tmp_path, monkeypatch
):
    def interrupting(function):
        count = itertools.count(1)

        def wrapped(*arguments):
            if next(count) == calls:
                raise KeyboardInterrupt
            return function(*arguments)

        return wrapped

    for owner, name, resume in ((Checkpoints, "step", False), (representations, "_measure_network", True)):
        with monkeypatch.context() as patched:
            patched.setattr(representations, "_SECONDS_BETWEEN_SAVES", 0.0)
            patched.setattr(owner, name, interrupting(getattr(owner, name)))
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, resume=resume)
    run(tmp_path, resume=True)
    assert tables(tmp_path) == tables(finished.path)


@pytest.mark.parametrize("lost", [CSV, *((name,) for name in CSV)])
def test_lost_table_is_made_again(lost, finished, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(finished.path, path)
    for name in lost:
        (path / name).unlink()
    run(path, resume=True)
    assert tables(path) == tables(finished.path)


@pytest.mark.parametrize("lost", [CSV, ("clustering.csv", "distances.csv", "similarity.csv"), ("similarity.csv",)])
def test_figures_are_drawn_as_far_as_the_tables_go(lost, finished, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(finished.path, path)
    for figure in path.glob("*.png"):
        figure.unlink()
    for name in lost:
        (path / name).unlink()
    for name in ("dropout-seed-0", "dropout-seed-1", "noisy-0.3-seed-1"):
        shutil.rmtree(path / name)
    EXPERIMENT.plot(TINY, path)
    assert (path / "digits-cnn.png").stat().st_size > 0
    assert (path / "digits-cnn-epochs.png").exists() == ("distances.csv" not in lost)


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
        {"first_learning_rate": 1e4}, {"last_learning_rate": 1e4}, {"repeats": 1001}, {"channels": (257,)},
        {"units": 10_001}, {"evaluations": 10_001}, {"measurements": 10_001}, {"variants": ("deterministic",) * 2},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
