"""What the paper claims of its convolutional networks, and what these tests ask of the tables of a run."""

import math

import numpy as np

from layerbits.experiments.cnn.measures import Clustering, Similarity
from layerbits.experiments.cnn.study import Errors
from layerbits.experiments.framework.tables import read_table


def clustering(path, field, *, epoch, layer, variant="deterministic"):
    """Return the values of a column, one a seed."""
    rows = read_table(path / "clustering.csv", Clustering)
    found = [getattr(row, field) for row in rows if (row.variant, row.epoch, row.layer) == (variant, epoch, layer)]
    assert found
    return np.array(found)


def similarities(path, variant, *, epoch, layer, noise="off"):
    rows = read_table(path / "similarity.csv", Similarity)
    found = [
        row.mean for row in rows if (row.variant, row.epoch, row.layer, row.noise) == (variant, epoch, layer, noise)
    ]
    assert found
    return np.array(found)


def error_shares(path, variant):
    return np.array(
        [row.errors / row.images for row in read_table(path / "errors.csv", Errors) if row.variant == variant]
    )


def log_of_images(path):
    return math.log(read_table(path / "errors.csv", Errors)[0].images)
