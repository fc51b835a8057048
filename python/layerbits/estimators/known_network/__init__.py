"""The information of layers behind noise, estimated with the network that makes their signals."""

from layerbits.estimators.known_network.estimate import (
    entropy_of_random_inputs,
    estimates_of_label_sets,
    known_network_estimates,
)
from layerbits.estimators.known_network.settings import KnownNetworkSettings
from layerbits.estimators.known_network.signal_model import SignalModel

__all__ = [
    "KnownNetworkSettings",
    "SignalModel",
    "entropy_of_random_inputs",
    "estimates_of_label_sets",
    "known_network_estimates",
]
