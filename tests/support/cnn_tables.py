"""Read the tables of the experiments with convolutional networks: a value for each seed, the number of images."""

import math

import numpy as np

from layerbits.experiments.cnn.representations import Clustering, Similarity
from layerbits.experiments.cnn.training import Errors
from layerbits.experiments.framework.tables import read_table


def clustering(path, field, *, epoch, layer, variant="deterministic"):
    """Return the values of a column of clustering.csv, one for each seed."""
    rows = read_table(path / "clustering.csv", Clustering)
    values = [getattr(row, field) for row in rows if (row.variant, row.epoch, row.layer) == (variant, epoch, layer)]
    assert values
    return np.array(values)


def similarities(path, variant, *, epoch, layer, noise="off"):
    """Return the mean similarities, one for each seed."""
    rows = read_table(path / "similarity.csv", Similarity)
    values = [
        row.mean for row in rows if (row.variant, row.epoch, row.layer, row.noise) == (variant, epoch, layer, noise)
    ]
    assert values
    return np.array(values)


def error_shares(path, variant):
    """Return the shares of errors on the test images, one for each seed."""
    rows = read_table(path / "errors.csv", Errors)
    shares = [row.errors / row.images for row in rows if row.variant == variant]
    assert shares
    return np.array(shares)


def log_test_images(path):
    """Return the logarithm of the number of test images, the upper bound of the binned entropy."""
    return math.log(read_table(path / "errors.csv", Errors)[0].images)
