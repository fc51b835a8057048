"""Checks of settings for several experiments on entropy."""

from __future__ import annotations

import itertools

from layerbits.experiments.framework.configuration import Configuration, require


def require_ascending(config: Configuration, name: str) -> None:
    """Require the items of the tuple `name` to ascend."""
    items = getattr(config, name)
    ascending = all(smaller < larger for smaller, larger in itertools.pairwise(items))
    require(config, name, ascending, "each number above the one before")


def require_enough_samples(config: Configuration, *, samples: int, neighbours: int, folds: int) -> None:
    """Require the smallest number of samples to be enough for the k-th neighbour and for the folds of a KDE."""
    require(config, "folds", folds >= 2, "at least 2")
    min_samples = max(neighbours + 1, folds)
    require(config, "samples", samples >= min_samples, f"at least {min_samples}, for these neighbours and folds")
