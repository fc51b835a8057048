"""Settings and rows of the experiment szt-binning: binned entropies of the layers of two networks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from layerbits.experiments.framework.configuration import require, require_distinct, require_positive, require_within
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.training import read_information

DETERMINISTIC, NOISY = "deterministic", "noisy"
ENTROPY_OF_T, ENTROPY_OF_S = "H(Bin(T))", "H(Bin(S))"

Curve = list[tuple[float, float]]  # pairs of an epoch and an entropy in nats


@dataclasses.dataclass(frozen=True)
class BinningSettings(NoisySettings):
    """Settings of the experiment; `sigma` is the noise of the noisy network.

    Parameters
    ----------
    bin_sizes
        Sizes of the bins of each unit. Source: read from the paper's Figure 1.
    szt_bins
        Number of bins on [-1, 1]. Source: the article of Shwartz-Ziv and Tishby.
    quantile_bins
        Number of bins at quantiles; the value of the paper is unknown.
    noisy_bin
        Size of the bins of the noisy network, in sigmas. Source: the paper, from memory.
    """

    bin_sizes: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    szt_bins: int = 30
    quantile_bins: int = 30
    noisy_bin: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "bin_sizes", "szt_bins", "quantile_bins", "noisy_bin")
        require(self, "bin_sizes", min(self.bin_sizes) >= 1e-15, "numbers from 1e-15 on, for float64")
        require_distinct(self, "bin_sizes")
        require_within(self, szt_bins=(1, 2**20), quantile_bins=(1, 2**20))
        in_range = 1e-15 <= self.noisy_bin_size <= 1e6
        require(self, "noisy_bin", in_range, "from 1e-15 / sigma to 1e6 / sigma, for float64")

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers."""
        return tuple(f"tanh{number}" for number in range(1, len(self.widths) + 1))

    @property
    def noisy_bin_size(self) -> float:
        """Bin size of the noisy network."""
        return self.noisy_bin * self.sigma

    @property
    def deterministic_bins(self) -> list[Bins]:
        """Bins of the deterministic network."""
        return [
            *(Bins("fixed", size, f"bins of {size:g}") for size in self.bin_sizes),
            Bins("szt", 2 / self.szt_bins, f"{self.szt_bins} bins on [-1, 1]"),
            Bins("quantile", math.nan, f"{self.quantile_bins} bins at quantiles"),
        ]

    @property
    def noisy_bins(self) -> list[Bins]:
        """Bins of the noisy network."""
        return [Bins("fixed", self.noisy_bin_size, f"bins of {self.noisy_bin:g} sigma = {self.noisy_bin_size:g}")]


class Bins(NamedTuple):
    """Bins of an estimator of binned entropy."""

    estimator: str  # fixed, szt or quantile
    size: float  # NaN for quantiles
    title: str  # of a panel


class Binned(NamedTuple):
    """A row of binned.csv; in nats."""

    epoch: int
    layer: str
    quantity: str  # H(Bin(T)), or H(Bin(S)) of the signals before the layer's own noise
    estimator: str  # fixed, szt or quantile
    bin_size: float  # NaN for quantiles
    value: float
    label_information: float  # I(Bin(T);Y) or I(Bin(S);Y)
    ceiling: float  # H(T) or H(S) of the points without bins; in a deterministic network H(T) = I(X;T)
    distinct: int  # number of distinct points


class Tracking(NamedTuple):
    """A row of tracking.csv: the correlation of I(X;T) and a binned entropy of the noisy network."""

    quantity: str
    layer: str  # "all" for all layers
    from_epoch: int
    points: int
    rank_correlation: float  # Spearman's; NaN if I(X;T) or the entropy is constant


class Pair(NamedTuple):
    """I(X;T) and a binned entropy of the noisy network, in nats."""

    quantity: str
    layer: str
    epoch: int
    information: float
    entropy: float


def read_pairs(path: Path) -> list[Pair]:
    """Read the pairs of the noisy network from information.csv and binned.csv in its folder."""
    tables = read_information(path / "information.csv")
    return [
        Pair(row.quantity, row.layer, row.epoch, tables[row.epoch][row.layer, "I(X;T)"].value, row.value)
        for row in read_table(path / "binned.csv", Binned)
    ]


def binned_curve(rows: Iterable[Binned], layer: str, quantity: str, bins: Bins) -> Curve:
    """Return epochs and binned entropies of one layer."""
    # The bin sizes are compared as texts, because NaN is not equal to itself.
    key = (layer, quantity, bins.estimator, str(bins.size))
    return [
        (row.epoch, row.value) for row in rows if (row.layer, row.quantity, row.estimator, str(row.bin_size)) == key
    ]
