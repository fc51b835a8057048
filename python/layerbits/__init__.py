"""Information in the layers of neural networks about their inputs and labels."""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from layerbits import baselines, calibration, data, integrations, plots, theory
from layerbits._base import (
    BackendError,
    DataError,
    Estimate,
    InformationHistory,
    InformationRow,
    InformationTable,
    LayerbitsError,
    LayerSelectionError,
    NoNoiseError,
    UsageError,
)
from layerbits.estimators import (
    InputDecoder,
    MeasurementSettings,
    NetworkDecoder,
    SigmaProfile,
    SigmaRow,
    information,
    information_between_layers,
    layer_information,
    sigma_profile,
    suggest_sigma,
)
from layerbits.geometry import (
    BaselineEstimate,
    ClassSeparation,
    DistanceHistogram,
    binned_entropy,
    binned_information,
    class_separation,
    pairwise_distance_histogram,
    quantile_edges,
    szt_edges,
)
from layerbits.kernels import Backend, backends
from layerbits.mixtures import mixture_entropy, mixture_entropy_bounds, mixture_information, mixture_log_density
from layerbits.networks import (
    Channels,
    DropoutNoise,
    LayerRow,
    LayerTable,
    RelativeSigma,
    Tokens,
    layer_activations,
    layers,
    noise_of,
    noise_off,
    noisify,
    propagate,
    remove_noise,
)
from layerbits.training import Monitor, ParsevalRegularizer, log_spaced, read_history

try:
    __version__ = _version("layerbits")
except _PackageNotFoundError:  # a source tree that is not installed
    __version__ = "unknown"

__all__ = [
    "Backend",
    "BackendError",
    "BaselineEstimate",
    "Channels",
    "ClassSeparation",
    "DataError",
    "DistanceHistogram",
    "DropoutNoise",
    "Estimate",
    "InformationHistory",
    "InformationRow",
    "InformationTable",
    "InputDecoder",
    "LayerRow",
    "LayerSelectionError",
    "LayerTable",
    "LayerbitsError",
    "MeasurementSettings",
    "Monitor",
    "NetworkDecoder",
    "NoNoiseError",
    "ParsevalRegularizer",
    "RelativeSigma",
    "SigmaProfile",
    "SigmaRow",
    "Tokens",
    "UsageError",
    "__version__",
    "backends",
    "baselines",
    "binned_entropy",
    "binned_information",
    "calibration",
    "class_separation",
    "data",
    "information",
    "information_between_layers",
    "integrations",
    "layer_activations",
    "layer_information",
    "layers",
    "log_spaced",
    "mixture_entropy",
    "mixture_entropy_bounds",
    "mixture_information",
    "mixture_log_density",
    "noise_of",
    "noise_off",
    "noisify",
    "pairwise_distance_histogram",
    "plots",
    "propagate",
    "quantile_edges",
    "read_history",
    "remove_noise",
    "sigma_profile",
    "suggest_sigma",
    "szt_edges",
    "theory",
]
