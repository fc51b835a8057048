"""Entropy of the last hidden layer of a noisy network that tells the arms of a spiral apart, by three estimators.

A noisy tanh network is trained on points of the plane; then its inputs and noise are drawn anew for every sample of the
layer. Writes training.csv, spiral.csv (x, y, label: points that it was trained on), decision.csv (x, y, p0, p1, p2:
shares of the noisy passes that choose a class), reference.csv (samples, lower, plug_in, cross_entropy, upper: what is
known of h(T)), estimates.csv (estimator, samples, repeat, value, standard_error, lower, upper; error and ends are of
the integration of a plug-in, NaN for its rivals), checkpoints/, and spiral.png.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import skip_init

from layerbits import plots
from layerbits._base import progress
from layerbits.data import SpiralData, spiral_dataset
from layerbits.experiments.entropy.entropy_estimators import (
    KDE,
    NEIGHBOURS,
    PLUG_IN,
    Settings,
    draw_entropies,
    estimate,
    expected_draws,
)
from layerbits.experiments.framework.configuration import require, require_positive, require_tolerance, require_within
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table, write_table
from layerbits.kernels import standard_normal, stream
from layerbits.mixtures import mixture_entropy, mixture_log_density, noise_entropy
from layerbits.networks import NoisyModule, noisify, propagate
from layerbits.statistics import student_margin, unseen_probability, upper_mean_bound
from layerbits.training import Checkpoints, TrainingCurves, load_checkpoint, log_spaced, read_training, single_threaded
from layerbits.training import train as train_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]

_CLASSES = 3
_WIDTHS = (8, 9, 10)  # [T]
_ESTIMATORS = (PLUG_IN, NEIGHBOURS, KDE)
_REACH = 1.15  # of the picture of decisions: the data are in the unit disc
_SHOWN = 600  # points in the picture
_QUERIES = 16_384  # points of the cross-entropy behind the upper end
_RISK = 0.05  # of the interval of the entropy, half for each end
_COLORS = ("#0072B2", "#E69F00", "#009E73")  # of Okabe and Ito
# First numbers of the keys of random streams.
_TRAIN, _TEST, _LAYER = range(3)
# Seconds on two cores of Zen 5: of a step, of a draw and center of a plug-in, of a pair of a KDE.
_STEP_SECONDS, _DRAW_SECONDS, _PAIR_SECONDS = 6.5e-4, 6e-10, 8e-9
_DRAWS = 600_000  # of a plug-in at a tolerance of 0.01, about


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. [T]: arXiv 1810.11589. [D]: made for this project, where that says nothing."""

    seed: int = 0
    sigma: float = 0.2  # [T]
    points: int = 3000  # [D] in each half, to train on and to test on
    epochs: int = 300  # [D] to the 98 % of [T]
    learning_rate: float = 0.01  # [D] Adam
    batch_size: int = 256  # [D]
    evaluations: int = 30
    samples: tuple[int, ...] = (10, 32, 100, 316, 1000, 3162, 10_000, 31_623)
    most_kde: int = 10_000  # samples for the kernel density, whose work grows with the square, at the most
    repeats: int = 4
    reference_samples: int = 100_000  # of a plug-in that tells what the entropy is
    reference_repeats: int = 4
    tolerance: float = 0.02  # half width in nats of the interval of a plug-in
    neighbours: int = 3  # [D]
    folds: int = 5  # [D]
    grid: int = 80  # points on an axis of the picture of decisions
    passes: int = 64  # at each of them

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name != "seed"))
        require_tolerance(self)
        require_within(
            self, sigma=(0.01, 100), points=(1, 2**20), evaluations=(2, 10**6), samples=(1, 2**20),
            repeats=(2, 10_000), reference_samples=(2, 2**24), reference_repeats=(3, 2**24), grid=(2, 2**24),
            passes=(1, 2**24),
        )  # fmt: skip
        held = self.reference_samples * self.reference_repeats <= 2**24
        require(self, "reference_samples", held, "at most 2^24 with those of all reference_repeats, for memory")
        held = self.grid**2 * self.passes <= 2**24
        require(self, "passes", held, "at most 2^24 at all grid^2 points, for memory")
        ascending = all(fewer < more for fewer, more in itertools.pairwise(self.samples))
        require(self, "samples", ascending, "numbers each above the one before")
        require(self, "folds", self.folds >= 2, "at least 2")
        least = max(self.neighbours + 1, self.folds)
        require(self, "samples", self.samples[0] >= least, f"at least {least}, for so many neighbours and folds")


QUICK: Mapping[str, Any] = {
    "samples": (10, 32, 100, 316, 1000, 3162),
    "most_kde": 3162,
    "reference_samples": 16_384,
    "grid": 50,
}


class Point(NamedTuple):
    """A row of estimates.csv; in nats."""

    estimator: str
    samples: int
    repeat: int
    value: float
    standard_error: float
    lower: float
    upper: float


