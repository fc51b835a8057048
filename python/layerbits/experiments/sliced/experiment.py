"""The experiment sliced-information: I(X;T), I(T;Y) and sliced information of wide layers over training.

A run writes training.csv, information.csv and checkpoints in the folders deterministic/ and noisy/,
sliced-information.png and sliced-information-planes.png.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.sliced.figures import SYMBOLS, plot
from layerbits.experiments.sliced.settings import SlicedConfig
from layerbits.experiments.sliced.training import read_images, train_network
from layerbits.training import read_history, read_training

# Seconds on two cores of Zen 4.
_STEP_SECONDS = 1e-3  # per training step
_WEIGHT_SECONDS = 1e-8  # per weight and training step
_FRAME_SECONDS = {"deterministic": 0.05, "noisy": 0.125}  # per frame, for each layer and dimension
_PAIR_SECONDS = {"deterministic": 6.7e-8, "noisy": 1e-8}  # per frame and pair of images, and per draw if noisy
_FIGURE_SECONDS = 7.0


class SlicedInformationExperiment(Experiment[SlicedConfig]):
    """Information of a deterministic and a noisy network of wide layers, as a whole and by slices."""

    def expected_seconds(self, config: SlicedConfig) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds.

        Raises
        ------
        DataError
            The images cannot be read.
        """
        train_images, test_images = read_images(config)
        widths = (train_images.inputs[0].numel(), *config.hidden_widths)
        n_weights = sum(inputs * outputs for inputs, outputs in itertools.pairwise(widths))
        steps = config.epochs * math.ceil(len(train_images) / config.batch_size)
        train_seconds = steps * (_STEP_SECONDS + n_weights * _WEIGHT_SECONDS)
        measured = len(config.measured_epochs) * config.frames
        pairs = len(test_images) ** 2
        seconds = _FIGURE_SECONDS
        for variant in config.variants:
            n_queries = pairs * (config.draws if variant == "noisy" else 1)
            seconds += train_seconds + measured * (_FRAME_SECONDS[variant] + n_queries * _PAIR_SECONDS[variant])
        return seconds

    def train(self, config: SlicedConfig, folder: RunFolder) -> None:
        """Train and measure each network; write a folder for each."""
        images = read_images(config)
        for variant in config.variants:
            train_network(config, folder, images, variant)

    def measure(self, config: SlicedConfig, folder: RunFolder) -> None:
        """Summarize the tables of each network: the accuracy, and the first and last values of the last layer."""
        for variant in config.variants:
            path = folder.path / variant
            folder.summary[f"{variant}_test_accuracy"] = read_training(path / "training.csv")[-1].accuracy
            history, last_layer = read_history(path), config.layers[-1]
            for symbol, (place, epoch) in itertools.product(
                SYMBOLS, {"first": history.epochs[0], "last": history.epochs[-1]}.items()
            ):
                folder.summary[f"{variant}_{symbol}_{place}"] = next(
                    row.value
                    for row in history[epoch]
                    if row.layer.startswith(last_layer) and row.quantity == f"{symbol}(X;T)"
                )

    def plot(self, config: SlicedConfig, path: Path) -> None:
        """Save both figures in the folder `path`."""
        plot(config, path, self.name)


SLICED_INFORMATION = SlicedInformationExperiment(
    name="sliced-information",
    description="Slices of wide layers on digits, or on MNIST by --set data=FOLDER: they change where I(X;T) is log N.",
    config_type=SlicedConfig,
    quick={"epochs": 16, "measurements": 4, "evaluations": 4, "test_images": 300, "draws": 8, "frames": 32},
)
