"""Information in the layers of neural networks about their inputs and labels."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import NoReturn as _NoReturn

from layerbits import _main_interpreter as _main_interpreter  # first: torch would hang in a subinterpreter
from layerbits import baselines, calibration, data, integrations, plots, theory
from layerbits._base import (
    BackendError,
    DataError,
    Estimate,
    GroupError,
    InformationHistory,
    InformationRow,
    InformationTable,
    LayerbitsError,
    LayerSelectionError,
    NoNoiseError,
    UsageError,
)
from layerbits._base import installed_version as _installed_version
from layerbits._base import missing_attribute as _missing_attribute
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
from layerbits.experiments import Sweep, SweepCell, sweep
from layerbits.geometry import (
    BaselineEstimate,
    ClassSeparation,
    DistanceHistogram,
    binned_entropy,
    binned_information,
    class_separation,
    discrete_information,
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
    LearntSlices,
    PrincipalSlices,
    RandomSlices,
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

__version__ = _installed_version("layerbits")

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
    "GroupError",
    "InformationHistory",
    "InformationRow",
    "InformationTable",
    "InputDecoder",
    "LayerRow",
    "LayerSelectionError",
    "LayerTable",
    "LayerbitsError",
    "LearntSlices",
    "MeasurementSettings",
    "Monitor",
    "NetworkDecoder",
    "NoNoiseError",
    "ParsevalRegularizer",
    "PrincipalSlices",
    "RandomSlices",
    "RelativeSigma",
    "SigmaProfile",
    "SigmaRow",
    "Sweep",
    "SweepCell",
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
    "discrete_information",
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
    "sweep",
    "szt_edges",
    "theory",
]

if not _TYPE_CHECKING:  # mypy would accept all names

    def __getattr__(name: str) -> _NoReturn:
        present_names = {"NoisyModule": "noisify, noise_of and noise_off", "tasks": "layerbits.calibration"}
        raise _missing_attribute(f"module {__name__!r}", name, present_names)