class Reference(NamedTuple):
    """The row of reference.csv: the ends of a 95 % interval for h(T), and the bounds behind them; in nats."""

    samples: int
    lower: float
    plug_in: float
    cross_entropy: float
    upper: float


class Place(NamedTuple):
    """A row of spiral.csv."""

    x: float
    y: float
    label: int


class Decision(NamedTuple):
    """A row of decision.csv."""

    x: float
    y: float
    p0: float
    p1: float
    p2: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    training = config.epochs * math.ceil(config.points / config.batch_size) * _STEP_SECONDS
    plug_in = _DRAW_SECONDS * expected_draws(config.tolerance, at_hundredth=_DRAWS)
    pairs = sum(samples**2 for samples in config.samples if samples <= config.most_kde)
    estimates = config.repeats * (plug_in * sum(config.samples) + _PAIR_SECONDS * pairs)
    return 2 + training + estimates + config.reference_repeats * plug_in * config.reference_samples


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    with folder.phase("training"):
        train(config, folder)
    with folder.phase("estimates"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def network(config: Config) -> NoisyModule:
    """Make the untrained network: two inputs, tanh layers of 8, 9 and 10 units, three logits; noise on the tanh."""
    generator = torch.Generator().manual_seed(config.seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((2, *_WIDTHS, _CLASSES)):
        # Without the initialization by torch, which would draw from the global generator.
        linear: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
        nn.init.normal_(linear.weight, std=inputs**-0.5, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return noisify(nn.Sequential(*layers[:-1]), sigma=config.sigma, seed=config.seed)


def train(config: Config, folder: RunFolder) -> None:
    """Train the network; leaves training.csv, spiral.csv and the checkpoint of the last epoch."""
    noisy = network(config)
    splits: dict[str, SpiralData] = {
        name: spiral_dataset(config.points, stream(config.seed, key), classes=_CLASSES)
        for name, key in {"train": _TRAIN, "test": _TEST}.items()
    }
    data = splits["train"]
    places = (Place(*place) for place in zip(*data.inputs.T.tolist(), data.labels.tolist(), strict=True))
    write_table(folder.path / "spiral.csv", Place, places)
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)
    checkpoints = Checkpoints(noisy, optimizer, at=(config.epochs,), directory=folder.path)
    resumed = checkpoints.resume()
    evaluated = log_spaced(1, config.epochs, config.evaluations)
    curves = TrainingCurves(noisy, splits, at=evaluated, directory=folder.path, resumed_from=resumed)
    epochs = range(resumed + 1, config.epochs + 1)
    trained = train_epochs(noisy, optimizer, *data, epochs=epochs, batch_size=config.batch_size, seed=config.seed)
    for epoch in progress(single_threaded(trained), name="epochs", total=len(epochs)):
        curves.step(epoch)
        checkpoints.step(epoch)
    folder.summary["test_accuracy"] = read_training(folder.path / "training.csv")[-1].accuracy


def sample(config: Config, noisy: NoisyModule, samples: int, repeat: int) -> tuple[_Floats, _Floats]:
    """Draw inputs; return signals of the last hidden layer and standard normal noise for it, both (samples, d)."""
    random = stream(config.seed, _LAYER, samples, repeat)
    inputs, last = spiral_dataset(samples, random, classes=_CLASSES).inputs, noisy.layer_names[-1]
    seed = int(random.integers(2**31))
    signals = propagate(noisy, inputs, draws=1, seed=seed, layers=last)[last][:, 0].double().numpy()
    return signals, standard_normal(signals.shape, random, torch.float64).numpy()


def measure(config: Config, folder: RunFolder) -> None:
    """Estimate the entropy, and find an interval for it; leaves decision.csv, reference.csv and estimates.csv."""
    noisy = network(config)
    load_checkpoint(folder.path, config.epochs, noisy)
    write_table(folder.path / "decision.csv", Decision, _decisions(config, noisy))
    (reference,) = fill_table(
        folder.path / "reference.csv", Reference, [config], lambda _: _reference(config, noisy), name="reference"
    )
    settings = Settings(config.tolerance, config.neighbours, config.folds, bin_size=math.nan)

    def point(cell: tuple[int, str, int]) -> Point:
        samples, estimator, repeat = cell
        signals, noise = sample(config, noisy, samples, repeat)
        found = estimate(estimator, signals, config.sigma * noise, config.sigma, settings, seed=config.seed)
        return Point(estimator, samples, repeat, *found)

    grid = itertools.product(config.samples, _ESTIMATORS, range(config.repeats))
    cells = [cell for cell in grid if cell[1] != KDE or cell[0] <= config.most_kde]
    points = fill_table(folder.path / "estimates.csv", Point, cells, point, name="estimates")
    middle = (reference.lower + reference.upper) / 2
    folder.summary |= {"entropy": middle, "entropy_lower": reference.lower, "entropy_upper": reference.upper}
    folder.summary["entropy_per_unit"] = middle / _WIDTHS[-1]
    for estimator in dict.fromkeys(point.estimator for point in points):
        last = max(point.samples for point in points if point.estimator == estimator)
        values = [point.value for point in points if (point.estimator, point.samples) == (estimator, last)]
        folder.summary[f"{estimator.lower()}_of_{last}_less_entropy"] = float(np.mean(values)) - middle


def draw(config: Config, path: Path) -> None:
    """Draw spiral.png from the tables, as far as they go."""
    figure = plots.new_figure(width=11.5, height=4.6)
    plane, curves = figure.subplots(1, 2, width_ratios=(1, 1.35))
    _draw_plane(plane, config, read_table(path / "spiral.csv", Place), read_table(path / "decision.csv", Decision))
    for reference in read_table(path / "reference.csv", Reference):
        points = read_table(path / "estimates.csv", Point)
        draw_entropies(curves, points, truth=(reference.lower, reference.upper))
        plots.legend_outside(curves)
    curves.set_xlabel("samples n")
    curves.set_title(f"third layer, d = {_WIDTHS[-1]}, sigma = {config.sigma:g}", fontsize="medium")
    save_figure(figure, path / "spiral.png")


def _decisions(config: Config, noisy: NoisyModule) -> list[Decision]:
    """Return, on a grid, the shares of noisy passes that choose each class."""
    axis = np.linspace(-_REACH, _REACH, config.grid)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    last, output = noisy.layer_names[-1], noisy.model.get_submodule(str(2 * len(_WIDTHS)))
    inputs = torch.from_numpy(places).float()
    signals = propagate(noisy, inputs, draws=config.passes, seed=config.seed, layers=last)[last]
    noise = standard_normal(signals.shape, stream(config.seed, _LAYER), signals.dtype)
    with torch.no_grad():
        chosen = output(signals + config.sigma * noise).argmax(-1)
    shares = torch.nn.functional.one_hot(chosen, _CLASSES).double().mean(1)
    return [Decision(*place, *share) for place, share in zip(places.tolist(), shares.tolist(), strict=True)]


def _reference(config: Config, noisy: NoisyModule) -> Reference:
    """Return an interval for h(T): plug-ins are too small on average, and cross-entropies too large.

    The lower end is Student's for the mean of plug-ins. Above, E[-log q(T)] >= h(T) for every density q; this one is
    the mixture of one sample, with a little of a broad normal so that it vanishes nowhere, at points of the next one.
    """
    n, repeats, sigma, dim = config.reference_samples, config.reference_repeats, config.sigma, _WIDTHS[-1]
    samples = [sample(config, noisy, n, config.repeats + repeat) for repeat in range(repeats)]
    plug_ins = np.array(
        [mixture_entropy(signals, sigma, tolerance=config.tolerance, seed=config.seed).value for signals, _ in samples]
    )
    share = unseen_probability(_QUERIES, _RISK / 2)
    broad = math.sqrt(1 + sigma**2)
    terms = []
    for (centers, _), (signals, noise) in itertools.pairwise(samples):
        some = slice(_QUERIES // (repeats - 1))
        points = signals[some] + sigma * noise[some]
        log_q = np.logaddexp(
            mixture_log_density(points, centers, sigma) + math.log1p(-share),
            mixture_log_density(points, np.zeros((1, dim)), broad) + math.log(share),
        )
        own = -(noise[some] ** 2).sum(1) / 2 - dim * math.log(math.sqrt(2 * math.pi) * sigma)
        terms.append(own - log_q)
    # log N(t; s, sigma^2) - log N(t; 0, 1 + sigma^2) is at most this, by its derivative, for |s|^2 <= d.
    most = dim / 2 * math.log1p(1 / sigma**2) + dim / 2 - math.log(share)
    upper = upper_mean_bound(terms, floor=0.0, ceiling=most, risk=_RISK / 2)
    margin = student_margin(np.array([plug_ins.var(ddof=1) / repeats]), repeats - 1, _RISK / 2)
    noise_part = noise_entropy(dim, sigma)
    return Reference(
        n,
        lower=float(plug_ins.mean()) - margin,
        plug_in=float(plug_ins.mean()),
        cross_entropy=noise_part + float(np.mean(terms)),
        upper=noise_part + upper,
    )


def _draw_plane(axes: Axes, config: Config, places: list[Place], decisions: list[Decision]) -> None:
    from matplotlib.colors import to_rgb

    if decisions:
        shares = np.array([decision[2:] for decision in decisions]).reshape(config.grid, config.grid, _CLASSES)
        light = 0.45 * np.array([to_rgb(color) for color in _COLORS]) + 0.55
        axes.imshow(shares @ light, origin="lower", extent=(-_REACH, _REACH, -_REACH, _REACH), interpolation="bilinear")
    for label, color in enumerate(_COLORS):
        some = [(place.x, place.y) for place in places[:_SHOWN] if place.label == label]
        axes.plot(*np.array(some).reshape(-1, 2).T, ".", color=color, markersize=3)
    axes.set(xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH), aspect="equal", xlabel="x", ylabel="y")
    axes.set_title("data, and decisions of noisy passes", fontsize="medium")
