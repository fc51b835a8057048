"""Distances between activations, separation of classes, binned entropies, and counts of distinct rows.

These functions measure how the activations of a deterministic network cluster. Only `discrete_information` is I(X;T),
which without noise is log N for N inputs with different activations. The compression that binning estimators report is
clustering at the scale of a bin (Goldfeld et al., Estimating Information Flow in Deep Neural Networks, ICML 2019).
"""

from layerbits.geometry.baseline_estimate import BaselineEstimate
from layerbits.geometry.binning import binned_entropy, binned_information, quantile_edges, szt_edges
from layerbits.geometry.discrete import discrete_information
from layerbits.geometry.distances import DistanceHistogram, pairwise_distance_histogram
from layerbits.geometry.matrices import as_finite_matrix
from layerbits.geometry.separation import ClassSeparation, class_separation

__all__ = [
    "BaselineEstimate",
    "ClassSeparation",
    "DistanceHistogram",
    "as_finite_matrix",
    "binned_entropy",
    "binned_information",
    "class_separation",
    "discrete_information",
    "pairwise_distance_histogram",
    "quantile_edges",
    "szt_edges",
]
