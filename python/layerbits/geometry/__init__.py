"""Clusters of activations: distances, separation of classes and binned entropies, none of which is I(X;T)."""

from layerbits.geometry.binning import BaselineEstimate, binned_entropy, binned_information, quantile_edges, szt_edges
from layerbits.geometry.clustering import (
    ClassSeparation,
    DistanceHistogram,
    class_separation,
    pairwise_distance_histogram,
)

__all__ = [
    "BaselineEstimate",
    "ClassSeparation",
    "DistanceHistogram",
    "binned_entropy",
    "binned_information",
    "class_separation",
    "pairwise_distance_histogram",
    "quantile_edges",
    "szt_edges",
]
