"""How much information each layer of a neural network carries about its input."""

from layerbits import baselines, data, tasks, theory
from layerbits.backends import Backend, backends
from layerbits.between_layers import information_between_layers
from layerbits.binning import (
    BaselineEstimate,
    binned_entropy,
    binned_information,
    quantile_edges,
    szt_edges,
)
from layerbits.clustering import ClassSeparation, DistanceHistogram, class_separation, pairwise_distance_histogram
from layerbits.errors import (
    BackendError,
    DataError,
    LayerbitsError,
    LayerSelectionError,
    NoNoiseError,
    UsageError,
)
from layerbits.information import layer_information
from layerbits.mixture import (
    mixture_entropy,
    mixture_entropy_bounds,
    mixture_information,
    mixture_log_density,
)
from layerbits.noise import NoisyModule, noisify
from layerbits.propagation import layer_activations, propagate
from layerbits.results import Estimate, InformationRow, InformationTable
from layerbits.sigma_profiles import SigmaProfile, SigmaRow, sigma_profile
from layerbits.training.monitor import Monitor, log_spaced
from layerbits.training.regularizers import ParsevalRegularizer

__all__ = [
    "Backend",
    "BackendError",
    "BaselineEstimate",
    "ClassSeparation",
    "DataError",
    "DistanceHistogram",
    "Estimate",
    "InformationRow",
    "InformationTable",
    "LayerSelectionError",
    "LayerbitsError",
    "Monitor",
    "NoNoiseError",
    "NoisyModule",
    "ParsevalRegularizer",
    "SigmaProfile",
    "SigmaRow",
    "UsageError",
    "backends",
    "baselines",
    "binned_entropy",
    "binned_information",
    "class_separation",
    "data",
    "information_between_layers",
    "layer_activations",
    "layer_information",
    "log_spaced",
    "mixture_entropy",
    "mixture_entropy_bounds",
    "mixture_information",
    "mixture_log_density",
    "noisify",
    "pairwise_distance_histogram",
    "propagate",
    "quantile_edges",
    "sigma_profile",
    "szt_edges",
    "tasks",
    "theory",
]
